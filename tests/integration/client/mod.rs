//! The client against a real broker: one suite, run on every cluster there is.
//!
//! Clusters: our broker in this process, the same over TCP, and Apache Kafka, if `ANABRANCH_KAFKA=host:port` names one. Topics and groups have names of their own per run,
//! so that a cluster can be used again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin;
mod administration;
mod beginnings;
mod consumer;
mod isolation;
mod producer;
mod restart;
mod security;
mod subscriptions;
mod transactions;

use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_client::{Client, ClientConfig, NewTopic};
use anabranch_host::{ByteStream, Dialer, Host};

/// A cluster to test against.
pub(crate) struct Cluster {
    pub(crate) host: Host,
    pub(crate) name: &'static str,
    dialer: Dialer,
    server: String,
    run: u64,
}

impl Cluster {
    /// A client of it.
    pub(crate) async fn client(&self) -> Client {
        self.client_with(&[]).await
    }

    /// A client of it with these settings.
    pub(crate) async fn client_with(&self, settings: &[(&str, &str)]) -> Client {
        let pairs = [("bootstrap.servers", self.server.as_str()), ("client.id", "integration")];
        let config = ClientConfig::from_pairs(pairs.iter().chain(settings).copied()).expect("good keys");
        Client::connect(&self.host, self.dialer.clone(), config).await.expect("the cluster is there")
    }

    /// A name for a topic or group that nobody else uses.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name}-{:016x}", self.run)
    }
}

impl Cluster {
    /// Makes a topic and waits until brokers show it: in Kafka the answer comes before all of them know.
    pub(crate) async fn topic(&self, client: &Client, name: &str, partitions: i32) -> String {
        let (admin, name) = (client.admin(), self.name(name));
        let results = admin.create_topics(&[NewTopic::new(&name, partitions)]).await.expect("an answer");
        results[&name].as_ref().expect("a good topic");
        self.until("the topic is shown with leaders", async || {
            let described = admin.describe_topics(&[&name]).await.expect("an answer");
            described[&name]
                .as_ref()
                .is_ok_and(|topic| topic.partitions.iter().all(|one| one.leader.is_some()))
        })
        .await;
        name
    }

    /// Waits for what a cluster does in its own time.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let deadline = self.host.now() + Duration::from_secs(20);
        while !holds().await {
            assert!(self.host.now() < deadline, "on {}: never was it so that {what}", self.name);
            self.host.sleep(Duration::from_millis(20)).await;
        }
    }

    /// A byte stream to it.
    pub(crate) async fn connect(&self) -> ByteStream {
        self.dialer.connect(&self.server).await.expect("the cluster is there")
    }
}

/// Runs `test` on each cluster.
pub(crate) fn on_each_cluster(test: impl AsyncFn(&Cluster)) {
    on_embedded(&test);
    on_kafka(test);
}

/// Runs `test` on our broker: in this process, and the same one over TCP.
pub(crate) fn on_embedded(test: impl AsyncFn(&Cluster)) {
    let (host, runtime) = Host::real(2).expect("a runtime");
    runtime.block_on(async {
        let config = BrokerConfig::from_properties("listeners=PLAINTEXT://127.0.0.1:0").expect("good keys");
        let broker = EmbeddedBroker::start(host.clone(), config).await.expect("a broker");
        let endpoints = broker.broker().listen().await.expect("a free port");
        let in_process = Cluster {
            name: "embedded, in process",
            dialer: broker.dialer(),
            server: "here:9092".to_string(),
            run: host.random_u64(),
            host: host.clone(),
        };
        test(&in_process).await;
        let over_tcp = Cluster {
            name: "embedded, over TCP",
            dialer: host.dialer(),
            server: format!("{}:{}", endpoints[0].host, endpoints[0].port),
            run: host.random_u64(),
            host: host.clone(),
        };
        test(&over_tcp).await;
        broker.shutdown().await;
    });
}

/// Runs `test` on Apache Kafka, if there is one.
pub(crate) fn on_kafka(test: impl AsyncFn(&Cluster)) {
    let Ok(server) = std::env::var("ANABRANCH_KAFKA") else {
        eprintln!("not run on Apache Kafka: ANABRANCH_KAFKA names none");
        return;
    };
    let (host, runtime) = Host::real(1).expect("a runtime");
    let (dialer, run) = (host.dialer(), host.random_u64());
    let cluster = Cluster { name: "Apache Kafka", dialer, server, run, host };
    runtime.block_on(test(&cluster));
}
