//! Transactions and the producers in them: list, describe, end those that hang.

use std::collections::BTreeMap;

use anabranch_protocol::messages::describe_producers::{
    self, DescribeProducersRequest, DescribeProducersResponse, TopicRequest,
};
use anabranch_protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse,
};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use anabranch_protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};

use super::{Admin, outcome, settle};
use crate::cluster::{CoordinatorKind, leader_of};
use crate::connection::{CallOptions, Connection};
use crate::error::{ClientError, Result};
use crate::topic_partition::{TopicPartition, by_topic};

/// Which transactions to list; all, if nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// In these states only.
    pub states: Vec<String>,
    /// Of these producers only.
    pub producer_ids: Vec<i64>,
    /// Open for longer than this only.
    pub longer_than_ms: Option<i64>,
    /// With a transactional id that matches this regular expression only.
    pub transactional_id_pattern: Option<String>,
}

/// A transactional id in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that coordinates it.
    pub coordinator_id: i32,
    /// Its producer.
    pub producer_id: i64,
    /// `Ongoing`, `CompleteCommit`, ...
    pub state: String,
}

/// How a transaction stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The broker that coordinates it.
    pub coordinator_id: i32,
    /// `Ongoing`, `CompleteCommit`, ...
    pub state: String,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// After how long it is aborted.
    pub timeout_ms: i32,
    /// When it began, milliseconds since 1970, if one is under way.
    pub start_time_ms: Option<i64>,
    /// What is part of it.
    pub partitions: Vec<TopicPartition>,
}

/// A producer as a leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence of its last record, -1 if there is none.
    pub last_sequence: i32,
    /// The timestamp of its last record, -1 if there is none.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that ended its last transaction, -1 if none did.
    pub coordinator_epoch: i32,
    /// Where its open transaction began, if there is one.
    pub transaction_start_offset: Option<i64>,
}

impl ProducerState {
    fn from_wire(state: &describe_producers::ProducerState) -> ProducerState {
        let start = state.current_txn_start_offset;
        ProducerState {
            producer_id: state.producer_id,
            producer_epoch: state.producer_epoch,
            last_sequence: state.last_sequence,
            last_timestamp: state.last_timestamp,
            coordinator_epoch: state.coordinator_epoch,
            transaction_start_offset: (start >= 0).then_some(start),
        }
    }
}

/// What brokers say of the producers of partitions.
type ProducersOf = Vec<(TopicPartition, Result<Vec<ProducerState>>)>;

impl Admin {
    /// The transactional ids that all brokers coordinate, by name.
    ///
    /// # Errors
    /// Retriable, if a broker does not answer in time; Invalid, if a filter cannot be.
    pub async fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionListing>> {
        self.until_done(|| async {
            let metadata = self.client.refresh_topics(&[], self.client.host().now(), false).await?;
            let request = ListTransactionsRequest {
                state_filters: filter.states.iter().map(String::as_str).collect(),
                producer_id_filters: filter.producer_ids.clone(),
                duration_filter: filter.longer_than_ms.unwrap_or(-1),
                transactional_id_pattern: filter.transactional_id_pattern.as_deref(),
            };
            let mut listed = BTreeMap::new();
            for broker in metadata.brokers() {
                let connection = self.client.connection(broker.id).await?;
                check_filter(&connection, filter)?;
                let answer = connection.call(&request).await?;
                let response: ListTransactionsResponse<'_> = answer.decode()?;
                outcome("listing transactions", response.error_code, None, ())?;
                if let Some(unknown) = response.unknown_state_filters.first() {
                    return Err(ClientError::invalid(format!("there is no transaction state {unknown}")));
                }
                for one in &response.transaction_states {
                    let listing = TransactionListing {
                        transactional_id: one.transactional_id.to_string(),
                        coordinator_id: broker.id,
                        producer_id: one.producer_id,
                        state: one.transaction_state.to_string(),
                    };
                    listed.insert(listing.transactional_id.clone(), listing);
                }
            }
            Ok(listed.into_values().collect())
        })
        .await
    }

    /// How the transaction of an id stands.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if it does not know the id.
    pub async fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription> {
        let what = format!("describing transaction {transactional_id}");
        self.until_done(|| async {
            let (coordinator_id, connection) = self.transaction_connection(transactional_id).await?;
            let request = DescribeTransactionsRequest { transactional_ids: vec![transactional_id] };
            let answer = connection.call(&request).await?;
            let response: DescribeTransactionsResponse<'_> = answer.decode()?;
            let found =
                response.transaction_states.iter().find(|one| one.transactional_id == transactional_id);
            let found = found.ok_or_else(|| ClientError::corrupt(format!("{what}: no answer")))?;
            outcome(&what, found.error_code, None, ())?;
            let partitions = found.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|number| TopicPartition::new(topic.topic, *number))
            });
            let start_time_ms = found.transaction_start_time_ms;
            Ok(TransactionDescription {
                coordinator_id,
                state: found.transaction_state.to_string(),
                producer_id: found.producer_id,
                producer_epoch: found.producer_epoch,
                timeout_ms: found.transaction_timeout_ms,
                start_time_ms: (start_time_ms >= 0).then_some(start_time_ms),
                partitions: partitions.collect(),
            })
        })
        .await
    }

    /// The producers that have written to partitions lately; answers for each.
    ///
    /// # Errors
    /// Retriable, if leaders do not answer in time.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<Vec<ProducerState>>>> {
        let mut results = BTreeMap::new();
        let mut missing: Vec<_> = partitions.to_vec();
        let mut retry = self.client.retry();
        while !missing.is_empty() {
            let reason = settle(retry.attempt(self.ask_for_producers(&missing)).await, &mut results);
            missing.retain(|name| !results.contains_key(name));
            if let Some(error) = reason {
                retry.after(error).await?;
            }
        }
        Ok(results)
    }

    /// The same as one broker knows it, be it leader or follower; partitions of which it has no replica are refused.
    ///
    /// # Errors
    /// Retriable, if the broker does not answer in time.
    pub async fn describe_producers_on(
        &self,
        broker_id: i32,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<Vec<ProducerState>>>> {
        self.until_done(|| async {
            if self.client.metadata().brokers().all(|broker| broker.id != broker_id) {
                return Err(ClientError::invalid(format!("there is no broker {broker_id}")));
            }
            Ok(self.ask_broker_for_producers(broker_id, partitions).await?.into_iter().collect())
        })
        .await
    }

    /// One request to each leader.
    async fn ask_for_producers(&self, partitions: &[TopicPartition]) -> Result<ProducersOf> {
        let mut answers = Vec::new();
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for name in partitions {
            match self.leader(name).await? {
                Ok(leader) => by_leader.entry(leader).or_default().push(name.clone()),
                Err(error) => answers.push((name.clone(), Err(error))),
            }
        }
        for (leader, partitions) in by_leader {
            answers.extend(self.ask_broker_for_producers(leader, &partitions).await?);
        }
        Ok(answers)
    }

    /// One request to a broker.
    async fn ask_broker_for_producers(
        &self,
        broker_id: i32,
        partitions: &[TopicPartition],
    ) -> Result<ProducersOf> {
        let topic = |(name, partition_indexes)| TopicRequest { name, partition_indexes };
        let topics = by_topic(partitions).into_iter().map(topic).collect();
        let request = DescribeProducersRequest { topics };
        let answer = self.client.connection(broker_id).await?.call(&request).await?;
        let response: DescribeProducersResponse<'_> = answer.decode()?;
        let mut answers = Vec::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                let name = TopicPartition::new(topic.name, partition.partition_index);
                let producers = partition.active_producers.iter().map(ProducerState::from_wire).collect();
                let (code, text) = (partition.error_code, partition.error_message);
                let result = outcome(&format!("describing producers of {name}"), code, text, producers);
                answers.push((name, result));
            }
        }
        Ok(answers)
    }

    /// The leader of a partition, as its broker is asked anew if it is not known.
    async fn leader(&self, name: &TopicPartition) -> Result<Result<i32>> {
        if let Some((leader, _)) = self.client.metadata().leader(name) {
            return Ok(Ok(leader));
        }
        let topics = std::slice::from_ref(&name.topic);
        let metadata = self.client.refresh_topics(topics, self.client.host().now(), false).await?;
        Ok(leader_of(&metadata, name).map(|(leader, _)| leader))
    }

    /// Ends a transaction in one partition that its coordinator has forgotten: as aborted. Who it is says
    /// [`Admin::describe_producers`]. To be used only when [`Admin::describe_transaction`] does not know of it.
    ///
    /// # Errors
    /// Retriable, if the leader does not answer in time; Fenced, if the producer or the coordinator is a later one.
    pub async fn abort_transaction(
        &self,
        partition: &TopicPartition,
        producer: &ProducerState,
    ) -> Result<()> {
        let what = format!("aborting the transaction of producer {} in {partition}", producer.producer_id);
        let epoch = i16::try_from(producer.producer_epoch)
            .map_err(|_| ClientError::invalid(format!("{what}: there is no such epoch")))?;
        self.until_done(|| async {
            let leader = self.leader(partition).await??;
            let topic = WritableTxnMarkerTopic {
                name: &partition.topic,
                partition_indexes: vec![partition.partition],
            };
            let request = WriteTxnMarkersRequest {
                markers: vec![WritableTxnMarker {
                    producer_id: producer.producer_id,
                    producer_epoch: epoch,
                    transaction_result: false,
                    topics: vec![topic],
                    // A leader takes the marker of no coordinator older than the last; a producer's first has none.
                    coordinator_epoch: producer.coordinator_epoch.max(0),
                    ..Default::default()
                }],
            };
            // Later versions are for brokers that know of the transaction's protocol.
            let options = CallOptions { max_version: 1, ..Default::default() };
            let answer = self.client.connection(leader).await?.call_with(&request, options).await?;
            let response: WriteTxnMarkersResponse<'_> = answer.decode()?;
            let topics = response.markers.iter().flat_map(|marker| &marker.topics);
            let mut partitions = topics.flat_map(|topic| &topic.partitions);
            let found =
                partitions.next().ok_or_else(|| ClientError::corrupt(format!("{what}: no answer")))?;
            outcome(&what, found.error_code, None, ())
        })
        .await
    }

    /// Fences whoever has a transactional id, and ends what it has begun; answers the id and epoch from now on.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if it refuses.
    pub async fn fence_producers(&self, transactional_id: &str) -> Result<(i64, i16)> {
        self.until_done(|| async {
            let (_, connection) = self.transaction_connection(transactional_id).await?;
            let request = InitProducerIdRequest {
                transactional_id: Some(transactional_id),
                // Nobody begins a transaction with it, so any will do.
                transaction_timeout_ms: 1,
                ..Default::default()
            };
            let answer = connection.call(&request).await?;
            let response: InitProducerIdResponse = answer.decode()?;
            let fenced = (response.producer_id, response.producer_epoch);
            outcome(&format!("fencing {transactional_id}"), response.error_code, None, fenced)
        })
        .await
    }

    /// The coordinator of a transactional id, and a connection to it.
    async fn transaction_connection(&self, transactional_id: &str) -> Result<(i32, Connection)> {
        let kind = CoordinatorKind::Transaction;
        let (id, address) = self.client.find_coordinating_broker(kind, transactional_id).await?;
        Ok((id, self.client.shared_lane().connection(&address).await?))
    }
}

/// A filter that an old broker would not see must not be left out silently.
fn check_filter(connection: &Connection, filter: &TransactionFilter) -> Result<()> {
    let version = connection.version::<ListTransactionsRequest<'_>>(i16::MAX)?;
    let needed = match filter {
        TransactionFilter { transactional_id_pattern: Some(_), .. } => 2,
        TransactionFilter { longer_than_ms: Some(_), .. } => 1,
        _ => 0,
    };
    if version < needed {
        return Err(ClientError::invalid("the broker is too old for this filter of transactions"));
    }
    Ok(())
}
