//! The broker's process on its node: started, watched, and started again when it has ended.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anabranch_broker::Broker;
use anabranch_broker::config::BrokerConfig;
use anabranch_host::{Host, JoinHandle, Sim};

/// The broker's node.
pub(crate) const NODE: &str = "broker";
/// Where clients find it.
pub(crate) const ADDRESS: &str = "broker:9092";

/// Of every four brokers two take a snapshot of the metadata whenever it has changed, and one of them keeps the newest alone.
pub(crate) fn snapshots_of_metadata(seed: u64) -> &'static [(&'static str, &'static str)] {
    const KEYS: [(&str, &str); 2] =
        [("metadata.log.max.record.bytes.between.snapshots", "1"), ("metadata.max.retention.bytes", "0")];
    match seed % 4 {
        1 => &KEYS,
        3 => &KEYS[..1],
        _ => &[],
    }
}

/// What runs the broker as an operator would: when it ends, it is started again.
pub(crate) struct BrokerProcess<'a> {
    sim: &'a Sim,
    config: BrokerConfig,
    /// Ends with the reason.
    running: RefCell<Option<JoinHandle<String>>>,
    /// Whether somebody keeps it down on purpose.
    held: Cell<bool>,
}

impl<'a> BrokerProcess<'a> {
    /// Starts it, with these keys and values besides those that a node needs.
    pub(crate) fn start(sim: &'a Sim, keys: &[(&str, &str)]) -> Self {
        let always = [
            ("listeners", "PLAINTEXT://broker:9092"),
            ("log.dirs", "/var/lib/anabranch"),
            ("group.initial.rebalance.delay.ms", "0"),
        ];
        let config = BrokerConfig::from_pairs(always.into_iter().chain(keys.iter().copied()))
            .expect("keys and values that the broker knows");
        let process = BrokerProcess { sim, config, running: RefCell::new(None), held: Cell::new(false) };
        process.begin();
        process
    }

    fn begin(&self) {
        let host = self.sim.node(NODE);
        *self.running.borrow_mut() = Some(host.spawn(run(host.clone(), self.config.clone())));
    }

    /// Waits for `work`, and keeps the broker running meanwhile: it is started again some time after it has ended.
    pub(crate) async fn keep_running_while<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            output = work => output,
            () = self.keep_running() => unreachable!("it runs for ever"),
        }
    }

    async fn keep_running(&self) {
        let host = self.sim.node("operator");
        loop {
            let running = self.running.borrow_mut().take();
            if let Some(running) = running {
                // It may end by itself; a crash cancels it.
                if let Ok(error) = running.await {
                    println!("{:?} the broker ended: {error}", self.sim.now().since_start());
                    self.sim.kill(NODE);
                }
            }
            host.sleep(Duration::from_millis(host.random_below(2000))).await;
            while self.held.get() {
                host.sleep(Duration::from_millis(50)).await;
            }
            self.begin();
        }
    }

    /// As long as this holds, it is not started again.
    pub(crate) fn hold_down(&self, hold: bool) {
        self.held.set(hold);
    }
}

async fn run(host: Host, config: BrokerConfig) -> String {
    let interrupted = host.clone();
    let broker = match Broker::open(host, config).await {
        Ok(broker) => broker,
        Err(error) => return error.to_string(),
    };
    if let Err(error) = broker.listen().await {
        return error.to_string();
    }
    match interrupted.interrupted().await {
        Ok(()) => {
            broker.shutdown().await;
            "asked to stop".to_string()
        }
        Err(error) => error.to_string(),
    }
}
