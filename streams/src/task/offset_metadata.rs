//! What a task writes beside its offsets: partition time and memos, in Kafka Streams' format.
//!
//! Base64 of: magic 2, partition time (8 bytes), then, if there are memos, their count (4) and for each the length of
//! its name (4), the name, its value (8). Magic 1 is the time alone.
//!
//! Beside the memos of nodes stand ids of topics: an offset means something only in the topic that it was read from, and
//! only together with the changelogs that the stores were written to. Brokers take 4 KiB of metadata with an offset, so
//! all changelogs stand in one note, each as eight bytes.
//!
//! Kafka Streams takes these notes for memos of its own: it gathers those of all inputs of a task, of one name the highest
//! value, and writes all of them beside each of its offsets, for ever. So a note says which topic and offset it is about,
//! and means nothing beside another.

use std::collections::BTreeMap;

use anabranch_client::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// A partition's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetMetadata {
    pub(crate) partition_time: i64,
    pub(crate) memos: Vec<(String, i64)>,
}

/// What is noted in the form of a memo and is none begins like this.
const NOTE: &str = "__anabranch.";
/// The topic that was read; its name and the offset come behind, the value is its id.
const TOPIC: &str = "__anabranch.topic.";
/// The changelogs of stores, which come behind; the value is the offset.
const CHANGELOGS: &str = "__anabranch.changelogs.";
/// As many are noted, so that there is room for the memos of nodes. Of a task with more, the others are not looked after.
const MAX_CHANGELOGS: usize = 100;

/// An id of a topic as it is noted.
pub(crate) fn noted_id(id: Uuid) -> i64 {
    let bytes = u128::from_be_bytes(id.0);
    ((bytes >> 64) as u64 ^ bytes as u64).cast_signed()
}

/// Notes that an offset is of the topic of this id.
pub(crate) fn topic_memo(topic: &str, offset: i64, id: i64) -> (String, i64) {
    (format!("{TOPIC}{:08x}.{offset}", name_digest(topic)), id)
}

/// Changelogs, by their names, and which topics these were: as much of both as tells them apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotedChangelogs(BTreeMap<u32, u32>);

impl NotedChangelogs {
    /// The first of them, if they are very many.
    pub(crate) fn of<'a>(changelogs: impl IntoIterator<Item = (&'a str, Uuid)>) -> Self {
        let noted = changelogs.into_iter().map(|(name, id)| (name_digest(name), id_digest(id)));
        NotedChangelogs(noted.take(MAX_CHANGELOGS).collect())
    }

    /// Whether a changelog was another topic when it was noted.
    pub(crate) fn has_another(&self, name: &str, id: Uuid) -> bool {
        self.0.get(&name_digest(name)).is_some_and(|noted| *noted != id_digest(id))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of the memo that notes them; its value is the offset that counts on them.
    pub(crate) fn memo_name(&self) -> Option<String> {
        let mut name = CHANGELOGS.to_owned();
        self.0.iter().for_each(|(changelog, id)| name.push_str(&format!("{changelog:08x}{id:08x}")));
        (!self.is_empty()).then_some(name)
    }

    fn parse(digits: &str) -> Option<Self> {
        let digits = digits.as_bytes().chunks(8).map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.len() == 8)?;
            u32::from_str_radix(digits, 16).ok()
        });
        let digits: Vec<u32> = digits.collect::<Option<_>>()?;
        Some(NotedChangelogs(digits.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()))
    }
}

fn name_digest(name: &str) -> u32 {
    xxh3_64(name.as_bytes()) as u32
}

fn id_digest(id: Uuid) -> u32 {
    xxh3_64(&id.0) as u32
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl OffsetMetadata {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![2];
        bytes.extend_from_slice(&self.partition_time.to_be_bytes());
        if !self.memos.is_empty() {
            bytes.extend_from_slice(&(self.memos.len() as u32).to_be_bytes());
            for (name, value) in &self.memos {
                bytes.extend_from_slice(&(name.len() as u32).to_be_bytes());
                bytes.extend_from_slice(name.as_bytes());
                bytes.extend_from_slice(&value.to_be_bytes());
            }
        }
        to_base64(&bytes)
    }

    /// The memos of nodes.
    pub(crate) fn node_memos(&self) -> impl Iterator<Item = (&str, i64)> {
        self.memos
            .iter()
            .filter(|(name, _)| !name.starts_with(NOTE))
            .map(|(name, value)| (name.as_str(), *value))
    }

    /// The id of the topic that this offset of a topic is of, if it is noted.
    pub(crate) fn topic(&self, topic: &str, offset: i64) -> Option<i64> {
        let (wanted, _) = topic_memo(topic, offset, 0);
        self.memos.iter().find(|(name, _)| *name == wanted).map(|(_, id)| *id)
    }

    /// The changelogs that the stores were written to up to this offset.
    pub(crate) fn changelogs(&self, offset: i64) -> NotedChangelogs {
        let noted = self.memos.iter().filter(|(_, of)| *of == offset);
        let noted = noted.filter_map(|(name, _)| name.strip_prefix(CHANGELOGS)).next();
        noted.and_then(NotedChangelogs::parse).unwrap_or_default()
    }

    /// `None` if the text is of another format, which is no reason to stop: the time starts anew then.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let bytes = from_base64(text)?;
        let (&magic, mut rest) = bytes.split_first()?;
        let partition_time = i64::from_be_bytes(take(&mut rest)?);
        let mut memos = Vec::new();
        match magic {
            1 => {}
            2 if rest.is_empty() => {}
            2 => {
                for _ in 0..u32::from_be_bytes(take(&mut rest)?) {
                    let length = u32::from_be_bytes(take(&mut rest)?);
                    let (name, left) = rest.split_at_checked(length as usize)?;
                    rest = left;
                    memos
                        .push((String::from_utf8(name.to_vec()).ok()?, i64::from_be_bytes(take(&mut rest)?)));
                }
            }
            _ => return None,
        }
        Some(OffsetMetadata { partition_time, memos })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let bits = (word >> (18 - 6 * digit)) as usize & 63;
            text.push(if digit <= chunk.len() { char::from(ALPHABET[bits]) } else { '=' });
        }
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.as_bytes().chunks(4) {
        let mut word = 0u32;
        for digit in chunk {
            word = word << 6 | ALPHABET.iter().position(|known| known == digit)? as u32;
        }
        word <<= 6 * (4 - chunk.len());
        let word = word.to_be_bytes();
        bytes.extend_from_slice(&word[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(partition_time: i64, memos: &[(&str, i64)], text: &str) {
        let memos = memos.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        let metadata = OffsetMetadata { partition_time, memos };
        assert_eq!(metadata.encode(), text);
        assert_eq!(OffsetMetadata::decode(text), Some(metadata));
    }

    #[test]
    fn metadata_is_kafka_streams() {
        check(1000, &[], "AgAAAAAAAAPo");
        check(1000, &[("w", 5)], "AgAAAAAAAAPoAAAAAQAAAAF3AAAAAAAAAAU=");
        check(-1, &[("ab", 1)], "Av//////////AAAAAQAAAAJhYgAAAAAAAAAB");
        // Magic 1: the time alone.
        let time_alone = OffsetMetadata { partition_time: 1000, memos: vec![] };
        assert_eq!(OffsetMetadata::decode("AQAAAAAAAAPo"), Some(time_alone));
    }

    #[test]
    fn changelogs_are_known_again() {
        let names: Vec<String> = (0..200).map(|number| format!("{}-{number}", "x".repeat(200))).collect();
        for (count, noted) in [(0, 0), (1, 1), (30, 30), (200, MAX_CHANGELOGS)] {
            let id = |number: usize| Uuid([number as u8; 16]);
            let all = || names.iter().enumerate().take(count).map(|(number, name)| (&**name, id(number)));
            let memos = NotedChangelogs::of(all()).memo_name().map(|name| (name, 5)).into_iter().collect();
            let text = OffsetMetadata { partition_time: 7, memos }.encode();
            assert!(text.len() < 3000, "{count}: {} bytes", text.len());
            let metadata = OffsetMetadata::decode(&text).unwrap();
            assert_eq!(metadata.node_memos().count(), 0);
            assert!(metadata.changelogs(6).is_empty(), "what somebody else has committed");
            let known = metadata.changelogs(5);
            assert!(all().all(|(name, id)| !known.has_another(name, id)), "{count}");
            let other = |(name, _): &(&str, Uuid)| known.has_another(name, Uuid([250; 16]));
            assert_eq!(all().filter(other).count(), noted);
            assert!(!known.has_another("new", id(1)), "of a new store nothing is noted");
        }
        assert_eq!(NotedChangelogs::parse("00000001"), Some(NotedChangelogs::default()));
        assert_eq!(NotedChangelogs::parse("0000000x00000001"), None);
        assert_eq!(NotedChangelogs::parse("000"), None);
    }

    /// Kafka Streams writes the notes of a task beside all of its offsets, and goes on from there.
    #[test]
    fn a_note_is_about_one_offset_of_one_topic() {
        let memos = vec![topic_memo("left", 5, -7), topic_memo("right", 5, 8), topic_memo("right", 9, 4)];
        let metadata = OffsetMetadata { partition_time: 0, memos };
        let check =
            |topic, offset, noted| assert_eq!(metadata.topic(topic, offset), noted, "{topic} {offset}");
        check("left", 5, Some(-7));
        check("right", 5, Some(8));
        check("right", 9, Some(4));
        check("left", 9, None);
        check("between", 5, None);
        assert_eq!(metadata.node_memos().count(), 0);
    }

    #[test]
    fn other_text_is_no_metadata() {
        for text in ["", "%", "AgAAAAA=", "CQAAAAAAAAPo", "AgAAAAAAAAPo/////w==", "AgAAAAAAAAPoAAAAAf////8="]
        {
            assert_eq!(OffsetMetadata::decode(text), None, "{text}");
        }
    }
}
