//! The client of a cluster: metadata, leaders, coordinators, connections, shared by producers, consumers and admins.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{Dialer, Host, Instant};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use parking_lot::Mutex;

use crate::config::ClientConfig;
use crate::connection::Connection;
use crate::connections::{Connections, Lane};
use crate::error::{ClientError, Result};
use crate::metadata::{Metadata, TopicMetadata};
use crate::retry::{Backoff, Retry};
use crate::topic_partition::TopicPartition;

/// What a broker in this process is called in errors.
const IN_PROCESS_ADDRESS: &str = "in-process";

/// A client of one cluster. Cheap to clone; clones share connections and metadata.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    host: Host,
    config: ClientConfig,
    in_process: bool,
    connections: Arc<Connections>,
    /// For what is answered at once: metadata, coordinators, commits, administration.
    lane: Lane,
    metadata: Mutex<Arc<Metadata>>,
    /// Held by whoever asks for metadata, so that many who miss the same ask once.
    refreshing: tokio::sync::Mutex<()>,
}

/// What a coordinator coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CoordinatorKind {
    /// A group.
    Group = 0,
    /// A transactional id.
    Transaction = 1,
}

impl Client {
    /// Meets the cluster: asks the bootstrap servers in turn, again and again, until one answers or
    /// `socket.connection.setup.timeout.ms` has passed.
    ///
    /// # Errors
    /// Retriable, if no server answers in that time; Invalid, if the configuration cannot be.
    pub async fn connect(host: &Host, dialer: Dialer, config: ClientConfig) -> Result<Client> {
        config.validate()?;
        let in_process = dialer.is_in_process();
        if config.bootstrap_servers.is_empty() && !in_process {
            return Err(ClientError::invalid("configuration bootstrap.servers names no server"));
        }
        let connections = Connections::new(host, dialer, &config);
        let time = Duration::from_millis(config.socket_connection_setup_timeout_ms);
        let servers =
            if in_process { IN_PROCESS_ADDRESS.to_string() } else { config.bootstrap_servers.join(", ") };
        let inner = Inner {
            host: host.clone(),
            in_process,
            lane: connections.lane(),
            connections,
            metadata: Mutex::new(Arc::new(Metadata::default())),
            refreshing: tokio::sync::Mutex::new(()),
            config,
        };
        let client = Client { inner: Arc::new(inner) };
        let mut last_error = None;
        let attempts = async {
            let mut retry = Retry::new(host, client.backoff(), time);
            loop {
                match client.ask_metadata(Some(&[]), false).await {
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        last_error = Some(error.clone());
                        retry.after(error).await?;
                    }
                }
            }
        };
        let outcome: Result<()> = match host.timeout(time, attempts).await {
            Ok(outcome) => outcome,
            Err(_) => Err(last_error.clone().unwrap_or_else(|| ClientError::retriable("no answer"))),
        };
        match (outcome, last_error) {
            (Ok(()), _) => Ok(client),
            (Err(error), _) if !error.is_retriable() => Err(error),
            // The last attempt's own words, without the retries' frame.
            (Err(error), last) => {
                let reason = last.unwrap_or(error);
                let text = format!("no Kafka broker reached at {servers} within {} ms", time.as_millis());
                Err(reason.context(&text))
            }
        }
    }

    /// The world this client lives in.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.inner.host
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn metadata(&self) -> Arc<Metadata> {
        Arc::clone(&self.inner.metadata.lock())
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.inner.config.retry_backoff_ms, self.inner.config.retry_backoff_max_ms)
    }

    /// Attempts within `default.api.timeout.ms`.
    pub(crate) fn retry(&self) -> Retry<'_> {
        self.retry_for(Duration::from_millis(self.inner.config.default_api_timeout_ms))
    }

    pub(crate) fn retry_for(&self, time: Duration) -> Retry<'_> {
        Retry::new(&self.inner.host, self.backoff(), time)
    }

    /// A lane of its own for someone whose requests wait.
    pub(crate) fn new_lane(&self) -> Lane {
        self.inner.connections.lane()
    }

    /// The lane of what is answered at once.
    pub(crate) fn shared_lane(&self) -> &Lane {
        &self.inner.lane
    }

    /// The address of a broker.
    pub(crate) fn address(&self, node: i32) -> Result<String> {
        match self.metadata().broker(node) {
            Some(broker) => Ok(broker.address.clone()),
            None => Err(ClientError::retriable(format!("broker {node} is not known any more"))),
        }
    }

    /// A connection to one broker.
    pub(crate) async fn connection(&self, node: i32) -> Result<Connection> {
        self.inner.lane.connection(&self.address(node)?).await
    }

    /// A connection to a broker that can be reached: one that stands, or else to any, or else to a bootstrap server.
    pub(crate) async fn any_connection(&self) -> Result<Connection> {
        let mut addresses: Vec<String> =
            self.metadata().brokers().map(|broker| broker.address.clone()).collect();
        if let Some(standing) = addresses.iter().find_map(|address| self.inner.lane.standing(address)) {
            return Ok(standing);
        }
        self.shuffle(&mut addresses);
        let mut servers = self.inner.config.bootstrap_servers.clone();
        if self.inner.in_process {
            servers.push(IN_PROCESS_ADDRESS.to_string());
        }
        self.shuffle(&mut servers);
        let mut tried = BTreeSet::new();
        let mut last_error = None;
        for address in addresses.into_iter().chain(servers) {
            if !tried.insert(address.clone()) {
                continue;
            }
            match self.inner.lane.connection(&address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last_error = Some(error),
            }
        }
        Err(last_error.unwrap_or_else(|| ClientError::retriable("no broker is known")))
    }

    /// A connection to the broker that takes changes of the cluster. In a cluster without ZooKeeper any broker does.
    pub(crate) async fn controller_connection(&self) -> Result<Connection> {
        let metadata = self.metadata();
        match metadata.controller().filter(|controller| metadata.broker(*controller).is_some()) {
            Some(controller) => self.connection(controller).await,
            None => self.any_connection().await,
        }
    }

    fn shuffle(&self, addresses: &mut [String]) {
        for last in (1..addresses.len()).rev() {
            let other = usize::try_from(self.inner.host.random_below(last as u64 + 1)).unwrap_or(last);
            addresses.swap(last, other);
        }
    }

    /// Asks once for metadata: of these topics, of none (`Some(&[])`), or of all (`None`).
    async fn ask_metadata(&self, topics: Option<&[Arc<str>]>, create: bool) -> Result<Arc<Metadata>> {
        let connection = self.any_connection().await?;
        let named = |name| MetadataRequestTopic { name: Some(name), ..Default::default() };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(|name| named(&**name)).collect()),
            allow_auto_topic_creation: create,
            ..Default::default()
        };
        let answer = connection.call(&request).await?;
        let response: MetadataResponse<'_> = answer.decode()?;
        if response.error_code != ErrorCode::NONE {
            return Err(ClientError::from_code("asking for metadata", response.error_code));
        }
        if response.brokers.is_empty() {
            return Err(ClientError::retriable(format!("{} knows no broker yet", connection.peer())));
        }
        let now = self.inner.host.now();
        let mut metadata = self.inner.metadata.lock();
        *metadata = Arc::new(metadata.with_answer(&response, topics.is_none(), now));
        Ok(Arc::clone(&metadata))
    }

    /// Metadata in which all of `topics` were learnt after `since` (or refused just now). One attempt.
    pub(crate) async fn refresh_topics(
        &self,
        topics: &[Arc<str>],
        since: Instant,
        create: bool,
    ) -> Result<Arc<Metadata>> {
        let _one_at_a_time = self.inner.refreshing.lock().await;
        let metadata = self.metadata();
        let fresh = |name: &Arc<str>| metadata.topic(name).is_some_and(|topic| topic.learnt > since);
        if !topics.is_empty() && topics.iter().all(fresh) {
            return Ok(metadata);
        }
        self.ask_metadata(Some(topics), create).await
    }

    /// Metadata of all topics. One attempt.
    pub(crate) async fn refresh_all(&self) -> Result<Arc<Metadata>> {
        let _one_at_a_time = self.inner.refreshing.lock().await;
        self.ask_metadata(None, false).await
    }

    /// A topic, asked for until it is there or `time` has passed.
    pub(crate) async fn await_topic(
        &self,
        name: &Arc<str>,
        create: bool,
        time: Duration,
    ) -> Result<Arc<Metadata>> {
        let metadata = self.metadata();
        if metadata.topic(name).is_some() {
            return Ok(metadata);
        }
        let mut retry = self.retry_for(time);
        loop {
            let now = self.inner.host.now();
            let asked = self.refresh_topics(std::slice::from_ref(name), now, create);
            let error = match self.inner.host.timeout(retry.time_left(), asked).await {
                Ok(Ok(metadata)) => match describe_topic(&metadata, name) {
                    Ok(_) => return Ok(metadata),
                    Err(error) => error,
                },
                Ok(Err(error)) => error,
                Err(_) => ClientError::timed_out("asking for metadata", time),
            };
            retry.after(error).await?;
        }
    }

    /// Takes over what a broker said about a partition's new leader (KIP-951).
    pub(crate) fn learn_leader(&self, partition: &TopicPartition, leader: i32, epoch: i32) {
        let mut metadata = self.inner.metadata.lock();
        if let Some(next) = metadata.with_leader(partition, leader, epoch) {
            *metadata = Arc::new(next);
        }
    }

    /// The address of a coordinator. One attempt.
    pub(crate) async fn find_coordinator(&self, kind: CoordinatorKind, key: &str) -> Result<String> {
        Ok(self.find_coordinating_broker(kind, key).await?.1)
    }

    /// The id and the address of a coordinator. One attempt.
    pub(crate) async fn find_coordinating_broker(
        &self,
        kind: CoordinatorKind,
        key: &str,
    ) -> Result<(i32, String)> {
        let connection = self.any_connection().await?;
        let request = FindCoordinatorRequest { key, key_type: kind as i8, coordinator_keys: vec![key] };
        let what = format!("finding the coordinator of {key}");
        let answer = connection.call(&request).await?;
        let response: FindCoordinatorResponse<'_> = answer.decode()?;
        let (code, text, id, host, port) = if answer.version() >= 4 {
            let found = response.coordinators.iter().find(|found| found.key == key);
            let found =
                found.ok_or_else(|| ClientError::corrupt(format!("{what}: no answer for the key")))?;
            (found.error_code, found.error_message, found.node_id, found.host, found.port)
        } else {
            (response.error_code, response.error_message, response.node_id, response.host, response.port)
        };
        if code != ErrorCode::NONE {
            return Err(ClientError::from_code_and_text(&what, code, text));
        }
        Ok((id, crate::metadata::address(host, port)))
    }
}

/// The topic in `metadata`, or why it is not there.
pub(crate) fn describe_topic<'m>(metadata: &'m Metadata, name: &str) -> Result<&'m TopicMetadata> {
    let refusal = metadata.refusal(name);
    match (metadata.topic(name), refusal) {
        (Some(topic), _) => Ok(topic),
        (None, code) => {
            let code = code.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            Err(ClientError::from_code(&format!("topic {name}"), code))
        }
    }
}

/// The leader of a partition and its epoch, or why there is none. That a partition is missing, no waiting mends.
pub(crate) fn leader_of(metadata: &Metadata, name: &TopicPartition) -> Result<(i32, i32)> {
    if let Some(leader) = metadata.leader(name) {
        return Ok(leader);
    }
    describe_topic(metadata, &name.topic)?;
    match metadata.partition(&name.topic, name.partition) {
        None => Err(ClientError::invalid(format!("{name}: the topic has no such partition"))),
        Some(_) => Err(ClientError::from_code(&name.to_string(), ErrorCode::LEADER_NOT_AVAILABLE)),
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.inner.config.client_id)
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::sim::{Sim, SimOptions};
    use anabranch_protocol::ApiKey;

    use super::*;
    use crate::error::ErrorKind;
    use crate::fake_broker::{Call, Reply, start, topic_id};

    fn connect(script: impl FnMut(&Call) -> Reply + Send + 'static) -> (Result<Client>, Duration) {
        let sim = Sim::new(1, SimOptions::default());
        let host = sim.node("client");
        let dialer = start(&host, script);
        let client = sim.block_on(Client::connect(&host, dialer, ClientConfig::default()));
        (client, sim.now().since_start())
    }

    #[test]
    fn a_cluster_is_met_however_often_it_takes() {
        let mut failures = 0;
        let (client, _) = connect(move |call| match call.key {
            ApiKey::ApiVersions => call.versions(),
            _ if failures < 3 => {
                failures += 1;
                Reply::Close
            }
            _ => call.metadata(&[("t", 2)]),
        });
        let metadata = client.unwrap().metadata();
        assert_eq!(metadata.brokers().map(|broker| &*broker.address).collect::<Vec<_>>(), ["fake:9092"]);
        assert_eq!(metadata.leader(&TopicPartition::new("t", 1)), Some((1, 0)));
        assert_eq!(metadata.topic_by_id(topic_id("t")).unwrap().partitions.len(), 2);
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_given_up_in_time() {
        let check = |script: fn(&Call) -> Reply, expected: &str| {
            let (client, took) = connect(script);
            let error = client.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Retriable);
            let expected = format!("no Kafka broker reached at in-process within 10000 ms: {expected}");
            assert_eq!(error.to_string(), expected);
            assert!(took < Duration::from_millis(10_001), "{took:?}");
        };
        check(|_| Reply::Silence, "connecting to in-process: timed out after 10000 ms");
        check(|_| Reply::Close, "broker in-process closed the connection");
        check(
            |call| {
                if call.key == ApiKey::ApiVersions {
                    call.versions()
                } else {
                    call.answer(&MetadataResponse::default())
                }
            },
            "in-process knows no broker yet",
        );
    }
}
