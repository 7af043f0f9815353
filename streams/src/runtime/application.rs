//! The application as its user holds it: [`Streams`] is what is to run, [`RunningStreams`] what runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::Client;
use anabranch_host::{Dialer, Host, RealRuntime};
use parking_lot::Mutex;

use super::changelog;
use super::config::{Guarantee, StreamsConfig};
use super::instance::{Command, Instance, InstanceHandle};
use super::query::{AskedInstance, KeyQueryMetadata, QueryableStore, StreamsMetadata, location};
use super::restore_listener::{Listeners, RestoreEvent, StandbyEvent};
use super::state::StateListener;
use super::task_status::TaskStatus;
use super::topic_io::{TopicConsumer, TopicProducer};
use super::uncaught::{UncaughtErrorAnswer, UncaughtErrorHandler};
use crate::error::{Error, Result};
use crate::policy::{ErrorPolicy, OnError, RecordError, dead_letter};
use crate::processor::Policies;
use crate::record::RawRecord;
use crate::state::{Store, StoreKind};
use crate::topic::IntoTopic;
use crate::topology::Topology;

pub use super::state::State;

/// Threads of the small runtime that carries connections, the group's member and a broker in this process. Tasks run on
/// workers of their own (`num.stream.threads`).
const RUNTIME_THREADS: usize = 2;

/// Error policies, as far as the user has given any.
#[derive(Clone, Default)]
struct GivenPolicies {
    read: Option<ErrorPolicy>,
    process: Option<ErrorPolicy>,
    write: Option<ErrorPolicy>,
}

impl GivenPolicies {
    /// Where none was given, records that fail go to this topic.
    fn or_dead_letters(self, topic: String) -> Policies {
        let letters = Policies::all(dead_letter(topic));
        Policies {
            read: self.read.unwrap_or(letters.read),
            process: self.process.unwrap_or(letters.process),
            write: self.write.unwrap_or(letters.write),
        }
    }
}

/// An application to be started.
///
/// ```no_run
/// # async fn run(topology: anabranch::topology::Topology) -> anabranch::Result<()> {
/// use anabranch::prelude::*;
///
/// let app = Streams::new("word-count", topology) // a broker in this process
///     .config("commit.interval.ms", 100)
///     .start()
///     .await?;
/// app.run_until_ctrl_c().await
/// # }
/// ```
pub struct Streams {
    application_id: String,
    topology: Topology,
    bootstrap_server: Option<String>,
    data_dir: Option<PathBuf>,
    create_topics: Option<i32>,
    settings: Vec<(String, String)>,
    policies: GivenPolicies,
    world: Option<(Host, Dialer)>,
    listener: Option<StateListener>,
    listeners: Listeners,
    uncaught: Option<UncaughtErrorHandler>,
    clean_up: bool,
}

impl Streams {
    /// An application. Instances with the same id share its work; the id is also the group's, and prefixes the internal
    /// topics.
    #[must_use]
    pub fn new(application_id: impl Into<String>, topology: Topology) -> Streams {
        Streams {
            policies: GivenPolicies::default(),
            application_id: application_id.into(),
            topology,
            bootstrap_server: None,
            data_dir: None,
            create_topics: None,
            settings: Vec::new(),
            world: None,
            listener: None,
            listeners: Listeners::default(),
            uncaught: None,
            clean_up: false,
        }
    }

    /// Runs on these brokers (`host:port`, several with commas), ours or Apache Kafka. Without it a broker runs in this
    /// process.
    #[must_use]
    pub fn bootstrap_server(mut self, address: impl Into<String>) -> Streams {
        self.bootstrap_server = Some(address.into());
        self
    }

    /// Runs in this world, on the broker that `dialer` leads to: a simulation, or a broker that is in this process
    /// already.
    #[must_use]
    pub fn on(mut self, host: Host, dialer: Dialer) -> Streams {
        self.world = Some((host, dialer));
        self
    }

    /// How often a record may take effect.
    #[must_use]
    pub fn guarantee(self, guarantee: Guarantee) -> Streams {
        let name = match guarantee {
            Guarantee::AtLeastOnce => "at_least_once",
            Guarantee::ExactlyOnce => "exactly_once_v2",
        };
        self.config("processing.guarantee", name)
    }

    /// How many workers process tasks, each on a thread of its own (`num.stream.threads`).
    #[must_use]
    pub fn threads(self, count: usize) -> Streams {
        self.config("num.stream.threads", count)
    }

    /// Keeps state in this directory (`state.dir`), so that a restart need not read whole changelogs.
    #[must_use]
    pub fn state_dir(self, directory: impl AsRef<Path>) -> Streams {
        let directory = directory.as_ref().display().to_string();
        self.config("state.dir", directory)
    }

    /// Keeps state, and the broker in this process, in this directory: the next start goes on where this one ends.
    #[must_use]
    pub fn data_dir(mut self, directory: impl AsRef<Path>) -> Streams {
        self.data_dir = Some(directory.as_ref().to_path_buf());
        self
    }

    /// Forgets the state of earlier runs that this instance keeps on disk: it comes back from the changelogs. Due after the
    /// application was reset (`anabranch streams reset`), since what is there belongs to changelogs that are gone; Kafka
    /// Streams' `cleanUp`.
    #[must_use]
    pub fn clean_up(mut self) -> Streams {
        self.clean_up = true;
        self
    }

    /// Makes source and output topics that are missing, with so many partitions. A broker in this process does so
    /// anyway, with one.
    #[must_use]
    pub fn create_topics(mut self, partitions: i32) -> Streams {
        self.create_topics = Some(partitions);
        self
    }

    /// Sets any of Kafka Streams' settings by its key. [`Streams::start`] refuses an unknown key or a wrong value.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl ToString) -> Streams {
        self.settings.push((key.into(), value.to_string()));
        self
    }

    /// What happens to records that cannot be read. Without it they go to the topic that
    /// `errors.dead.letter.queue.topic.name` names, or `<application.id>-dead-letter`; so for processing and production
    /// errors.
    #[must_use]
    pub fn on_deserialization_error(mut self, answer: OnError) -> Streams {
        self.policies.read = Some(answer.into());
        self
    }

    /// As [`Streams::on_deserialization_error`], looking at the record.
    #[must_use]
    pub fn on_deserialization_error_with(
        mut self,
        policy: impl Fn(&RecordError) -> OnError + Send + Sync + 'static,
    ) -> Streams {
        self.policies.read = Some(ErrorPolicy::with(policy));
        self
    }

    /// What happens to records that cannot be processed.
    #[must_use]
    pub fn on_processing_error(mut self, answer: OnError) -> Streams {
        self.policies.process = Some(answer.into());
        self
    }

    /// As [`Streams::on_processing_error`], looking at the record.
    #[must_use]
    pub fn on_processing_error_with(
        mut self,
        policy: impl Fn(&RecordError) -> OnError + Send + Sync + 'static,
    ) -> Streams {
        self.policies.process = Some(ErrorPolicy::with(policy));
        self
    }

    /// What happens to records that cannot be written.
    #[must_use]
    pub fn on_production_error(mut self, answer: OnError) -> Streams {
        self.policies.write = Some(answer.into());
        self
    }

    /// As [`Streams::on_production_error`], looking at the record.
    #[must_use]
    pub fn on_production_error_with(
        mut self,
        policy: impl Fn(&RecordError) -> OnError + Send + Sync + 'static,
    ) -> Streams {
        self.policies.write = Some(ErrorPolicy::with(policy));
        self
    }

    /// Told of every change of state: the new one, then the old one.
    #[must_use]
    pub fn on_state_change(mut self, listener: impl Fn(State, State) + Send + Sync + 'static) -> Streams {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Asked what to do when an error ends a worker that no error policy has answered. Without it this instance ends.
    #[must_use]
    pub fn on_uncaught_error(
        mut self,
        handler: impl Fn(&Error) -> UncaughtErrorAnswer + Send + Sync + 'static,
    ) -> Streams {
        self.uncaught = Some(Arc::new(handler));
        self
    }

    /// Told how state comes back, store by store: for a progress bar. It runs on the workers' threads and must be quick.
    #[must_use]
    pub fn on_restore(mut self, listener: impl Fn(&RestoreEvent) + Send + Sync + 'static) -> Streams {
        self.listeners.restore = Some(Arc::new(listener));
        self
    }

    /// Told how the standbys of this instance (`num.standby.replicas`) follow the state of tasks that run elsewhere, store by
    /// store: how far a copy is behind, and when it is used. It runs on the workers' threads and must be quick.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// # builder.stream(Topic::<String, String>::new("words")).to("out");
    /// # let topology = builder.build()?;
    /// let streams = Streams::new("app", topology).config("num.standby.replicas", 1).on_standby_update(|event| match event {
    ///     StandbyEvent::Start { place, from } => println!("{} {}: from {from}", place.task, place.store),
    ///     StandbyEvent::Batch { place, next, end, .. } => {
    ///         println!("{} {}: {} records behind", place.task, place.store, end - next);
    ///     }
    ///     StandbyEvent::Suspended { place, reason, .. } => println!("{} {}: {reason:?}", place.task, place.store),
    /// });
    /// # Ok::<_, Error>(())
    /// ```
    #[must_use]
    pub fn on_standby_update(mut self, listener: impl Fn(&StandbyEvent) + Send + Sync + 'static) -> Streams {
        self.listeners.standby = Some(Arc::new(listener));
        self
    }

    /// Starts it; returns once it has joined its group and its tasks are running.
    ///
    /// Everything runs on threads of its own, never on the caller's executor.
    ///
    /// # Errors
    /// If the topology or a setting is wrong, a directory cannot be used, no broker answers, or a source topic is
    /// missing: one line that says what to do.
    pub async fn start(mut self) -> Result<RunningStreams> {
        self.topology.validate()?;
        let pairs = self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let mut config = StreamsConfig::from_pairs(pairs).map_err(Error::invalid)?;
        if config.explicit_names {
            self.topology.require_explicit_names()?;
        }
        self.topology.additional_retention_ms = Some(config.window_changelog_additional_retention_ms);
        if let Some(directory) = &self.data_dir {
            let state = directory.join("state").display().to_string();
            config.state_dir.get_or_insert(state);
        }
        let (host, runtime) = match &self.world {
            Some((host, _)) => (host.clone(), None),
            None => {
                let started = Host::real(RUNTIME_THREADS);
                let (host, runtime) =
                    started.map_err(|error| Error::fatal("starting threads").with_source(error))?;
                (host, Some(runtime))
            }
        };
        let task_host = host.clone();
        let started = host.spawn(async move {
            let (broker, dialer, create_topics) = self.way_to_the_broker(&task_host).await?;
            let letters = config.dead_letter_topic.clone();
            let letters = letters.unwrap_or_else(|| format!("{}-dead-letter", self.application_id));
            let instance = Instance {
                host: task_host,
                dialer,
                bootstrap_servers: self.bootstrap_server,
                application_id: self.application_id,
                topology: self.topology,
                config,
                policies: self.policies.or_dead_letters(letters),
                create_topics,
                listener: self.listener,
                listeners: self.listeners,
                uncaught: self.uncaught,
                clean_up: self.clean_up,
            };
            match instance.start().await {
                Ok(handle) => Ok((handle, broker)),
                Err(error) => {
                    if let Some(broker) = broker {
                        broker.shutdown().await;
                    }
                    Err(error)
                }
            }
        });
        let (handle, broker) =
            started.await.map_err(|error| Error::fatal("starting").with_source(error))??;
        let abandon = AbandonOnDrop(handle.clone());
        Ok(RunningStreams { handle, _abandon: abandon, broker: Mutex::new(broker), runtime })
    }

    /// The dialer, and the broker in this process if there is one; and with how many partitions to make missing topics.
    #[cfg(feature = "embedded")]
    async fn way_to_the_broker(&self, host: &Host) -> Result<(Option<LocalBroker>, Dialer, Option<i32>)> {
        if let Some((_, dialer)) = &self.world {
            return Ok((None, dialer.clone(), self.create_topics));
        }
        if self.bootstrap_server.is_some() {
            return Ok((None, host.dialer(), self.create_topics));
        }
        let directory = self.data_dir.as_ref().map(|directory| directory.join("broker"));
        let broker = LocalBroker::start(host, directory.as_deref()).await?;
        let dialer = broker.dialer();
        Ok((Some(broker), dialer, Some(self.create_topics.unwrap_or(1))))
    }

    /// The dialer to the brokers named.
    #[cfg(not(feature = "embedded"))]
    async fn way_to_the_broker(&self, host: &Host) -> Result<(Option<LocalBroker>, Dialer, Option<i32>)> {
        match (&self.world, &self.bootstrap_server) {
            (Some((_, dialer)), _) => Ok((None, dialer.clone(), self.create_topics)),
            (None, Some(_)) => Ok((None, host.dialer(), self.create_topics)),
            (None, None) => Err(Error::invalid(
                "no broker: name one with `Streams::bootstrap_server`, or build with the feature `embedded`",
            )),
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("application_id", &self.application_id).finish_non_exhaustive()
    }
}

#[cfg(feature = "embedded")]
type LocalBroker = crate::embedded::Embedded;

/// Without the feature there is none.
#[cfg(not(feature = "embedded"))]
enum LocalBroker {}

#[cfg(not(feature = "embedded"))]
impl LocalBroker {
    async fn shutdown(self) {
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
    /// `application.server`, as of the last assignment.
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
    /// # fn look(app: &RunningStreams) -> Result<()> {
    /// for line in app.metrics()?.lines().filter(|line| line.contains("dropped_records")) {
    ///     println!("{line}"); // kafka_streams_task_dropped_records_total{task_id="0_0",reason="late"} 3
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Never, as far as is known: a string takes all of it.
    pub fn metrics(&self) -> Result<String> {
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
    /// If something could not be committed, or the application had failed.
    pub async fn close(self) -> Result<()> {
        self.end(None).await
    }

    /// As [`RunningStreams::close`], but gives up what is not done within this time, as a crash would: work of workers
    /// that do not come back from user code.
    ///
    /// # Errors
    /// As [`RunningStreams::close`]; if the time was too short.
    pub async fn close_within(self, time: Duration) -> Result<()> {
        self.end(Some(time)).await
    }

    async fn end(self, within: Option<Duration>) -> Result<()> {
        let RunningStreams { handle, _abandon, broker, runtime } = self;
        let host = handle.client().host().clone();
        let stopped = host.spawn(async move {
            let stopped = handle.stop(within).await;
            let broker = broker.lock().take();
            drop(handle);
            if let Some(broker) = broker {
                broker.shutdown().await;
            }
            stopped
        });
        let result = stopped.await.map_err(|error| Error::fatal("stopping").with_source(error))?;
        drop(host);
        if let Some(runtime) = runtime {
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
