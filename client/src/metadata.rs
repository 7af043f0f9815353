//! What is known of the cluster: brokers, topics, partitions and their leaders. Pure: answers of brokers are folded in,
//! the result is a value that never changes.
//!
//! A broker may answer from an older view than one that answered before. So a leader's epoch never goes back while the
//! topic's id stays the same (KIP-320): the newer leader is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_host::Instant;
use anabranch_protocol::messages::metadata::{MetadataResponse, MetadataResponseTopic};
use anabranch_protocol::{ErrorCode, Uuid};

use crate::topic_partition::TopicPartition;

/// A broker by its node id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its node id.
    pub id: i32,
    /// `host:port`.
    pub address: String,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A partition as metadata show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// The leader's node id; none while there is none.
    pub leader: Option<i32>,
    /// The leader's epoch, -1 if the broker does not tell.
    pub leader_epoch: i32,
    /// Node ids of the replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Node ids of those in sync.
    pub in_sync: Vec<i32>,
}

/// A topic as metadata show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: Arc<str>,
    /// Its id; zero if the broker does not tell.
    pub id: Uuid,
    /// Whether it is one of the brokers' own.
    pub is_internal: bool,
    /// Its partitions by number.
    pub partitions: Vec<PartitionMetadata>,
    /// When this was learnt.
    pub learnt: Instant,
}

/// What is known of the cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    cluster_id: Option<String>,
    controller: Option<i32>,
    brokers: BTreeMap<i32, Arc<Broker>>,
    topics: BTreeMap<Arc<str>, Arc<TopicMetadata>>,
    /// Topics that brokers refused to describe, and why.
    refused: BTreeMap<Arc<str>, ErrorCode>,
}

impl Metadata {
    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The node id to which changes of the cluster are sent.
    #[must_use]
    pub fn controller(&self) -> Option<i32> {
        self.controller
    }

    /// The brokers by node id.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values().map(AsRef::as_ref)
    }

    /// One broker.
    #[must_use]
    pub fn broker(&self, id: i32) -> Option<&Broker> {
        self.brokers.get(&id).map(AsRef::as_ref)
    }

    /// The topics that are known, by name.
    pub fn topics(&self) -> impl Iterator<Item = &TopicMetadata> {
        self.topics.values().map(AsRef::as_ref)
    }

    /// One topic.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicMetadata> {
        self.topics.get(name).map(AsRef::as_ref)
    }

    /// One topic by its id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&TopicMetadata> {
        self.topics().find(|topic| topic.id == id)
    }

    /// Why a broker did not describe the topic when last asked.
    #[must_use]
    pub fn refusal(&self, name: &str) -> Option<ErrorCode> {
        self.refused.get(name).copied()
    }

    /// How many partitions the topic has.
    #[must_use]
    pub fn partition_count(&self, topic: &str) -> Option<i32> {
        self.topic(topic).map(|topic| i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
    }

    /// One partition.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionMetadata> {
        self.topic(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }

    /// The leader of a partition and its epoch, if there is one.
    #[must_use]
    pub fn leader(&self, partition: &TopicPartition) -> Option<(i32, i32)> {
        let found = self.partition(&partition.topic, partition.partition)?;
        Some((found.leader?, found.leader_epoch))
    }

    /// This with an answer folded in; `complete` says that it was asked for all topics, so that those it lacks are gone.
    #[must_use]
    pub(crate) fn with_answer(
        &self,
        answer: &MetadataResponse<'_>,
        complete: bool,
        now: Instant,
    ) -> Metadata {
        let mut next = self.clone();
        if !answer.brokers.is_empty() {
            next.brokers = answer
                .brokers
                .iter()
                .map(|broker| {
                    let address = address(broker.host, broker.port);
                    let rack = broker.rack.map(str::to_string);
                    (broker.node_id, Arc::new(Broker { id: broker.node_id, address, rack }))
                })
                .collect();
        }
        next.controller = (answer.controller_id >= 0).then_some(answer.controller_id);
        next.cluster_id = answer.cluster_id.map(str::to_string).or(next.cluster_id);
        if complete {
            next.topics.clear();
            next.refused.clear();
        }
        for topic in &answer.topics {
            let Some(name) = topic.name else { continue };
            let known = self.topics.get_key_value(name);
            let name: Arc<str> = known.map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name));
            if topic.error_code == ErrorCode::NONE {
                let known = known.map(|(_, topic)| topic.as_ref());
                let described = Arc::new(describe(Arc::clone(&name), topic, known, now));
                next.refused.remove(&name);
                next.topics.insert(name, described);
            } else {
                // Known partitions of a topic that cannot be described right now are still the best guess there is,
                // unless the topic is gone.
                if topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
                    next.topics.remove(&name);
                }
                next.refused.insert(name, topic.error_code);
            }
        }
        next
    }

    /// This with what a leader said about its successor (KIP-951); none if it is not news.
    #[must_use]
    pub(crate) fn with_leader(
        &self,
        partition: &TopicPartition,
        leader: i32,
        epoch: i32,
    ) -> Option<Metadata> {
        let topic = self.topics.get(&partition.topic)?;
        let index = usize::try_from(partition.partition).ok()?;
        if epoch <= topic.partitions.get(index)?.leader_epoch || !self.brokers.contains_key(&leader) {
            return None;
        }
        let mut topic = topic.as_ref().clone();
        topic.partitions[index].leader = Some(leader);
        topic.partitions[index].leader_epoch = epoch;
        let mut next = self.clone();
        next.topics.insert(Arc::clone(&partition.topic), Arc::new(topic));
        Some(next)
    }
}

/// Host and port as one name that can be dialled.
pub(crate) fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn describe(
    name: Arc<str>,
    topic: &MetadataResponseTopic<'_>,
    known: Option<&TopicMetadata>,
    now: Instant,
) -> TopicMetadata {
    let known = known.filter(|known| known.id == topic.topic_id);
    let mut partitions: Vec<_> = topic.partitions.iter().collect();
    partitions.sort_by_key(|partition| partition.partition_index);
    // A gap in the numbers would shift every partition behind it; what lies behind a gap is not usable.
    let contiguous =
        partitions.iter().zip(0..).take_while(|(partition, index)| partition.partition_index == *index);
    let partitions = contiguous
        .map(|(partition, _)| {
            let index = usize::try_from(partition.partition_index).unwrap_or(usize::MAX);
            let mut leader = (partition.leader_id >= 0).then_some(partition.leader_id);
            let mut leader_epoch = partition.leader_epoch;
            if let Some(known) = known.and_then(|known| known.partitions.get(index))
                && known.leader_epoch > leader_epoch
            {
                (leader, leader_epoch) = (known.leader, known.leader_epoch);
            }
            PartitionMetadata {
                leader,
                leader_epoch,
                replicas: partition.replica_nodes.clone(),
                in_sync: partition.isr_nodes.clone(),
            }
        })
        .collect();
    TopicMetadata { name, id: topic.topic_id, is_internal: topic.is_internal, partitions, learnt: now }
}

#[cfg(test)]
mod tests {
    use anabranch_protocol::messages::metadata::{MetadataResponseBroker, MetadataResponsePartition};

    use super::*;

    fn partition(index: i32, leader: i32, epoch: i32) -> MetadataResponsePartition {
        MetadataResponsePartition {
            partition_index: index,
            leader_id: leader,
            leader_epoch: epoch,
            ..Default::default()
        }
    }

    fn answer(topics: Vec<MetadataResponseTopic<'_>>) -> MetadataResponse<'_> {
        let broker =
            |node_id| MetadataResponseBroker { node_id, host: "h", port: 9092, ..Default::default() };
        MetadataResponse {
            brokers: vec![broker(1), broker(2)],
            controller_id: 1,
            topics,
            ..Default::default()
        }
    }

    fn topic(name: &str, id: u8, partitions: Vec<MetadataResponsePartition>) -> MetadataResponseTopic<'_> {
        MetadataResponseTopic { name: Some(name), topic_id: Uuid([id; 16]), partitions, ..Default::default() }
    }

    fn leader(metadata: &Metadata, number: i32) -> Option<(i32, i32)> {
        metadata.leader(&TopicPartition::new("t", number))
    }

    #[test]
    fn a_leader_epoch_never_goes_back_but_for_a_new_topic() {
        let now = Instant::default();
        let check = |id, epoch, expected| {
            let first = answer(vec![topic("t", 1, vec![partition(0, 1, 5)])]);
            let second = answer(vec![topic("t", id, vec![partition(0, 2, epoch)])]);
            let metadata =
                Metadata::default().with_answer(&first, false, now).with_answer(&second, false, now);
            assert_eq!(leader(&metadata, 0), expected, "id {id} epoch {epoch}");
        };
        check(1, 6, Some((2, 6)));
        check(1, 5, Some((2, 5)));
        check(1, 4, Some((1, 5)));
        check(2, 0, Some((2, 0)));
    }

    #[test]
    fn a_topic_goes_when_it_is_gone_and_stays_when_it_is_only_away() {
        let now = Instant::default();
        let check = |error_code, stays: bool| {
            let first = answer(vec![topic("t", 1, vec![partition(0, 1, 5)])]);
            let second = answer(vec![MetadataResponseTopic { error_code, ..topic("t", 0, vec![]) }]);
            let metadata =
                Metadata::default().with_answer(&first, false, now).with_answer(&second, false, now);
            assert_eq!(metadata.topic("t").is_some(), stays, "{error_code}");
            assert_eq!(metadata.refusal("t"), Some(error_code));
        };
        check(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, false);
        check(ErrorCode::LEADER_NOT_AVAILABLE, true);
    }

    #[test]
    fn an_answer_for_all_topics_forgets_the_rest() {
        let now = Instant::default();
        let first = answer(vec![topic("t", 1, vec![partition(0, 1, 0)])]);
        let second = answer(vec![topic("u", 2, vec![partition(0, 1, 0)])]);
        let both = Metadata::default().with_answer(&first, false, now).with_answer(&second, false, now);
        assert_eq!(both.topics().count(), 2);
        let one = both.with_answer(&second, true, now);
        assert_eq!(one.topics().map(|topic| topic.name.to_string()).collect::<Vec<_>>(), ["u"]);
    }

    #[test]
    fn a_hint_about_a_leader_counts_if_it_is_newer_and_known() {
        let first = answer(vec![topic("t", 1, vec![partition(0, 1, 5), partition(2, 1, 5)])]);
        let metadata = Metadata::default().with_answer(&first, false, Instant::default());
        assert_eq!(metadata.partition_count("t"), Some(1), "partition 2 lies behind a gap");
        let check = |node, epoch, expected| {
            let next = metadata.with_leader(&TopicPartition::new("t", 0), node, epoch);
            assert_eq!(next.as_ref().and_then(|next| leader(next, 0)), expected, "{node} {epoch}");
        };
        check(2, 6, Some((2, 6)));
        check(2, 5, None);
        check(3, 6, None);
    }
}
