//! An instance of the application: everything is made and started here, and [`InstanceHandle`] is the way to it.
//!
//! One task of the runtime is the group's member (`member`), one pinned loop each worker (`worker`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig};
use anabranch_host::{Dialer, Host};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::assignment::assignor::TaskAssignor;
use super::assignment::holdings::Holdings;
use super::assignment::placement::Policy;
use super::assignment::user_data::Hosts;
use super::batch_outbox::BatchLimits;
use super::beginnings::OffsetResets;
use super::config::{ClientRole, Guarantee, StreamsConfig};
use super::drain;
use super::global::{self, ReaderParts, Reading};
use super::local_state;
use super::member::{Member, Timing, ToldLags};
use super::metrics::Metrics;
use super::plan::{Plan, Planner};
use super::purge::purge_regularly;
use super::restore::Changelogs;
use super::restore_listener::Listeners;
use super::shared::{Command, Shared, Stop, Told};
use super::staleness::Staleness;
use super::state::{State, StateListener};
use super::state_directory::{StateDirectory, hex};
use super::task_status::TaskStatus;
use super::topic_settings;
use super::topics::{self, InternalTopicSettings};
use super::uncaught::{Pauses, UncaughtErrorHandler};
use super::worker::{Question, ToInstance, ToWorker, client_error};
use super::workers::{WorkerParts, Workers};
use crate::error::{Error, Result};
use crate::processor::{Policies, TaskId};
use crate::state::{GlobalRows, Globals};
use crate::task::TaskConfig;
use crate::topology::Topology;

/// How often it is looked whether a worker whose answer is awaited is still there.
const LOOK_FOR_WORKER: Duration = Duration::from_millis(100);

/// What an instance is made of.
pub(crate) struct Instance {
    pub(crate) host: Host,
    pub(crate) dialer: Dialer,
    pub(crate) bootstrap_servers: Option<String>,
    pub(crate) application_id: String,
    pub(crate) topology: Topology,
    pub(crate) config: StreamsConfig,
    pub(crate) policies: Policies,
    /// Where records go that fail and that no policy was given for; none if there is one for all.
    pub(crate) dead_letters: Option<String>,
    pub(crate) create_topics: Option<i32>,
    pub(crate) listener: Option<StateListener>,
    pub(crate) listeners: Listeners,
    pub(crate) uncaught: Option<UncaughtErrorHandler>,
    /// State of earlier runs is not wanted.
    pub(crate) clean_up: bool,
}

/// The way to a running instance. Cheap to clone.
#[derive(Clone)]
pub(crate) struct InstanceHandle {
    pub(super) shared: Arc<Shared>,
}

impl InstanceHandle {
    pub(crate) fn state(&self) -> State {
        *self.shared.state.borrow()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The sub-topology that has a store of this name, and how many tasks it has.
    pub(crate) fn subtopology_of(&self, store: &str) -> Option<(u32, i32)> {
        let plan = self.shared.plan();
        let has = |nodes: &[usize]| plan.topology.stores_of(nodes).into_iter().any(|name| name == store);
        plan.subtopologies.iter().find(|s| has(&s.nodes)).map(|s| (s.id, s.tasks))
    }

    /// The rows of the global store of this name.
    pub(crate) fn global_rows(&self, store: &str) -> Option<Arc<GlobalRows>> {
        let globals = self.shared.globals.lock();
        let mut all = globals.rows();
        all.find(|(name, _)| ***name == *store).map(|(_, rows)| Arc::clone(rows))
    }

    /// The topic that a store is logged to, and its partitions.
    pub(crate) fn changelog_of(&self, store: &str) -> Result<(String, i32)> {
        let (plan, application_id) = (self.shared.plan(), &self.shared.application_id);
        let missing = || Error::invalid(format_args!("the topology has no store named `{store}`"));
        let (_, partitions) = self.subtopology_of(store).ok_or_else(missing)?;
        let changelog = plan.topology.store(store).and_then(|store| store.changelog(application_id));
        let unlogged = || Error::invalid(format_args!("the store `{store}` has no changelog"));
        Ok((changelog.ok_or_else(unlogged)?, partitions))
    }

    /// Where whose state can be asked for, as of the last assignment.
    pub(crate) fn hosts(&self) -> Hosts {
        self.shared.holdings.hosts()
    }

    /// What it counts, as Prometheus reads it.
    pub(crate) fn metrics(&self) -> String {
        self.shared.metrics.expose(self.state(), self.workers().len(), &self.tasks())
    }

    /// What is here, by task.
    pub(crate) fn tasks(&self) -> Vec<TaskStatus> {
        self.shared.holdings.tasks()
    }

    /// Lets the worker that has a task commit as soon as it has processed what is at hand.
    pub(crate) fn hurry(&self, task: TaskId) {
        let worker = self.shared.placed.lock().get(&task).copied();
        if let Some(worker) = worker {
            self.shared.tell(worker, ToWorker::Commit);
        }
    }

    /// What the group runs, as of the last assignment.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.shared.plan()
    }

    pub(crate) fn application_id(&self) -> &str {
        &self.shared.application_id
    }

    /// Asks the worker that has a task, and tells which one it is; a question nobody can answer is dropped, which its
    /// asker sees. Unless it may be `stale`, the answer comes from a task that processes.
    pub(crate) fn ask(&self, task: TaskId, stale: bool, question: Question) -> Option<usize> {
        let worker = self.shared.placed.lock().get(&task).copied();
        match worker {
            Some(worker) => self.shared.tell(worker, ToWorker::Ask { task, stale, question }),
            None => question(None),
        }
        worker
    }

    /// What a worker answers; none if it has ended, or is given up since it does not come back from user code.
    pub(crate) async fn answer_of<T>(&self, worker: usize, mut answer: oneshot::Receiver<T>) -> Option<T> {
        loop {
            let asked = self.shared.client.host().timeout(LOOK_FOR_WORKER, &mut answer).await;
            match asked {
                Ok(answer) => return answer.ok(),
                Err(_) if self.shared.workers.lock().contains_key(&worker) => {}
                Err(_) => return None,
            }
        }
    }

    pub(crate) async fn drain(&self) -> Result<()> {
        let Shared { client, application_id, workers, committed, global_topics, globals_read, .. } =
            &*self.shared;
        let plan = || self.shared.plan();
        let hurry = || workers.lock().values().for_each(|worker| drop(worker.send(ToWorker::Commit)));
        let drained = drain::drain(client, application_id, plan, hurry, committed.subscribe());
        let drained = async {
            drained.await?;
            // The group knows of a commit before the worker does whose stores are asked next.
            let numbers: Vec<usize> = workers.lock().keys().copied().collect();
            for worker in numbers {
                let (reply, settled) = oneshot::channel();
                // A worker that has ended has nothing left to settle.
                self.shared.tell(worker, ToWorker::Settle { reply });
                let _ = self.answer_of(worker, settled).await;
            }
            if let Some(positions) = globals_read {
                drain::drain_globals(client, global_topics, positions.clone()).await?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            error = self.failed() => Err(error),
            drained = drained => drained,
        }
    }

    /// Waits until it has failed, and says why.
    pub(crate) async fn failed(&self) -> Error {
        let mut state = self.shared.state.subscribe();
        // The sender lives in `shared`, which this handle holds.
        let _ = state.wait_for(|state| *state == State::Error).await;
        self.shared.failure()
    }

    /// Ends it at once, as a crash would; nothing happens if it has ended.
    pub(crate) fn abandon(&self) {
        let _ = self.shared.commands.send(Command::Abandon);
    }

    /// Stops it cleanly; what is not done within this time is given up.
    pub(crate) async fn stop(&self, within: Option<Duration>) -> Result<()> {
        self.command(|reply| Command::Stop(Stop { within, reply })).await
    }

    /// Asks for something and waits for the answer.
    pub(crate) async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let (reply, mut answer) = oneshot::channel();
        if self.shared.commands.send(command(reply)).is_err() {
            // It has ended already.
            return Err(self.shared.failure());
        }
        // One that came while the channel was taken down may lie there for ever, with the reply in it.
        let mut over = self.shared.over.subscribe();
        let answered = tokio::select! {
            biased;
            answer = &mut answer => answer.ok(),
            _ = over.wait_for(|over| *over) => answer.try_recv().ok(),
        };
        answered.unwrap_or_else(|| Err(self.shared.failure()))
    }

    /// Processes nothing until it is told to go on.
    pub(crate) fn sleep(&self, asleep: bool) {
        // One that has ended sleeps.
        let _ = self.shared.commands.send(Command::Sleep(asleep));
    }

    /// The numbers of its workers.
    pub(crate) fn workers(&self) -> Vec<usize> {
        self.shared.workers.lock().keys().copied().collect()
    }
}

impl Instance {
    /// Prepares the topics, joins the group, and returns once every task it got is running.
    pub(crate) async fn start(self) -> Result<InstanceHandle> {
        let client_config = self.client_config(ClientRole::Admin)?;
        let client = Client::connect(&self.host, self.dialer.clone(), client_config)
            .await
            .map_err(|error| client_error("no broker answers", error))?;
        let settings = self.config.client_settings(ClientRole::Producer);
        let producer_config = ProducerConfig::from_pairs(&settings)
            .map_err(|error| client_error("producer settings", error))?;
        let producer = Producer::new(&client, producer_config.clone())
            .map_err(|error| client_error("making a producer", error))?;
        let planner = Planner::new(self.topology.clone(), &self.application_id);
        let internal = InternalTopicSettings {
            replication_factor: self.config.replication_factor,
            overrides: self.config.topic.clone(),
        };
        let found = topics::find(&client, &planner, self.create_topics, internal.replication_factor).await?;
        let plan = planner.plan(&found.sources)?;
        let made = topics::make(&client, &plan, &internal).await?;
        topic_settings::check(&client, &plan, &internal, &made).await?;
        topics::tell_of_lost(&client, &self.application_id, &plan, &made).await;
        if let Some(topic) = &self.dead_letters {
            topics::make_dead_letters(&client, &producer, topic, internal.replication_factor).await?;
        }
        topics::look_up(&producer, &planner, &plan).await?;
        let (planner, plan) = (Arc::new(planner), Arc::new(plan));
        let directory = match &self.config.state_dir {
            Some(base) => {
                let opened = StateDirectory::open(&self.host, base.as_ref(), &self.application_id).await;
                let cleaned = opened.and_then(|directory| match self.clean_up {
                    true => directory.remove_stores(&self.host.disk()).map(|()| directory),
                    false => Ok(directory),
                });
                Some(
                    cleaned
                        .map_err(|error| Error::invalid("the state cannot be opened").with_source(error))?,
                )
            }
            None => None,
        };
        let disk = self.host.disk();
        let engine = directory
            .as_ref()
            .map(|directory| local_state::open_engine(&disk, directory, &self.topology))
            .transpose()?;
        let process_id =
            directory.as_ref().map_or_else(|| self.host.random_uuid(), StateDirectory::process_id);
        let fingerprint = fingerprint(&self.topology);
        let holdings = Arc::new(Holdings::new(
            process_id,
            fingerprint,
            self.config.client_tags.clone(),
            self.config.application_server.clone(),
        ));
        let staleness = Staleness::new(&client, self.config.guarantee == Guarantee::ExactlyOnce);
        if let Some(engine) = &engine {
            let (now, wall_clock_ms) = (self.host.now(), self.host.wall_clock_ms());
            let (id, staleness) = (&self.application_id, &staleness);
            let found = local_state::stored_tasks(&**engine, &plan, id, staleness, wall_clock_ms).await?;
            holdings.found(found, now);
        }
        let mut settings = self.config.client_settings(ClientRole::RestoreConsumer);
        settings.extend(self.isolation());
        settings.insert("auto.offset.reset".to_string(), "none".to_string());
        let restore = ConsumerConfig::from_pairs(&settings)
            .map_err(|error| client_error("restore consumer settings", error))?;
        let changelogs = Changelogs::start(&client, restore, self.application_id.as_str().into());
        let (to_instance, from_workers) = mpsc::unbounded_channel();
        let metrics = Arc::new(Metrics::new(&self.application_id));
        let mut workers = Workers::new(WorkerParts {
            client: client.clone(),
            application_id: self.application_id.clone(),
            guarantee: self.config.guarantee,
            producer: producer_config.clone(),
            patience: Duration::from_millis(self.config.task_timeout_ms),
            commit_interval: Duration::from_millis(self.config.commit_interval_ms),
            cache_max_bytes: self.config.cache_max_bytes,
            memory_max_bytes: self.config.memory_max_bytes,
            uncommitted_max_bytes: self.config.uncommitted_max_bytes,
            buffered_records: self.config.buffered_records_per_partition,
            buffered_max_bytes: self.config.input_buffer_max_bytes,
            to_instance: to_instance.clone(),
            holdings: Arc::clone(&holdings),
            metrics: Arc::clone(&metrics),
        });
        for _ in 0..self.config.threads {
            workers.start(false)?;
        }
        let mut task_config = TaskConfig {
            application_id: self.application_id.as_str().into(),
            policies: self.policies.clone(),
            caching: self.config.cache_max_bytes > 0,
            emit_interval_ms: 1_000,
            max_idle_ms: self.config.max_task_idle_ms,
            engine,
            globals: Globals::default(),
        };
        let mut settings = self.config.client_settings(ClientRole::GlobalConsumer);
        settings.extend(self.isolation());
        settings.insert("auto.offset.reset".to_string(), "none".to_string());
        let parts = ReaderParts {
            metrics: Arc::clone(&metrics),
            client: client.clone(),
            consumer: ConsumerConfig::from_pairs(&settings)
                .map_err(|error| client_error("global consumer settings", error))?,
            producer,
            batches: BatchLimits::of(&producer_config),
            staleness: staleness.clone(),
            topology: Arc::new(self.topology.clone()),
            task_config: task_config.clone(),
            checkpoint_interval: Duration::from_millis(self.config.commit_interval_ms),
            changelogs: changelogs.clone(),
            listener: self.listeners.restore.clone(),
        };
        // All of them, before the first record of any stream.
        let to_instance = ToInstance::new(0, to_instance);
        let (globals, global) = global::start(parts, &found.global, to_instance).await?;
        task_config.globals = globals.clone();
        let instance_id = directory.as_ref().map(|directory| hex(&directory.process_id()));
        let policy = Policy {
            standby_replicas: self.config.num_standby_replicas,
            acceptable_recovery_lag: self.config.acceptable_recovery_lag,
            max_warmup_replicas: self.config.max_warmup_replicas,
            rack_aware_tags: self.config.rack_aware_assignment_tags.clone(),
        };
        let assignor = TaskAssignor::new(
            client.clone(),
            Arc::clone(&planner),
            internal,
            Arc::clone(&plan),
            policy,
            Arc::clone(&holdings),
        );
        let (consumer, offset_resets, max_poll_interval) =
            self.consumer(&client, &planner, &plan, assignor, instance_id)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            application_id: self.application_id.clone(),
            client,
            plan: Mutex::new(plan),
            global_topics: found.global,
            globals: Mutex::new(globals),
            globals_read: global.as_ref().map(Reading::positions),
            state: watch::Sender::new(State::Created),
            over: watch::Sender::new(false),
            committed: watch::Sender::new(0),
            error: Mutex::new(None),
            commands,
            metrics: Arc::clone(&metrics),
            holdings: Arc::clone(&holdings),
            placed: Mutex::new(BTreeMap::new()),
            workers: workers.senders(),
        });
        let now = self.host.now();
        let member = Member {
            shared: Arc::clone(&shared),
            planner,
            consumer,
            workers,
            from_workers,
            commands: receiver,
            task_config,
            global,
            offset_resets,
            changelogs,
            batches: BatchLimits::of(&producer_config),
            staleness,
            holdings,
            directory,
            listener: self.listener,
            listeners: self.listeners,
            uncaught: self.uncaught,
            asleep: false,
            given_up: BTreeSet::new(),
            open_at: None,
            pauses: Pauses::default(),
            ending: None,
            lags: ToldLags::default(),
            timing: Timing {
                probing_interval: Duration::from_millis(self.config.probing_rebalance_interval_ms),
                acceptable_lag: self.config.acceptable_recovery_lag,
                cleanup_delay: Duration::from_millis(self.config.state_cleanup_delay_ms),
                max_poll_interval,
                poll: Duration::from_millis(self.config.poll_ms.max(1)),
                has_transactions: self.config.guarantee == Guarantee::ExactlyOnce,
            },
            standing: BTreeSet::new(),
            warming: BTreeSet::new(),
            probe_at: None,
            last_probe: now,
            clean_at: now,
            stopping: false,
            abandoned: false,
            deferred: Vec::new(),
            read_from: BTreeMap::new(),
            begun: BTreeMap::new(),
            restoring: BTreeSet::new(),
            joined: false,
        };
        self.host.spawn(purge_regularly(
            self.host.clone(),
            Arc::downgrade(&shared),
            Arc::clone(&member.holdings),
            Duration::from_millis(self.config.repartition_purge_interval_ms.max(1)),
        ));
        let told = Told(Arc::clone(&shared));
        self.host.spawn(async move {
            let _told = told;
            member.run().await;
        });
        let handle = InstanceHandle { shared };
        let mut state = handle.shared.state.subscribe();
        let settled = state.wait_for(|state| matches!(state, State::Running | State::Error)).await;
        match settled.map(|state| *state) {
            Ok(State::Running) => Ok(handle),
            _ => Err(handle.shared.failure()),
        }
    }

    /// Under exactly-once nothing is read that may still be undone.
    fn isolation(&self) -> Option<(String, String)> {
        let exactly_once = self.config.guarantee == Guarantee::ExactlyOnce;
        exactly_once.then(|| ("isolation.level".to_string(), "read_committed".to_string()))
    }

    fn client_config(&self, role: ClientRole) -> Result<ClientConfig> {
        let mut settings = self.config.client_settings(role);
        if let Some(servers) = &self.bootstrap_servers {
            settings.insert("bootstrap.servers".to_string(), servers.clone());
        }
        let id = Some(self.config.client_id.clone()).filter(|id| !id.is_empty());
        settings.insert("client.id".to_string(), id.unwrap_or_else(|| self.application_id.clone()));
        ClientConfig::from_pairs(&settings).map_err(|error| client_error("client settings", error))
    }

    /// The group's member. With a state directory it is a static one: a killed instance that comes back is the same member
    /// and gets its tasks at once (KIP-345). With it comes where each topic begins, and `max.poll.interval.ms`.
    fn consumer(
        &self,
        client: &Client,
        planner: &Arc<Planner>,
        plan: &Plan,
        assignor: TaskAssignor,
        instance_id: Option<String>,
    ) -> Result<(Consumer, OffsetResets, Duration)> {
        let mut settings = self.config.client_settings(ClientRole::MainConsumer);
        settings.entry("auto.offset.reset".to_string()).or_insert_with(|| "earliest".to_string());
        // A partition that is resumed waits for the fetch under way to come back.
        settings.entry("fetch.max.wait.ms".to_string()).or_insert_with(|| "100".to_string());
        // A source topic that is gone stays so: nobody makes it anew by asking for it.
        for (key, value) in [
            ("group.id", self.application_id.as_str()),
            ("enable.auto.commit", "false"),
            ("allow.auto.create.topics", "false"),
        ] {
            settings.insert(key.to_string(), value.to_string());
        }
        settings.extend(self.isolation());
        // The directory is locked: nobody else has its name.
        let has_sole_id = instance_id.is_some() && !settings.contains_key("group.instance.id");
        if let Some(id) = instance_id {
            settings.entry("group.instance.id".to_string()).or_insert(id);
        }
        let config = ConsumerConfig::from_pairs(&settings)
            .map_err(|error| client_error("consumer settings", error))?;
        let max_poll_interval = Duration::from_millis(config.max_poll_interval_ms);
        let resets = OffsetResets::new(config.auto_offset_reset, plan, &self.application_id);
        let make = match has_sole_id {
            true => Consumer::with_sole_instance_id,
            false => Consumer::with_assignors,
        };
        let mut consumer = make(client, config, vec![Arc::new(assignor)])
            .map_err(|error| client_error("making the consumer", error))?;
        resets.tell(&mut consumer);
        let subscribed = match planner.has_patterns() {
            true => {
                let patterns = Arc::clone(planner);
                consumer.subscribe_also_matching(planner.named(), move |topic| patterns.matches(topic))
            }
            false => consumer.subscribe(planner.named()),
        };
        subscribed.map_err(|error| client_error("subscribing", error))?;
        Ok((consumer, resets, max_poll_interval))
    }
}

/// A number that tells topologies apart: of their nodes, stores and topics (FNV-1a, the same everywhere).
fn fingerprint(topology: &Topology) -> u64 {
    let text = topology.describe().to_string();
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
