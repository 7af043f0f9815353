//! A place to run: a broker that outlives the applications, and topics of the test's own.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Client, NewTopic, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::Host;

use super::outside::Outside;
use super::{App, counted, expected};

/// Topics of an application, and how it is started, on a broker that outlives it.
pub(crate) struct Place {
    pub(crate) app: App,
    pub(crate) host: Host,
    pub(crate) client: Client,
    outside: Outside,
}

impl Place {
    pub(crate) async fn start(test: &str) -> Place {
        let outside = Outside::start().await;
        let (host, client) = (outside.host.clone(), outside.client().await);
        Place { app: App::new(test), host, client, outside }
    }

    pub(crate) fn topic(&self, name: &str) -> Topic<Option<String>, String> {
        Topic::named(format!("{}-in-{name}", self.app.id()))
    }

    pub(crate) async fn create(&self, name: &str, partitions: i32) {
        let topic = self.topic(name);
        let created = self.client.admin().create_topics(&[NewTopic::new(topic.name(), partitions)]).await;
        for created in created.expect("an answer").into_values() {
            created.expect("a topic");
        }
    }

    pub(crate) async fn delete(&self, name: &str) {
        let deleted = self.client.admin().delete_topics(&[self.topic(name).name()]).await;
        deleted.expect("an answer").into_values().for_each(|topic| topic.expect("deleted"));
    }

    /// Gives a topic more partitions, and waits until brokers know of them: Apache Kafka answers before they do.
    pub(crate) async fn grow(&self, name: &str, partitions: i32) {
        let (topic, admin) = (self.topic(name), self.client.admin());
        admin.create_partitions(topic.name(), partitions).await.expect("more partitions");
        loop {
            let described = admin.describe_topics(&[topic.name()]).await.expect("an answer");
            if described
                .into_values()
                .any(|topic| topic.is_ok_and(|t| t.partitions.len() == partitions as usize))
            {
                return;
            }
            self.host.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts an application that looks for topics often.
    pub(crate) async fn run(&self, topology: Topology, guarantee: Guarantee) -> Result<RunningStreams> {
        self.streams(topology, guarantee).start().await
    }

    pub(crate) fn streams(&self, topology: Topology, guarantee: Guarantee) -> Streams {
        let streams = self.app.streams(topology).guarantee(guarantee).config("metadata.max.age.ms", 50);
        self.outside.run(streams)
    }

    /// Writes a value to a partition.
    pub(crate) async fn write(&self, name: &str, partition: i32, value: &str) {
        let topic = self.topic(name);
        self.write_record(ProducerRecord::new(topic.name()).value(value).partition(partition)).await;
    }

    /// Writes a record beside all applications.
    pub(crate) async fn write_record(&self, record: ProducerRecord<'_>) {
        let producer = Producer::new(&self.client, ProducerConfig::default()).expect("a producer");
        drop(producer.send(record).await.expect("it is taken"));
        producer.close().await.expect("it is written");
    }

    pub(crate) async fn send(&self, running: &RunningStreams, name: &str, lines: &[&str]) -> Result<()> {
        let producer = running.producer(self.topic(name))?;
        for line in lines {
            producer.send(None, (*line).to_string()).await?;
        }
        producer.flush().await
    }

    /// Waits until exactly these words are counted by these instances together.
    pub(crate) async fn until(&self, running: &[&RunningStreams], pairs: &[(&str, i64)]) -> Result<()> {
        let wanted = expected(pairs);
        self.until_all(running, &format!("{pairs:?}"), |words| *words == wanted).await
    }

    /// Waits until what these instances together have counted is as wanted.
    pub(crate) async fn until_all(
        &self,
        running: &[&RunningStreams],
        wanted: &str,
        is_wanted: impl Fn(&BTreeMap<String, i64>) -> bool,
    ) -> Result<()> {
        let mut last = BTreeMap::new();
        let done = async {
            loop {
                let mut all = BTreeMap::new();
                for running in running {
                    all.extend(counted(running).await?);
                }
                if is_wanted(&all) {
                    return Ok(());
                }
                last = all;
                self.host.sleep(Duration::from_millis(20)).await;
            }
        };
        match self.host.timeout(Duration::from_secs(60), done).await {
            Ok(done) => done,
            Err(_) => panic!("not {wanted}: {last:?}"),
        }
    }

    pub(crate) async fn end(self) {
        self.outside.end().await;
    }
}
