//! Who gets which partitions: the choice of a group's leader. Pure; others than those here are given to
//! [`crate::Consumer::with_assignors`].
//!
//! Reading order: this file, what an assignor is and what travels; `range` and `round_robin`; `balance`, `sticky`.

mod balance;
mod range;
mod round_robin;
mod sticky;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anabranch_protocol::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartitions,
};
use anabranch_protocol::versioned::{decode_versioned_growing, encode_versioned};
use bytes::Bytes;

pub use range::RangeAssignor;
pub use round_robin::RoundRobinAssignor;
pub use sticky::{CooperativeStickyAssignor, StickyAssignor};

use crate::error::{ClientError, ErrorKind, Result};
use crate::metadata::Metadata;
use crate::topic_partition::{TopicPartition, by_topic};

/// The version of subscriptions and assignments that is written.
const VERSION: i16 = 3;

/// What a member does with its partitions while the group is rebalanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RebalanceProtocol {
    /// It gives all of them up before it joins.
    Eager,
    /// It goes on with them and gives up only those that it must, after the assignment (KIP-429). An assignor of this
    /// kind must not give a partition to a member while another still owns it.
    Cooperative,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberSubscription {
    /// The topics it wants.
    pub topics: Vec<Arc<str>>,
    /// What its assignor says.
    pub user_data: Option<Bytes>,
    /// The partitions it has.
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation it has them from, -1 if unknown.
    pub generation_id: i32,
    /// Its lasting name, if it has one.
    pub group_instance_id: Option<String>,
    /// Its rack.
    pub rack: Option<String>,
}

/// What a member gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberAssignment {
    /// Its partitions.
    pub partitions: Vec<TopicPartition>,
    /// What the leader's assignor says to it.
    pub user_data: Option<Bytes>,
}

/// A group as its leader sees it.
#[derive(Clone, Copy, Debug)]
pub struct GroupView<'a> {
    /// Topics and partitions; topics that do not exist are not among them.
    pub metadata: &'a Metadata,
    /// The members by member id.
    pub members: &'a BTreeMap<String, MemberSubscription>,
}

/// A way to distribute partitions. All members of a group must know it by name.
pub trait Assignor: Send + Sync {
    /// Its name in the group.
    fn name(&self) -> &str;

    /// Whether members keep their partitions meanwhile.
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    /// What this member tells the leader's assignor when it joins.
    fn subscription_user_data(&self, _topics: &[Arc<str>]) -> Option<Bytes> {
        None
    }

    /// What the leader must do or learn before it can assign: make topics, look up offsets. Nothing by default.
    fn prepare<'a>(&'a self, _group: GroupView<'a>) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }

    /// Distributes the partitions of all topics that members want; members that are left out get nothing.
    ///
    /// # Errors
    /// Whatever makes it impossible; the leader's consumer then fails with it.
    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>>;

    /// Tells what this member got, before its consumer's events tell its user.
    fn on_assignment(&self, _assignment: &MemberAssignment, _generation_id: i32) {}
}

/// The assignor that Kafka knows by this name, or by that of its Java class.
pub(super) fn by_name(name: &str) -> Option<Arc<dyn Assignor>> {
    let name = name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name);
    match name {
        "range" | "RangeAssignor" => Some(Arc::new(RangeAssignor)),
        "roundrobin" | "RoundRobinAssignor" => Some(Arc::new(RoundRobinAssignor)),
        "sticky" | "StickyAssignor" => Some(Arc::new(StickyAssignor::default())),
        "cooperative-sticky" | "CooperativeStickyAssignor" => {
            Some(Arc::new(CooperativeStickyAssignor::default()))
        }
        _ => None,
    }
}

/// The members in the order in which they are served: static ones first by their lasting names, so that ids that change
/// move nothing.
fn in_order(members: &BTreeMap<String, MemberSubscription>) -> Vec<(&String, &MemberSubscription)> {
    let mut ordered: Vec<_> = members.iter().collect();
    ordered.sort_by_key(|(id, member)| (member.group_instance_id.is_none(), &member.group_instance_id, *id));
    ordered
}

impl fmt::Debug for dyn Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Assignor({})", self.name())
    }
}

fn topics_of(partitions: &[TopicPartition]) -> Vec<TopicPartitions<'_>> {
    let topic = |(topic, partitions)| TopicPartitions { topic, partitions };
    by_topic(partitions).into_iter().map(topic).collect()
}

fn flat(topics: &[TopicPartitions<'_>]) -> Vec<TopicPartition> {
    let mut flat = Vec::new();
    for topic in topics {
        let name: Arc<str> = Arc::from(topic.topic);
        flat.extend(topic.partitions.iter().map(|number| TopicPartition::new(Arc::clone(&name), *number)));
    }
    flat
}

fn corrupt(what: &str, source: anabranch_protocol::DecodeError) -> ClientError {
    ClientError::caused_by(ErrorKind::Corrupt, format!("{what} does not parse: {source}"), source)
}

impl MemberSubscription {
    pub(super) fn encode(&self) -> Bytes {
        let message = ConsumerProtocolSubscription {
            topics: self.topics.iter().map(AsRef::as_ref).collect(),
            user_data: self.user_data.clone(),
            owned_partitions: topics_of(&self.owned_partitions),
            generation_id: self.generation_id,
            rack_id: self.rack.as_deref(),
        };
        encode_versioned(&message, VERSION)
    }

    pub(super) fn decode(bytes: &Bytes, group_instance_id: Option<&str>) -> Result<Self> {
        let (message, _) = decode_versioned_growing::<ConsumerProtocolSubscription<'_>>(bytes)
            .map_err(|error| corrupt("a member's subscription", error))?;
        Ok(MemberSubscription {
            topics: message.topics.iter().map(|topic| Arc::from(*topic)).collect(),
            user_data: message.user_data,
            owned_partitions: flat(&message.owned_partitions),
            generation_id: message.generation_id,
            group_instance_id: group_instance_id.map(str::to_string),
            rack: message.rack_id.map(str::to_string),
        })
    }
}

impl MemberAssignment {
    pub(super) fn encode(&self) -> Bytes {
        let message = ConsumerProtocolAssignment {
            assigned_partitions: topics_of(&self.partitions),
            user_data: self.user_data.clone(),
        };
        encode_versioned(&message, VERSION)
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self> {
        if bytes.is_empty() {
            // So says a broker to a member that the leader left out.
            return Ok(MemberAssignment::default());
        }
        let (message, _) = decode_versioned_growing::<ConsumerProtocolAssignment<'_>>(bytes)
            .map_err(|error| corrupt("this member's assignment", error))?;
        Ok(MemberAssignment { partitions: flat(&message.assigned_partitions), user_data: message.user_data })
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::Instant;
    use anabranch_protocol::messages::metadata::{
        MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
    };

    use super::*;

    pub(super) fn metadata(topics: &[(&str, i32)]) -> Metadata {
        let topic = |(name, partitions): &(&'static str, i32)| MetadataResponseTopic {
            name: Some(name),
            partitions: (0..*partitions)
                .map(|partition_index| MetadataResponsePartition { partition_index, ..Default::default() })
                .collect(),
            ..Default::default()
        };
        let topics: Vec<(&'static str, i32)> =
            topics.iter().map(|(name, count)| (if *name == "t" { "t" } else { "u" }, *count)).collect();
        let answer = MetadataResponse { topics: topics.iter().map(topic).collect(), ..Default::default() };
        Metadata::default().with_answer(&answer, true, Instant::default())
    }

    /// Members as "id:topics" or "id=instance:topics"; assignments as "id:partitions".
    pub(super) fn check(assignor: &dyn Assignor, topics: &[(&str, i32)], members: &[&str], expected: &str) {
        let members: BTreeMap<_, _> = members
            .iter()
            .map(|text| {
                let (id, topics) = text.split_once(':').unwrap();
                let (id, instance) = id.split_once('=').map_or((id, None), |(id, name)| (id, Some(name)));
                let member = MemberSubscription {
                    topics: topics.split_terminator(',').map(Arc::from).collect(),
                    group_instance_id: instance.map(str::to_string),
                    ..Default::default()
                };
                (id.to_string(), member)
            })
            .collect();
        let metadata = metadata(topics);
        let assigned = assignor.assign(GroupView { metadata: &metadata, members: &members }).unwrap();
        let shown: Vec<_> = assigned
            .iter()
            .map(|(id, got)| {
                format!("{id}:{}", got.partitions.iter().map(|p| format!("{p} ")).collect::<String>())
            })
            .collect();
        assert_eq!(shown.join(" ").replace("  ", " ").trim_end(), expected);
    }

    #[test]
    fn names_are_kafkas() {
        for name in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
            assert_eq!(by_name(name).unwrap().name(), name);
        }
        let class = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor";
        assert_eq!(by_name(class).unwrap().name(), "cooperative-sticky");
        assert!(by_name("keeping").is_none());
    }

    #[test]
    fn subscriptions_and_assignments_lead_back() {
        let subscription = MemberSubscription {
            topics: vec!["t".into(), "u".into()],
            user_data: Some(Bytes::from_static(b"data")),
            owned_partitions: vec![TopicPartition::new("t", 0), TopicPartition::new("t", 2)],
            generation_id: 7,
            group_instance_id: Some("i".to_string()),
            rack: None,
        };
        assert_eq!(MemberSubscription::decode(&subscription.encode(), Some("i")).unwrap(), subscription);
        let assignment = MemberAssignment { partitions: vec![TopicPartition::new("u", 1)], user_data: None };
        assert_eq!(MemberAssignment::decode(&assignment.encode()).unwrap(), assignment);
        assert_eq!(MemberAssignment::decode(&Bytes::new()).unwrap(), MemberAssignment::default());
        assert!(MemberAssignment::decode(&Bytes::from_static(&[0])).is_err());
        assert!(MemberSubscription::decode(&Bytes::from_static(&[0, 3, 255, 255, 255]), None).is_err());
    }
}
