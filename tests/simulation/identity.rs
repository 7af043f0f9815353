//! The broker's identity: what it once said of itself stays so, whatever befalls its node.

use std::time::Duration;

use anabranch_client::{Client, ClientConfig};
use anabranch_host::sim::assert_same_trace;
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{ADDRESS, BrokerProcess};
use crate::nemesis::{FAULTS, Nemesis};
use crate::seeds::{for_each_seed, for_some_seeds};

/// The cluster's id, as a new client is told it; `None` if there is no answer in time.
async fn cluster_id(host: &Host) -> Option<String> {
    let config = ClientConfig {
        bootstrap_servers: vec![ADDRESS.to_string()],
        socket_connection_setup_timeout_ms: 2000,
        ..ClientConfig::default()
    };
    let client = Client::connect(host, host.dialer(), config).await.ok()?;
    client.metadata().cluster_id().map(str::to_string)
}

/// All answers of a run in which things fail for half a minute.
fn cluster_ids(sim: &Sim, options: &SimOptions) -> Vec<String> {
    let clients = ["client".to_string()];
    sim.block_on(async {
        let broker = BrokerProcess::start(sim, &[]);
        let nemesis = Nemesis::new(sim, &broker, &clients, &FAULTS, options.disk.clone());
        let ask = async {
            let host = sim.node("client");
            let mut told = Vec::new();
            // Some while things fail, one when they no longer do.
            while told.is_empty() || host.now().since_start() < Duration::from_secs(60) {
                told.extend(cluster_id(&host).await);
                host.sleep(Duration::from_millis(100)).await;
            }
            told
        };
        let asked = async { tokio::join!(ask, nemesis.run(Duration::from_secs(30))).0 };
        broker.keep_running_while(asked).await
    })
}

#[test]
fn the_cluster_id_survives() {
    for_each_seed("the_cluster_id_survives", |seed| {
        let options = SimOptions::chaos(seed);
        let sim = Sim::new(seed, options.clone());
        let told = cluster_ids(&sim, &options);
        assert!(told.iter().all(|id| *id == told[0]), "seed {seed}: the cluster was {told:?}");
        assert_eq!(sim.panics(), [], "seed {seed}");
    });
}

#[test]
fn two_runs_of_a_seed_are_one() {
    for_some_seeds("two_runs_of_a_seed_are_one", |seed| {
        let options = SimOptions::chaos(seed);
        assert_same_trace(seed, &options, |sim| drop(cluster_ids(sim, &options)));
    });
}
