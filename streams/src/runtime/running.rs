//! [`RunningStreams`]: the application while it runs.

use std::fmt;
use std::time::Duration;

use anabranch_client::Client;
use anabranch_host::RealRuntime;
use parking_lot::Mutex;

use super::changelog;
use super::instance::InstanceHandle;
use super::query::{AskedInstance, KeyQueryMetadata, QueryableStore, StreamsMetadata, location};
use super::shared::{Command, TOO_LATE};
use super::state::State;
use super::task_status::TaskStatus;
use super::topic_io::{TopicConsumer, TopicProducer};
use crate::error::{Error, Result};
use crate::record::RawRecord;
use crate::state::{Store, StoreKind};
use crate::topic::IntoTopic;

#[cfg(feature = "embedded")]
pub(super) type LocalBroker = crate::embedded::Embedded;

/// Without the feature there is none.
#[cfg(not(feature = "embedded"))]
pub(super) enum LocalBroker {}

#[cfg(not(feature = "embedded"))]
impl LocalBroker {
    pub(super) async fn shutdown(self) {
        match self {}
    }
}

/// Ends the work of an application that its user has let go of.
struct AbandonOnDrop(InstanceHandle);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// A running application. Dropping it stops its work at once, as a crash would; [`RunningStreams::close`] commits first.
pub struct RunningStreams {
    handle: InstanceHandle,
    _abandon: AbandonOnDrop,
    broker: Mutex<Option<LocalBroker>>,
    /// The threads of its world; none in a world that was given.
    runtime: Option<RealRuntime>,
}

impl RunningStreams {
    pub(super) fn new(
        handle: InstanceHandle,
        broker: Option<LocalBroker>,
        runtime: Option<RealRuntime>,
    ) -> Self {
        let abandon = AbandonOnDrop(handle.clone());
        RunningStreams { handle, _abandon: abandon, broker: Mutex::new(broker), runtime }
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> State {
        self.handle.state()
    }

    /// A client of its broker, for what the application does not do itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.handle.client()
    }

    /// Writes to a topic of its broker: a program's own input.
    ///
    /// # Errors
    /// If the producer cannot be made.
    pub fn producer<T: IntoTopic>(&self, topic: T) -> Result<TopicProducer<T::Key, T::Value>> {
        TopicProducer::new(self.handle.client(), topic.into_consumed().topic)
    }

    /// Reads a topic of its broker from now on, without a group: what the application has written.
    ///
    /// # Errors
    /// If the topic is not there.
    pub async fn consumer<T: IntoTopic>(&self, topic: T) -> Result<TopicConsumer<T::Key, T::Value>> {
        TopicConsumer::from_now(self.handle.client(), topic.into_consumed().topic).await
    }

    /// A store, to be asked while the application runs: committed rows of the tasks of this instance. What it can be asked
    /// depends on its kind.
    ///
    /// ```no_run
    /// use anabranch::prelude::*;
    ///
    /// const CLICKS: Store<Windows<String, i64>> = Store::named("clicks-per-minute");
    ///
    /// async fn last_hour(app: &RunningStreams, user: &String, now_ms: i64) -> Result<i64> {
    ///     let clicks = app.store(CLICKS)?.fetch_range(user, now_ms - 3_600_000..).await?;
    ///     Ok(clicks.into_iter().map(|(_start_ms, n)| n).sum())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the topology has no store of this name.
    pub fn store<S: QueryableStore>(&self, store: Store<S>) -> Result<S::ReadOnly> {
        S::read_only(AskedInstance(self.handle.clone()), &store)
    }

    /// Which instance has a key of a store, by the default partitioner: the instances are told by their
    /// `application.server`, as of the last assignment. Of a global store any of them is named, since each has all of it.
    ///
    /// # Errors
    /// If the topology has no store of this name, or the key cannot be written.
    pub fn metadata_for_key<S: StoreKind>(&self, store: Store<S>, key: &S::Key) -> Result<KeyQueryMetadata> {
        location::of_key(self.handle.clone(), &store, key)
    }

    /// The instances that have something of a store.
    ///
    /// # Errors
    /// If the topology has no store of this name.
    pub fn metadata_for_store<S: StoreKind>(&self, store: Store<S>) -> Result<Vec<StreamsMetadata>> {
        location::of_store(self.handle.clone(), &store)
    }

    /// What this instance counts, in the text form of OpenMetrics, which Prometheus reads: records processed and dropped by
    /// reason, commits, restoration, topics, by worker, task and topic. Names are Kafka Streams' in snake case.
    ///
    /// ```no_run
    /// # use anabranch::prelude::*;
    /// # fn look(app: &RunningStreams) {
    /// for line in app.metrics().lines().filter(|line| line.contains("dropped_records")) {
    ///     println!("{line}"); // kafka_streams_task_dropped_records_total{task_id="0_0",reason="late"} 3
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn metrics(&self) -> String {
        self.handle.metrics()
    }

    /// The tasks that are here, and how far behind those are that do not process.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskStatus> {
        self.handle.tasks()
    }

    /// What the changelog of a store holds on the broker, partition by partition: what a restart would bring back. A
    /// test's driver rebuilds the store from it ([`TestDriver::restore`](crate::test_driver::TestDriver::restore)).
    ///
    /// # Errors
    /// If the topology has no store of this name, it is not logged, or the topic cannot be read.
    pub async fn changelog<S>(&self, store: Store<S>) -> Result<Vec<RawRecord>> {
        let (topic, partitions) = self.handle.changelog_of(store.name())?;
        changelog::read(self.handle.client(), &topic, partitions).await
    }

    /// How many workers process tasks.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.handle.workers().len()
    }

    /// Starts one worker more, which takes over a share of the tasks, and gives its number.
    ///
    /// # Errors
    /// If its thread cannot be made, or the application has stopped.
    pub async fn add_thread(&self) -> Result<usize> {
        self.handle.command(|reply| Command::AddThread { reply }).await
    }

    /// Ends a worker, whose tasks go to the others after a commit, and gives its number.
    ///
    /// # Errors
    /// If it is the last one, its work cannot be committed, or the application has stopped.
    pub async fn remove_thread(&self) -> Result<usize> {
        self.handle.command(|reply| Command::RemoveThread { reply }).await
    }

    /// Processes nothing until [`RunningStreams::resume`]. It stays in its group, and standbys follow on.
    pub fn pause(&self) {
        self.handle.sleep(true);
    }

    /// Goes on after [`RunningStreams::pause`].
    pub fn resume(&self) {
        self.handle.sleep(false);
    }

    /// Waits until everything that was written to the source topics before this call is processed and committed, through
    /// every repartition topic, whichever instance does it.
    ///
    /// # Errors
    /// If the application stops first, or the broker does not answer.
    pub async fn drain(&self) -> Result<()> {
        self.handle.drain().await
    }

    /// Stops: commits, leaves the group, closes the stores, and the broker if it is in this process.
    ///
    /// # Errors
    /// If something could not be committed, which the next start does again then, or the application had failed.
    pub async fn close(self) -> Result<()> {
        self.end(None).await
    }

    /// As [`RunningStreams::close`], but gives up what is not done within this time, as a crash would: work of workers
    /// that do not come back from user code, commits that no broker takes, the word to the group that it leaves. Giving up may
    /// take a second more.
    ///
    /// # Errors
    /// As [`RunningStreams::close`]; if the time was too short (in Kafka Streams `close(Duration)` gives `false`).
    pub async fn close_within(self, time: Duration) -> Result<()> {
        self.end(Some(time)).await
    }

    async fn end(self, within: Option<Duration>) -> Result<()> {
        let RunningStreams { handle, _abandon, broker, runtime } = self;
        let host = handle.client().host().clone();
        let by = within.map(|within| host.now() + within);
        let clock = host.clone();
        let stopped = host.spawn(async move {
            let stopped = handle.stop(within).await;
            let broker = broker.lock().take();
            drop(handle);
            let Some(broker) = broker else { return stopped };
            let Some(by) = by else {
                broker.shutdown().await;
                return stopped;
            };
            let left = by.saturating_duration_since(clock.now());
            let ended = clock.timeout(left, broker.shutdown()).await;
            stopped.and_then(|()| ended.map_err(|_| Error::fatal(TOO_LATE)))
        });
        let result = stopped.await.map_err(|error| Error::fatal("stopping").with_source(error))?;
        let is_late = by.is_some_and(|by| host.now() >= by);
        drop(host);
        // The threads of one that is late end beside.
        if let Some(runtime) = runtime.filter(|_| !is_late) {
            runtime.shutdown().await;
        }
        result
    }

    /// Ends it at once and without a commit, as a crash would, and waits until its threads are gone: for tests of what the
    /// next start finds.
    pub async fn crash(self) {
        let RunningStreams { handle, _abandon, broker, runtime } = self;
        let host = handle.client().host().clone();
        let ended = host.spawn(async move {
            handle.abandon();
            handle.failed().await;
        });
        // There is nothing to be told of a crash.
        let _ = ended.await;
        drop((broker, host));
        if let Some(runtime) = runtime {
            runtime.shutdown().await;
        }
    }

    /// Runs until ctrl-c, then stops cleanly; ends earlier if the application fails.
    ///
    /// # Errors
    /// As [`RunningStreams::close`].
    pub async fn run_until_ctrl_c(self) -> Result<()> {
        let interrupted = self.handle.client().host().interrupted();
        tokio::select! {
            biased;
            failed = self.handle.failed() => tracing::error!(error = %failed, "the application has failed"),
            _ = interrupted => {}
        }
        self.close().await
    }
}

impl fmt::Debug for RunningStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningStreams").field("state", &self.state()).finish_non_exhaustive()
    }
}
