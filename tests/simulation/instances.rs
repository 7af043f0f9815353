//! Instances of an application, each on a node of its own, as an operator runs them; and who ends them.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_host::{Host, Sim};

use crate::broker_process::ADDRESS;
use crate::runs::one_of;

/// Workers of an instance whose workers come and go.
const MOST_THREADS: usize = 4;

/// How the instances of a run work, whatever they compute; from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Instances {
    pub(crate) count: usize,
    pub(crate) threads: usize,
    pub(crate) guarantee: Guarantee,
    pub(crate) commit_interval_ms: u64,
    /// Exactly once, the interval is not set: a worker commits early when it has no input at hand.
    pub(crate) commits_early: bool,
    /// Copies of state on other instances.
    pub(crate) standbys: u64,
    /// How far behind a copy may be that a task moves to, and how many are prepared for that at a time.
    pub(crate) acceptable_recovery_lag: u64,
    pub(crate) max_warmup_replicas: u64,
    /// Whether a worker that has failed is replaced; else its instance ends.
    pub(crate) replaces: bool,
}

impl Instances {
    pub(crate) fn draw(host: &Host) -> Instances {
        Instances {
            count: one_of(host, &[1, 2, 2]),
            threads: one_of(host, &[1, 2]),
            guarantee: one_of(host, &[AtLeastOnce, ExactlyOnce, ExactlyOnce]),
            commit_interval_ms: one_of(host, &[10, 100, 1000]),
            commits_early: host.random_below(2) == 0,
            standbys: one_of(host, &[0, 1]),
            acceptable_recovery_lag: one_of(host, &[0, 10, 10_000]),
            max_warmup_replicas: one_of(host, &[1, 2]),
            replaces: host.random_below(2) == 0,
        }
    }

    /// One of them, on this node.
    pub(crate) fn streams(&self, application_id: &str, topology: Topology, host: &Host) -> Streams {
        let streams = Streams::new(application_id, topology)
            .threads(self.threads)
            .guarantee(self.guarantee)
            .config("num.standby.replicas", self.standbys)
            .config("acceptable.recovery.lag", self.acceptable_recovery_lag)
            .config("max.warmup.replicas", self.max_warmup_replicas);
        let streams = match self.commits_early && self.guarantee == ExactlyOnce {
            true => streams,
            false => streams.config("commit.interval.ms", self.commit_interval_ms),
        };
        let streams = of_the_world(streams, host);
        match self.replaces {
            true => streams.on_uncaught_error(|_| ReplaceThread),
            false => streams,
        }
    }

    /// Where they run.
    pub(crate) fn nodes(&self) -> Vec<String> {
        (0..self.count).map(|number| format!("app{number}")).collect()
    }

    /// Ends all of them at once.
    pub(crate) fn kill(&self, sim: &Sim) {
        self.nodes().iter().for_each(|node| sim.kill(node));
    }

    /// Where anything may fail: these nodes, and those of instances.
    pub(crate) fn nodes_in_trouble(&self, others: &[&str]) -> Vec<String> {
        others.iter().chain(self.that_may_stand_still()).map(|node| node.to_string()).collect()
    }

    /// The nodes of those that may stand still. A process that does so, or is cut off, for longer than its session wakes up
    /// with batches to send; another has its tasks then, and only transactions fence the two. So where there are two
    /// instances and none, they end, and lose connections, but do not wake up late (`late_wakers`).
    pub(crate) fn that_may_stand_still(&self) -> &'static [&'static str] {
        match (self.count, self.guarantee) {
            (1, _) => &["app0"],
            (_, ExactlyOnce) => &["app0", "app1"],
            (_, AtLeastOnce) => &[],
        }
    }
}

/// An instance on this node, which is missed after some seconds.
pub(crate) fn of_the_world(streams: Streams, host: &Host) -> Streams {
    streams
        .on(host.clone(), host.dialer())
        .bootstrap_server(ADDRESS)
        .config("consumer.session.timeout.ms", 6000)
        .config("consumer.heartbeat.interval.ms", 500)
        .config("producer.transaction.timeout.ms", 5000)
}

/// One that gives up soon what nobody answers: requests that it has given up arrive late, and nobody tells it whether a
/// transaction is committed.
pub(crate) fn impatient(streams: Streams) -> Streams {
    streams.config("producer.max.block.ms", 1500).config("request.timeout.ms", 2000)
}

/// Runs an instance on its node, and starts it again whenever it has ended.
async fn keep_running<L>(sim: &Sim, node: &str, life: impl Fn(&Host) -> L)
where
    L: Future<Output = Result<()>> + Send + 'static,
{
    let operator = sim.node("operator");
    loop {
        let host = sim.node(node);
        // A kill cancels it.
        if let Ok(ended) = host.spawn(life(&host)).await {
            println!("{:?} {node} ended: {ended:?}", sim.now().since_start());
            sim.kill(node);
        }
        operator.sleep(Duration::from_millis(operator.random_below(2000))).await;
    }
}

/// Runs until it is interrupted or fails, then ends cleanly. Of some, workers come and go meanwhile.
async fn run_restlessly(running: RunningStreams, host: &Host) -> Result<()> {
    if host.random_below(3) > 0 {
        return running.run_until_ctrl_c().await;
    }
    let changes = async {
        while running.state().is_running_or_rebalancing() {
            host.sleep(Duration::from_millis(host.random_below(8000))).await;
            let adds = running.threads() < MOST_THREADS && host.random_below(2) == 0;
            // Refused if it has failed, or only one is left.
            let _ = if adds { running.add_thread().await } else { running.remove_thread().await };
        }
    };
    tokio::select! {
        biased;
        _ = host.interrupted() => {}
        () = changes => {}
    }
    running.close().await
}

/// Runs instances on their nodes until `work` is done; they are still there then.
pub(crate) async fn while_they_run<T>(
    sim: &Sim,
    nodes: &[String],
    streams: impl Fn(&Host) -> Streams,
    work: impl Future<Output = T>,
) -> T {
    while_they_live(sim, nodes, |host| life(streams(host), host.clone()), work).await
}

/// The life of an instance.
pub(crate) async fn life(streams: Streams, host: Host) -> Result<()> {
    run_restlessly(streams.start().await?, &host).await
}

/// The same, where more is done with instances than to run them.
pub(crate) async fn while_they_live<T, L>(
    sim: &Sim,
    nodes: &[String],
    life: impl Fn(&Host) -> L,
    work: impl Future<Output = T>,
) -> T
where
    L: Future<Output = Result<()>> + Send + 'static,
{
    let instances = nodes.iter().map(|node| keep_running(sim, node, &life));
    tokio::select! {
        biased;
        done = work => done,
        _ = futures::future::join_all(instances) => unreachable!("they run for ever"),
    }
}

/// Processes what is left to process, however often an instance must be started for it, and asks the last one.
pub(crate) async fn process_the_rest<T>(
    host: &Host,
    streams: impl Fn(&Host) -> Streams,
    ask: impl AsyncFn(&RunningStreams) -> Result<T>,
) -> T {
    loop {
        let rest = async {
            let running = streams(host).start().await?;
            running.drain().await?;
            let answer = ask(&running).await?;
            running.close().await?;
            Ok::<_, anabranch::Error>(answer)
        };
        match rest.await {
            Ok(answer) => return answer,
            Err(error) => println!("{:?} not processed: {error}", host.now().since_start()),
        }
        host.sleep(Duration::from_millis(500)).await;
    }
}

/// All that the store of `application_id` has, of whose tasks each reads one partition. The group keeps tasks for instances that
/// were killed until they are missed, and those that joined just then are given some.
pub(crate) async fn all_rows(
    running: &RunningStreams,
    application_id: &str,
    store: Store<KeyValue<String, i64>>,
) -> Result<BTreeMap<String, i64>> {
    let has_all = async || {
        let tasks = running.tasks().iter().filter(|task| task.is_running).count();
        let group = running.client().admin().describe_group(application_id).await;
        let group = group.map_err(|error| Error::fatal(format_args!("describing the group: {error}")))?;
        let is_alone = group.state == "Stable" && group.members.len() == 1;
        Ok::<_, Error>(is_alone && group.members.iter().all(|member| member.partitions.len() == tasks))
    };
    // One that has ended has no store to read.
    while !matches!(running.state(), State::Error | State::NotRunning) && !has_all().await? {
        running.client().host().sleep(Duration::from_millis(200)).await;
    }
    Ok(running.store(store)?.all().await?.into_iter().collect())
}

/// Ends instances `app0` and so on, suddenly or cleanly, if anything is to fail.
pub(crate) async fn end_instances(sim: &Sim, instances: usize, troubled: bool, until: Duration) {
    let host = sim.node("nemesis of instances");
    let often = host.random_below(3);
    while troubled && often > 0 && host.now().since_start() < until {
        host.sleep(Duration::from_millis(host.random_below(20_000 / often))).await;
        let node = format!("app{}", host.random_below(instances as u64));
        let suddenly = host.random_below(2) == 0;
        println!(
            "{:?} {node} ends {}",
            sim.now().since_start(),
            if suddenly { "suddenly" } else { "cleanly" }
        );
        if suddenly { sim.kill(&node) } else { sim.interrupt(&node) }
    }
}
