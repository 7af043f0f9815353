//! How far a store reflects the topics that its tasks read (Kafka's `Position`, KIP-796).
//!
//! A store's position is what the group has committed for the inputs of its task: a commit makes rows and offsets one, so
//! nothing is noted per record or per row, and nothing beside the offsets is kept on disk. Kafka Streams tracks positions by
//! record and carries them in changelog headers (`v` and `c`) if `__iq.consistency.offset.vector.enabled__` is on, which it
//! is not by default; here they are always known, and no changelog has such headers. A copy of state that only follows its
//! changelog has a position too: what was committed before the changelog ended where the copy is by now.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// For each topic and partition the last offset whose effect can be seen.
///
/// ```
/// use anabranch::prelude::*;
///
/// // What was written here, and what an answer from elsewhere has shown.
/// let written = Position::of("orders", 0, 41).and("orders", 2, 7);
/// let seen = Position::of("orders", 0, 40).and("users", 1, 3);
/// let both = written.clone().merged(&seen);
/// assert_eq!(both.to_string(), "orders-0@41 orders-2@7 users-1@3");
/// assert!(both.reaches(&written) && !seen.reaches(&written));
///
/// // It travels between instances in the bytes that Kafka Streams has for it.
/// assert_eq!(Position::from_bytes(&both.to_bytes()), Some(both));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, i64>>,
}

/// Of the bytes below.
const VERSION: u8 = 0;

impl Position {
    /// Of nothing: as a bound, it holds for every store.
    #[must_use]
    pub fn new() -> Position {
        Position::default()
    }

    /// Of one record.
    #[must_use]
    pub fn of(topic: impl Into<Arc<str>>, partition: i32, offset: i64) -> Position {
        Position::new().and(topic, partition, offset)
    }

    /// Of a record that a client has written ([`Delivery`](anabranch_client::Delivery)); `None` if the broker did not say
    /// where it is, as happens when it knows a repeated batch of old.
    #[must_use]
    pub fn of_written(written: &anabranch_client::RecordMetadata) -> Option<Position> {
        (written.offset >= 0)
            .then(|| Position::of(Arc::clone(&written.topic), written.partition, written.offset))
    }

    /// The same, and this offset of a partition, unless a later one is in it already.
    #[must_use]
    pub fn and(mut self, topic: impl Into<Arc<str>>, partition: i32, offset: i64) -> Position {
        self.raise(topic, partition, offset);
        self
    }

    pub(crate) fn raise(&mut self, topic: impl Into<Arc<str>>, partition: i32, offset: i64) {
        let known = self.topics.entry(topic.into()).or_default().entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }

    /// Takes in all of another one.
    pub fn merge(&mut self, other: &Position) {
        for (topic, partition, offset) in other.iter_shared() {
            self.raise(Arc::clone(topic), partition, offset);
        }
    }

    /// Both together.
    #[must_use]
    pub fn merged(mut self, other: &Position) -> Position {
        self.merge(other);
        self
    }

    /// The last offset of a partition; `None` if it has nothing of it.
    #[must_use]
    pub fn offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics.get(topic)?.get(&partition).copied()
    }

    /// Whether it has everything that `bound` has.
    #[must_use]
    pub fn reaches(&self, bound: &Position) -> bool {
        bound.iter().all(|(topic, partition, offset)| self.offset(topic, partition) >= Some(offset))
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Topic, partition and offset of all that is in it, by topic, then by partition.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.iter_shared().map(|(topic, partition, offset)| (&**topic, partition, offset))
    }

    fn iter_shared(&self) -> impl Iterator<Item = (&Arc<str>, i32, i64)> {
        self.topics
            .iter()
            .flat_map(|(topic, all)| all.iter().map(move |(partition, offset)| (topic, *partition, *offset)))
    }

    /// As bytes, in Kafka Streams' form: a version (0), the number of topics; for each the length of its name, the name,
    /// the number of partitions; for each its number and offset.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
        let mut bytes = vec![VERSION];
        bytes.extend(count(self.topics.len()));
        for (topic, partitions) in &self.topics {
            bytes.extend(count(topic.len()));
            bytes.extend(topic.as_bytes());
            bytes.extend(count(partitions.len()));
            for (partition, offset) in partitions {
                bytes.extend(partition.to_be_bytes());
                bytes.extend(offset.to_be_bytes());
            }
        }
        bytes
    }

    /// From such bytes; `None` if they are none. What follows is ignored: Kafka Streams may leave zeros there.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Position> {
        let (&version, mut rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let mut position = Position::new();
        for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
            let length = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
            let (name, behind) = rest.split_at_checked(length)?;
            rest = behind;
            let topic: Arc<str> = std::str::from_utf8(name).ok()?.into();
            for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
                let partition = i32::from_be_bytes(take(&mut rest)?);
                position.raise(Arc::clone(&topic), partition, i64::from_be_bytes(take(&mut rest)?));
            }
        }
        Some(position)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (topic, partition, offset)) in self.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{topic}-{partition}@{offset}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        text.split_whitespace().fold(Position::new(), |position, part| {
            let (place, offset) = part.split_once('@').expect("an offset");
            let (topic, partition) = place.rsplit_once('-').expect("a partition");
            position.and(topic, partition.parse().expect("a number"), offset.parse().expect("a number"))
        })
    }

    #[test]
    fn positions_merge_by_the_highest() {
        for (left, right, expected) in
            [("", "", ""), ("a-0@1", "", "a-0@1"), ("a-0@1 a-1@5", "a-0@3 a-1@2 b-0@0", "a-0@3 a-1@5 b-0@0")]
        {
            let (left, right) = (position(left), position(right));
            let merged = left.clone().merged(&right);
            assert_eq!(merged.to_string(), expected);
            assert_eq!(right.clone().merged(&left), merged);
            assert!(merged.reaches(&left) && merged.reaches(&right), "{merged}");
            assert_eq!(left.reaches(&right), left == merged, "{left} {right}");
        }
    }

    #[test]
    fn bytes_are_kafka_streams() {
        let bytes = [
            &[0, 0, 0, 0, 2][..],
            &[0, 0, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 0],
            &[0, 0, 0, 2, b'b', b'c', 0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let expected = position("a-3@256 bc-0@7 bc-1@0");
        assert_eq!(expected.to_bytes(), bytes);
        let padded = [&bytes[..], &[0; 9]].concat();
        assert_eq!(Position::from_bytes(&padded), Some(expected));
        for cut in 0..bytes.len() {
            assert_eq!(Position::from_bytes(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(Position::from_bytes(&[1, 0, 0, 0, 0]), None, "another version");
        assert_eq!(Position::from_bytes(&[0, 0xff, 0xff, 0xff, 0xff]), None, "more topics than bytes");
    }
}
