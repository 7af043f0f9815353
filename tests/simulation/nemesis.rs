//! Makes things fail, under the seed: which faults a run knows, when they come and how long they last.
//!
//! Each seed knows some faults and not others, so that each is also met alone. In the end all is mended, and the run
//! must come to rest.

use std::time::Duration;

use anabranch_host::sim::DiskOptions;
use anabranch_host::{Host, Sim};

use crate::broker_process::{BrokerProcess, NODE};

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The broker is asked to stop, and stops.
    Stop,
    /// The broker's process ends; what it wrote stays in the page cache.
    Kill,
    /// The broker's node loses power: what was not synced may be gone.
    Crash,
    /// Power is lost again and again, also while the broker recovers.
    CrashLoop,
    /// The connections of one node are reset.
    Reset,
    /// The link between the broker and a client is down, one way or both.
    Partition,
    /// Nobody reaches the broker.
    Isolate,
    /// The broker's process stands still.
    PauseBroker,
    /// A client's process stands still.
    PauseClient,
    /// Syncs take long.
    SlowDisk,
    /// No room on the disk.
    FullDisk,
    /// Syncs fail; the node is restarted then.
    BadSync,
    /// The broker's wall clock jumps.
    Clock,
}

/// All of them.
pub(crate) const FAULTS: [Fault; 13] = [
    Fault::Stop,
    Fault::Kill,
    Fault::Crash,
    Fault::CrashLoop,
    Fault::Reset,
    Fault::Partition,
    Fault::Isolate,
    Fault::PauseBroker,
    Fault::PauseClient,
    Fault::SlowDisk,
    Fault::FullDisk,
    Fault::BadSync,
    Fault::Clock,
];

/// Brings the faults of one run about.
pub(crate) struct Nemesis<'a> {
    sim: &'a Sim,
    broker: &'a BrokerProcess<'a>,
    clients: &'a [String],
    /// Its own host: chance, and time.
    host: Host,
    faults: Vec<Fault>,
    disk: DiskOptions,
}

impl<'a> Nemesis<'a> {
    /// One that knows some of `known`, by the seed. `disk` is what a disk is like when nothing is wrong with it.
    pub(crate) fn new(
        sim: &'a Sim,
        broker: &'a BrokerProcess<'a>,
        clients: &'a [String],
        known: &[Fault],
        disk: DiskOptions,
    ) -> Self {
        let host = sim.node("nemesis");
        let faults: Vec<Fault> = known.iter().copied().filter(|_| host.random_below(2) == 0).collect();
        println!("seed {}: {faults:?}", sim.seed());
        Nemesis { sim, broker, clients, host, faults, disk }
    }

    /// Makes things fail for so long, then mends all.
    pub(crate) async fn run(&self, duration: Duration) {
        let end = self.host.now() + duration;
        loop {
            self.host.sleep(self.some_time(50, 3000)).await;
            if self.host.now() >= end || self.faults.is_empty() {
                break;
            }
            let fault = self.faults[self.pick(self.faults.len())];
            self.bring_about(fault).await;
        }
        self.host.sleep_until(end).await;
        self.mend();
    }

    fn mend(&self) {
        self.sim.heal();
        self.sim.set_disk(NODE, self.disk.clone());
        self.sim.set_wall_clock_skew_ms(NODE, 0);
        self.broker.hold_down(false);
    }

    async fn bring_about(&self, fault: Fault) {
        println!("{:?} {fault:?}", self.host.now().since_start());
        let client = || &self.clients[self.pick(self.clients.len())];
        match fault {
            Fault::Stop => self.sim.interrupt(NODE),
            Fault::Kill => self.sim.kill(NODE),
            Fault::Crash => {
                self.sim.crash(NODE);
                self.stay_down().await;
            }
            Fault::CrashLoop => {
                for _ in 0..2 + self.host.random_below(4) {
                    self.sim.crash(NODE);
                    self.host.sleep(self.some_time(1, 500)).await;
                }
            }
            Fault::Reset if self.host.random_below(2) == 0 => self.sim.reset_connections(NODE),
            Fault::Reset => self.sim.reset_connections(client()),
            Fault::Partition => {
                match self.host.random_below(3) {
                    0 => self.sim.partition(NODE, client()),
                    1 => self.sim.partition_one_way(NODE, client()),
                    _ => self.sim.partition_one_way(client(), NODE),
                }
                self.host.sleep(self.some_time(10, 15_000)).await;
                self.sim.heal();
            }
            Fault::Isolate => {
                self.sim.isolate(NODE);
                self.host.sleep(self.some_time(10, 15_000)).await;
                self.sim.heal();
            }
            Fault::PauseBroker => self.pause(NODE).await,
            Fault::PauseClient => self.pause(client()).await,
            Fault::SlowDisk => {
                self.with_disk(DiskOptions { slow_sync_probability: 0.5, ..self.disk.clone() }).await;
            }
            Fault::FullDisk => {
                self.with_disk(DiskOptions { capacity_bytes: Some(0), ..self.disk.clone() }).await
            }
            Fault::BadSync => {
                self.with_disk(DiskOptions { sync_failure_probability: 0.5, ..self.disk.clone() }).await;
                self.sim.crash(NODE);
            }
            Fault::Clock => {
                let hour_ms = 3_600_000;
                let skew_ms = self.host.random_below(2 * hour_ms) as i64 - hour_ms as i64;
                self.sim.set_wall_clock_skew_ms(NODE, skew_ms);
            }
        }
    }

    async fn stay_down(&self) {
        self.broker.hold_down(true);
        self.host.sleep(self.some_time(0, 5000)).await;
        self.broker.hold_down(false);
    }

    async fn pause(&self, node: &str) {
        self.sim.pause(node);
        self.host.sleep(self.some_time(10, 20_000)).await;
        self.sim.resume(node);
    }

    async fn with_disk(&self, disk: DiskOptions) {
        self.sim.set_disk(NODE, disk);
        self.host.sleep(self.some_time(10, 5000)).await;
        self.sim.set_disk(NODE, self.disk.clone());
    }

    fn some_time(&self, least_ms: u64, most_ms: u64) -> Duration {
        // Short ones more often than long ones.
        let span = most_ms - least_ms;
        Duration::from_millis(
            least_ms + self.host.random_below(span) * self.host.random_below(span) / span.max(1),
        )
    }

    fn pick(&self, count: usize) -> usize {
        usize::try_from(self.host.random_below(count as u64)).expect("below a usize")
    }
}
