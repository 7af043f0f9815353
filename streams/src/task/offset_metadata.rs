//! What a task writes beside its offsets: partition time and memos, in Kafka Streams' format.
//!
//! Base64 of: magic 2, partition time (8 bytes), then, if there are memos, their count (4) and for each the length of
//! its name (4), the name, its value (8). Magic 1 is the time alone.
//!
//! Beside the memos of nodes stand ids of topics: an offset means something only in the topic that it was read from, and
//! only together with the changelogs that the stores were written to.

use anabranch_client::Uuid;

/// A partition's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetMetadata {
    pub(crate) partition_time: i64,
    pub(crate) memos: Vec<(String, i64)>,
}

/// What is noted in the form of a memo and is none begins like this.
const NOTE: &str = "__anabranch.";
/// The topic that was read.
pub(crate) const TOPIC: &str = "__anabranch.topic";
/// The changelog of a store; the changelog's name comes behind.
pub(crate) const CHANGELOG: &str = "__anabranch.changelog.";

/// An id of a topic as it is noted.
pub(crate) fn noted_id(id: Uuid) -> i64 {
    let bytes = u128::from_be_bytes(id.0);
    ((bytes >> 64) as u64 ^ bytes as u64).cast_signed()
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

    /// The id of the topic that the offset is of, if it is noted.
    pub(crate) fn topic(&self) -> Option<i64> {
        self.memos.iter().find(|(name, _)| name == TOPIC).map(|(_, id)| *id)
    }

    /// The changelogs that the stores were written to, by their names, and their ids.
    pub(crate) fn changelogs(&self) -> impl Iterator<Item = (&str, i64)> {
        self.memos.iter().filter_map(|(name, id)| Some((name.strip_prefix(CHANGELOG)?, *id)))
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
    fn other_text_is_no_metadata() {
        for text in ["", "%", "AgAAAAA=", "CQAAAAAAAAPo", "AgAAAAAAAAPo/////w==", "AgAAAAAAAAPoAAAAAf////8="]
        {
            assert_eq!(OffsetMetadata::decode(text), None, "{text}");
        }
    }
}
