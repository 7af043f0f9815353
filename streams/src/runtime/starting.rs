//! How an instance starts, step by step: it connects, prepares its topics, opens its state, starts its workers, reads the
//! global stores to their ends, and joins the group.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anabranch_client::{Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig};
use anabranch_host::{Dialer, Host};
use anabranch_state_store::{Engine, KeptBytes};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::assignment::assignor::TaskAssignor;
use super::assignment::holdings::Holdings;
use super::assignment::placement::Policy;
use super::batch_outbox::BatchLimits;
use super::beginnings::OffsetResets;
use super::config::{ClientRole, Guarantee, StreamsConfig};
use super::global::{self, ReaderParts, Reading};
use super::instance::InstanceHandle;
use super::local_state;
use super::member::{Member, MemberParts, TaskMaker, Timing};
use super::metrics::Metrics;
use super::plan::{Plan, Planner};
use super::purge::purge_regularly;
use super::query::OpenIterators;
use super::restore::Changelogs;
use super::restore_listener::Listeners;
use super::shared::{Shared, Told};
use super::staleness::Staleness;
use super::state::{State, StateListener};
use super::state_directory::{StateDirectory, hex};
use super::topic_settings;
use super::topics::{self, InternalTopicSettings};
use super::uncaught::UncaughtErrorHandler;
use super::worker::{CommitIntervals, FromWorker, Teller, ToInstance, client_error};
use super::workers::{WorkerParts, Workers};
use crate::error::{Error, Result};
use crate::processor::Policies;
use crate::state::Globals;
use crate::task::TaskConfig;
use crate::topology::Topology;

/// An instance that is about to start: what it is made of.
pub(crate) struct Starting {
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

/// It is connected.
struct Connected {
    client: Client,
    producer: Producer,
    producer_config: ProducerConfig,
    metrics: Arc<Metrics>,
}

/// Its topics are there, and it is known what reads them.
struct Planned {
    planner: Arc<Planner>,
    plan: Arc<Plan>,
    internal: InternalTopicSettings,
    /// Topics that feed global stores, and how many partitions each has.
    global_topics: BTreeMap<String, i32>,
}

/// The state of earlier runs is open.
struct Opened {
    directory: Option<StateDirectory>,
    engine: Option<Arc<dyn Engine>>,
    holdings: Arc<Holdings>,
    staleness: Staleness,
}

impl Starting {
    /// Returns once every task it got is running.
    pub(crate) async fn start(self) -> Result<InstanceHandle> {
        let connected = self.connect().await?;
        let planned = self.prepare_topics(&connected).await?;
        let opened = self.open_state(&connected.client, &planned.plan).await?;
        let changelogs = self.read_changelogs(&connected.client)?;
        let (to_instance, from_workers) = mpsc::unbounded_channel();
        let kept = KeptBytes::default();
        let workers = self.start_workers(&connected, &opened.holdings, &kept, to_instance.clone())?;
        let mut task_config = self.task_config(opened.engine.clone(), kept.clone());
        let parts = self.reader_parts(&connected, &opened.staleness, &task_config, &changelogs)?;
        // All of them, before the first record of any stream.
        let to_instance = ToInstance::new(Teller::GlobalReader, to_instance);
        let (globals, global) = global::start(parts, &planned.global_topics, to_instance).await?;
        task_config.globals = globals;
        let (consumer, offset_resets, max_poll_interval) =
            self.member_consumer(&connected.client, &planned, &opened)?;
        let (commands, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            application_id: self.application_id.clone(),
            client: connected.client,
            plan: Mutex::new(planned.plan),
            global_topics: planned.global_topics,
            globals: Mutex::new(task_config.globals.clone()),
            iterators: OpenIterators::default(),
            globals_read: global.as_ref().map(Reading::positions),
            state: watch::Sender::new(State::Created),
            end_by: watch::Sender::new(None),
            over: watch::Sender::new(false),
            committed: watch::Sender::new(0),
            error: Mutex::new(None),
            commands,
            metrics: connected.metrics,
            holdings: Arc::clone(&opened.holdings),
            placed: Mutex::new(BTreeMap::new()),
            workers: workers.senders(),
        });
        let purge_interval = Duration::from_millis(self.config.repartition_purge_interval_ms);
        self.host.spawn(purge_regularly(
            self.host.clone(),
            Arc::downgrade(&shared),
            Arc::clone(&opened.holdings),
            purge_interval,
        ));
        let timing = self.timing(max_poll_interval);
        let maker = TaskMaker {
            client: shared.client.clone(),
            metrics: Arc::clone(&shared.metrics),
            task_config,
            changelogs,
            batches: BatchLimits::of(&connected.producer_config),
            staleness: opened.staleness,
            listeners: self.listeners,
        };
        let member = Member::new(MemberParts {
            shared: Arc::clone(&shared),
            planner: planned.planner,
            consumer,
            offset_resets,
            workers,
            from_workers,
            commands: receiver,
            maker,
            directory: opened.directory,
            global,
            listener: self.listener,
            uncaught: self.uncaught,
            timing,
        });
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

    async fn connect(&self) -> Result<Connected> {
        let config = self.client_config(ClientRole::Admin)?;
        let client = Client::connect(&self.host, self.dialer.clone(), config).await;
        let client = client.map_err(|error| client_error("no broker answers", error))?;
        let settings = self.config.client_settings(ClientRole::Producer);
        let producer_config = ProducerConfig::from_pairs(&settings)
            .map_err(|error| client_error("producer settings", error))?;
        let producer = Producer::new(&client, producer_config.clone())
            .map_err(|error| client_error("making a producer", error))?;
        let metrics = Arc::new(Metrics::new(&self.application_id));
        Ok(Connected { client, producer, producer_config, metrics })
    }

    /// Finds the topics that it reads, makes those that are its own, and plans with them.
    async fn prepare_topics(&self, connected: &Connected) -> Result<Planned> {
        let Connected { client, producer, .. } = connected;
        let planner = Planner::new(self.topology.clone(), &self.application_id);
        let internal = InternalTopicSettings {
            replication_factor: self.config.replication_factor,
            overrides: self.config.topic.clone(),
        };
        let found = topics::find(client, &planner, self.create_topics, internal.replication_factor).await?;
        let plan = planner.plan(&found.sources)?;
        let made = topics::make(client, &plan, &internal).await?;
        topic_settings::check(client, &plan, &internal, &made).await?;
        topics::tell_of_lost(client, &self.application_id, &plan, &made).await;
        if let Some(topic) = &self.dead_letters {
            topics::make_dead_letters(client, producer, topic, internal.replication_factor).await?;
        }
        topics::look_up(producer, &planner, &plan).await?;
        let (planner, plan) = (Arc::new(planner), Arc::new(plan));
        Ok(Planned { planner, plan, internal, global_topics: found.global })
    }

    /// Opens the state directory, if there is one, and looks what is kept in it.
    async fn open_state(&self, client: &Client, plan: &Plan) -> Result<Opened> {
        let directory = match &self.config.state_dir {
            Some(base) => Some(self.open_directory(base.as_ref()).await?),
            None => None,
        };
        let disk = self.host.disk();
        let open = |directory| local_state::open_engine(&disk, directory, &self.topology);
        let engine = directory.as_ref().map(open).transpose()?;
        let process_id =
            directory.as_ref().map_or_else(|| self.host.random_uuid(), StateDirectory::process_id);
        let holdings = Arc::new(Holdings::new(
            process_id,
            fingerprint(&self.topology),
            self.config.client_tags.clone(),
            self.config.application_server.clone(),
        ));
        let staleness = Staleness::new(client, self.config.guarantee == Guarantee::ExactlyOnce);
        if let Some(engine) = &engine {
            let (now, wall_clock_ms) = (self.host.now(), self.host.wall_clock_ms());
            let (id, staleness) = (&self.application_id, &staleness);
            let found = local_state::stored_tasks(&**engine, plan, id, staleness, wall_clock_ms).await?;
            holdings.found(found, now);
        }
        Ok(Opened { directory, engine, holdings, staleness })
    }

    async fn open_directory(&self, base: &Path) -> Result<StateDirectory> {
        let opened = StateDirectory::open(&self.host, base, &self.application_id).await;
        let cleaned = opened.and_then(|directory| match self.clean_up {
            true => directory.remove_stores(&self.host.disk()).map(|()| directory),
            false => Ok(directory),
        });
        cleaned.map_err(|error| Error::invalid("the state cannot be opened").with_source(error))
    }

    fn read_changelogs(&self, client: &Client) -> Result<Changelogs> {
        let config = self.reader_config(ClientRole::RestoreConsumer, "restore consumer settings")?;
        Ok(Changelogs::start(client, config, self.application_id.as_str().into()))
    }

    /// Of a consumer that is in no group, and that is told where to read.
    fn reader_config(&self, role: ClientRole, what: &str) -> Result<ConsumerConfig> {
        let mut settings = self.config.client_settings(role);
        settings.extend(self.isolation());
        settings.insert("auto.offset.reset".to_string(), "none".to_string());
        ConsumerConfig::from_pairs(&settings).map_err(|error| client_error(what, error))
    }

    fn start_workers(
        &self,
        connected: &Connected,
        holdings: &Arc<Holdings>,
        kept: &KeptBytes,
        to_instance: mpsc::UnboundedSender<(Teller, FromWorker)>,
    ) -> Result<Workers> {
        let mut workers = Workers::new(WorkerParts {
            client: connected.client.clone(),
            application_id: self.application_id.clone(),
            guarantee: self.config.guarantee,
            producer: connected.producer_config.clone(),
            task_timeout: Duration::from_millis(self.config.task_timeout_ms),
            commit_intervals: CommitIntervals::of(&self.config),
            cache_max_bytes: self.config.cache_max_bytes,
            memory_max_bytes: self.config.memory_max_bytes,
            uncommitted_max_bytes: self.config.uncommitted_max_bytes,
            buffered_records: self.config.buffered_records_per_partition,
            buffered_max_bytes: self.config.input_buffer_max_bytes,
            to_instance,
            holdings: Arc::clone(holdings),
            kept: kept.clone(),
            metrics: Arc::clone(&connected.metrics),
        });
        for _ in 0..self.config.threads {
            workers.start_one_more()?;
        }
        Ok(workers)
    }

    /// Of all tasks, which see no global stores yet.
    fn task_config(&self, engine: Option<Arc<dyn Engine>>, kept: KeptBytes) -> TaskConfig {
        TaskConfig {
            application_id: self.application_id.as_str().into(),
            policies: self.policies.clone(),
            caching: self.config.cache_max_bytes > 0,
            emit_interval_ms: 1_000,
            max_idle_ms: self.config.max_task_idle_ms,
            engine,
            globals: Globals::default(),
            kept,
        }
    }

    /// What the reader of global stores is made of.
    fn reader_parts(
        &self,
        connected: &Connected,
        staleness: &Staleness,
        task_config: &TaskConfig,
        changelogs: &Changelogs,
    ) -> Result<ReaderParts> {
        Ok(ReaderParts {
            metrics: Arc::clone(&connected.metrics),
            client: connected.client.clone(),
            consumer: self.reader_config(ClientRole::GlobalConsumer, "global consumer settings")?,
            producer: connected.producer.clone(),
            batches: BatchLimits::of(&connected.producer_config),
            staleness: staleness.clone(),
            topology: Arc::new(self.topology.clone()),
            task_config: task_config.clone(),
            checkpoint_interval: Duration::from_millis(self.config.commit_interval_ms),
            changelogs: changelogs.clone(),
            listener: self.listeners.restore.clone(),
        })
    }

    /// The consumer of the group's member, who places tasks if it leads. With it comes where each topic begins, and
    /// `max.poll.interval.ms`.
    fn member_consumer(
        &self,
        client: &Client,
        planned: &Planned,
        opened: &Opened,
    ) -> Result<(Consumer, OffsetResets, Duration)> {
        let policy = Policy {
            standby_replicas: self.config.num_standby_replicas,
            acceptable_recovery_lag: self.config.acceptable_recovery_lag,
            max_warmup_replicas: self.config.max_warmup_replicas,
            rack_aware_tags: self.config.rack_aware_assignment_tags.clone(),
        };
        let assignor = TaskAssignor::new(
            client.clone(),
            Arc::clone(&planned.planner),
            planned.internal.clone(),
            Arc::clone(&planned.plan),
            policy,
            Arc::clone(&opened.holdings),
        );
        let instance_id = opened.directory.as_ref().map(|directory| hex(&directory.process_id()));
        self.consumer(client, &planned.planner, &planned.plan, assignor, instance_id)
    }

    fn timing(&self, max_poll_interval: Duration) -> Timing {
        Timing {
            probing_interval: Duration::from_millis(self.config.probing_rebalance_interval_ms),
            acceptable_lag: self.config.acceptable_recovery_lag,
            cleanup_delay: Duration::from_millis(self.config.state_cleanup_delay_ms),
            task_timeout: Duration::from_millis(self.config.task_timeout_ms),
            max_poll_interval,
            poll: Duration::from_millis(self.config.poll_ms.max(1)),
            has_transactions: self.config.guarantee == Guarantee::ExactlyOnce,
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

    /// With a state directory the member is a static one: a killed instance that comes back is the same member and gets its
    /// tasks at once (KIP-345).
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
