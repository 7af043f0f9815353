//! [`Streams`]: the application before it runs, and how it starts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anabranch_host::{Dialer, Host};

use super::config::{Guarantee, StreamsConfig};
use super::restore_listener::{Listeners, RestoreEvent, StandbyEvent};
use super::running::LocalBroker;
use super::starting::Starting;
use super::state::StateListener;
use super::uncaught::{UncaughtErrorAnswer, UncaughtErrorHandler};
use crate::error::{Error, Result};
use crate::policy::{ErrorPolicy, OnError, RecordError, dead_letter};
use crate::processor::Policies;
use crate::topology::Topology;

pub use super::running::RunningStreams;
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
    /// Whether some failures have no policy.
    fn lacks_one(&self) -> bool {
        self.read.is_none() || self.process.is_none() || self.write.is_none()
    }

    /// Where none was given, records that fail go to this topic.
    fn or_dead_letters(self, topic: &str) -> Policies {
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
    /// errors. That topic is made at the start, with the broker's number of partitions; one that a policy names is its user's.
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

    /// What happens to records that cannot be written: they have no bytes, are larger than `max.request.size`, or are refused
    /// by the broker for what they are (larger than `max.message.bytes` of their topic, without a key in a compacted one, of
    /// a time that it does not allow). The broker's answer comes late, so for the last kind what is not committed is undone
    /// and done again, without the record if the policy says so; at least once, others may be written twice then. An error
    /// that may pass is retried and never asked about. A row that its changelog refuses ends the instance, whatever the
    /// policy: the store would be lost with the next move of its task.
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

    /// Asked what to do when an error ends a worker that no error policy has answered, keeps tasks from being opened for
    /// `task.timeout.ms`, or is of the instance as a member of its group. Without it this instance ends. It is not asked of what
    /// fails before the first tasks run: that is the error of [`Streams::start`].
    #[must_use]
    pub fn on_uncaught_error(
        mut self,
        handler: impl Fn(&Error) -> UncaughtErrorAnswer + Send + Sync + 'static,
    ) -> Streams {
        self.uncaught = Some(Arc::new(handler));
        self
    }

    /// Told how state comes back, store by store: for a progress bar. It runs on the workers' threads, for global stores on
    /// that of their reader, and must be quick.
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
    ///     StandbyEvent::Start { place, from } => println!("{} {}: from {from}", place.store, place.partition),
    ///     StandbyEvent::Batch { place, next, end, .. } => {
    ///         println!("{} {}: {} records behind", place.store, place.partition, end - next);
    ///     }
    ///     StandbyEvent::Suspended { place, reason, .. } => println!("{} {}: {reason:?}", place.store, place.partition),
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
    /// Kafka Streams' `start` returns at once. What is found wrong after that (a source topic is missing, topics to be joined
    /// have different numbers of partitions, an internal topic has the wrong number) it asks its uncaught exception handler
    /// about, even before anything runs. Here it is an error of this call, which nobody can miss, and
    /// [`Streams::on_uncaught_error`] is asked of what fails later. Who wants to wait for a topic starts again after a while, or
    /// lets it be made ([`Streams::create_topics`]).
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
            let instance = Starting {
                host: task_host,
                dialer,
                bootstrap_servers: self.bootstrap_server,
                application_id: self.application_id,
                topology: self.topology,
                config,
                dead_letters: self.policies.lacks_one().then(|| letters.clone()),
                policies: self.policies.or_dead_letters(&letters),
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
        Ok(RunningStreams::new(handle, broker, runtime))
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
