//! The sticky assignors: members keep what they had as far as all have as many. [`StickyAssignor`] lets everything go
//! during a rebalance and gets it back; [`CooperativeStickyAssignor`] lets go only of what moves.
//!
//! Both speak with Kafka's Java clients in one group, by their user data:
//! ```text
//! sticky              previous assignment [topic string, partitions [i32]], from version 1 on generation i32
//! cooperative-sticky  generation i32; the partitions are in the subscription itself
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;

use super::balance::{Claimant, distribute};
use super::{Assignor, GroupView, MemberAssignment, MemberSubscription, RebalanceProtocol};
use crate::error::Result;
use crate::topic_partition::{TopicPartition, by_topic};

/// The generation of a member that does not know it.
const UNKNOWN_GENERATION: i32 = -1;

/// Balanced, and what a member had it gets back if balance allows; meanwhile it lets go of everything.
#[derive(Debug, Default)]
pub struct StickyAssignor {
    last: Mutex<Option<(Vec<TopicPartition>, i32)>>,
}

/// As [`StickyAssignor`], but members go on with what they keep during a rebalance (KIP-429). All members of the group
/// must be cooperative.
#[derive(Debug, Default)]
pub struct CooperativeStickyAssignor {
    generation: Mutex<Option<i32>>,
}

impl Assignor for StickyAssignor {
    fn name(&self) -> &str {
        "sticky"
    }

    fn subscription_user_data(&self, _topics: &[Arc<str>]) -> Option<Bytes> {
        let last = self.last.lock();
        let (partitions, generation) = last.as_ref()?;
        Some(encode_previous(partitions, *generation))
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>> {
        let claimant = |member: &MemberSubscription| {
            // What a member that has it in hand says itself is newer than what it remembers.
            let previous = member.user_data.as_ref().and_then(decode_previous);
            let (has, generation) = previous.unwrap_or((Vec::new(), UNKNOWN_GENERATION));
            Claimant { topics: member.topics.iter().cloned().collect(), has, generation }
        };
        Ok(shares(group, claimant))
    }

    fn on_assignment(&self, assignment: &MemberAssignment, generation_id: i32) {
        *self.last.lock() = Some((assignment.partitions.clone(), generation_id));
    }
}

impl Assignor for CooperativeStickyAssignor {
    fn name(&self) -> &str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn subscription_user_data(&self, _topics: &[Arc<str>]) -> Option<Bytes> {
        let generation = (*self.generation.lock()).unwrap_or(UNKNOWN_GENERATION);
        Some(Bytes::copy_from_slice(&generation.to_be_bytes()))
    }

    fn assign(&self, group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>> {
        let claimant = |member: &MemberSubscription| {
            let told = member.user_data.as_ref().and_then(|data| data.first_chunk::<4>());
            let told = told.map_or(UNKNOWN_GENERATION, |bytes| i32::from_be_bytes(*bytes));
            // Older clients say it in their user data only.
            let generation = if member.generation_id >= 0 { member.generation_id } else { told };
            let has = member.owned_partitions.clone();
            Claimant { topics: member.topics.iter().cloned().collect(), has, generation }
        };
        let mut assigned = shares(group, claimant);
        // What another still has comes with the next rebalance, when it has let go.
        let mut owners: BTreeMap<&TopicPartition, Vec<&String>> = BTreeMap::new();
        for (id, member) in group.members {
            for name in &member.owned_partitions {
                owners.entry(name).or_default().push(id);
            }
        }
        for (id, assignment) in &mut assigned {
            let free = |name: &TopicPartition| {
                owners.get(name).is_none_or(|owners| owners.iter().all(|owner| *owner == id))
            };
            assignment.partitions.retain(free);
        }
        Ok(assigned)
    }

    fn on_assignment(&self, _assignment: &MemberAssignment, generation_id: i32) {
        *self.generation.lock() = Some(generation_id);
    }
}

fn shares(
    group: GroupView<'_>,
    claimant: impl Fn(&MemberSubscription) -> Claimant,
) -> BTreeMap<String, MemberAssignment> {
    let members: Vec<_> = group.members.values().map(claimant).collect();
    let topics = members.iter().flat_map(|member| &member.topics);
    let counts = topics.filter_map(|topic| Some((Arc::clone(topic), group.metadata.partition_count(topic)?)));
    let shares = distribute(&counts.collect(), &members);
    let assignment = |partitions| MemberAssignment { partitions, user_data: None };
    group.members.keys().cloned().zip(shares.into_iter().map(assignment)).collect()
}

fn encode_previous(partitions: &[TopicPartition], generation: i32) -> Bytes {
    let length = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let topics = by_topic(partitions);
    let mut out = BytesMut::new();
    out.put_i32(length(topics.len()));
    for (topic, partitions) in topics {
        // A topic's name has at most 249 letters.
        out.put_i16(i16::try_from(topic.len()).unwrap_or(i16::MAX));
        out.put_slice(topic.as_bytes());
        out.put_i32(length(partitions.len()));
        partitions.iter().for_each(|number| out.put_i32(*number));
    }
    out.put_i32(generation);
    out.freeze()
}

/// What a member had, and in which generation; none if it does not say it in a way that is known.
fn decode_previous(data: &Bytes) -> Option<(Vec<TopicPartition>, i32)> {
    let mut rest = &data[..];
    let mut partitions = Vec::new();
    for _ in 0..rest.try_get_i32().ok()? {
        let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
        let topic: Arc<str> = Arc::from(std::str::from_utf8(rest.get(..length)?).ok()?);
        rest.advance(length);
        for _ in 0..rest.try_get_i32().ok()? {
            partitions.push(TopicPartition::new(Arc::clone(&topic), rest.try_get_i32().ok()?));
        }
    }
    // Version 0 ends here.
    Some((partitions, rest.try_get_i32().unwrap_or(UNKNOWN_GENERATION)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::metadata;
    use super::*;

    fn name(text: &str) -> TopicPartition {
        let (topic, number) = text.rsplit_once('-').unwrap();
        TopicPartition::new(topic, number.parse().unwrap())
    }

    fn names(text: &str) -> Vec<TopicPartition> {
        text.split_whitespace().map(name).collect()
    }

    #[test]
    fn previous_assignments_are_read_as_java_writes_them() {
        let bytes: &[u8] = &[0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 7];
        assert_eq!(encode_previous(&names("t-0 t-3"), 7), bytes);
        let check = |bytes: &[u8], expected: Option<(&str, i32)>| {
            let expected = expected.map(|(text, generation)| (names(text), generation));
            assert_eq!(decode_previous(&Bytes::copy_from_slice(bytes)), expected, "{bytes:?}");
        };
        check(bytes, Some(("t-0 t-3", 7)));
        check(&bytes[..bytes.len() - 4], Some(("t-0 t-3", -1)));
        check(&bytes[..15], None);
        check(&[], None);
        check(&[127, 255, 255, 255, 127, 255], None);
        check(&[0, 0, 0, 1, 255, 255], None);
        check(&[0, 0, 0, 0], Some(("", -1)));
    }

    #[test]
    fn a_member_remembers_what_it_had() {
        let (first, second) = (StickyAssignor::default(), StickyAssignor::default());
        assert_eq!(first.subscription_user_data(&[]), None);
        let got = MemberAssignment { partitions: names("t-1 t-2"), user_data: None };
        first.on_assignment(&got, 3);
        let member = |assignor: &StickyAssignor| MemberSubscription {
            topics: vec!["t".into()],
            user_data: assignor.subscription_user_data(&[]),
            ..Default::default()
        };
        let members = BTreeMap::from([("a".to_string(), member(&second)), ("b".to_string(), member(&first))]);
        let metadata = metadata(&[("t", 4)]);
        let assigned = second.assign(GroupView { metadata: &metadata, members: &members }).unwrap();
        assert_eq!(assigned["a"].partitions, names("t-0 t-3"));
        assert_eq!(assigned["b"].partitions, names("t-1 t-2"));
    }

    #[test]
    fn what_another_still_has_is_not_given() {
        // Members as owned partitions and generation; what each gets.
        let check = |members: &[(&str, i32)], expected: &[&str]| {
            let member = |(owned, generation): &(&str, i32)| MemberSubscription {
                topics: vec!["t".into()],
                owned_partitions: names(owned),
                generation_id: *generation,
                ..Default::default()
            };
            let members: BTreeMap<String, _> =
                members.iter().zip('a'..).map(|(one, id)| (id.to_string(), member(one))).collect();
            let metadata = metadata(&[("t", 4)]);
            let assignor = CooperativeStickyAssignor::default();
            let assigned = assignor.assign(GroupView { metadata: &metadata, members: &members }).unwrap();
            let got: Vec<_> = assigned.values().map(|one| one.partitions.clone()).collect();
            let expected: Vec<_> = expected.iter().map(|text| names(text)).collect();
            assert_eq!(got, expected, "{members:?}");
        };
        check(&[("", -1)], &["t-0 t-1 t-2 t-3"]);
        check(&[("t-0 t-1 t-2 t-3", 1), ("", -1)], &["t-0 t-1", ""]);
        check(&[("t-0 t-1", 2), ("", -1)], &["t-0 t-1", "t-2 t-3"]);
        check(&[("t-0 t-1", 2), ("t-2 t-3", 2), ("", -1)], &["t-0 t-1", "t-2", ""]);
        // One that comes back from before believes what it had.
        check(&[("t-0 t-1", 1), ("t-0 t-1 t-2 t-3", 2)], &["", ""]);
    }
}
