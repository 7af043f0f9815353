//! The bytes of the journal.
//!
//! ```text
//! group    "ANBRJRNL", journal id 16, generation u64, sequence u64, checkpointed generation u64,
//!          length of the entries u32, their number u32, groups of the generation before u32,
//!          CRC-32C u32 of the 60 bytes before                                                               64 bytes
//! entry    kind u8, reserved 3, payload length u32, log u32, CRC-32C u32 of the payload, base offset i64,
//!          last offset i64, segment i64, position u32, CRC-32C u32 of the 44 bytes before; payload          48 bytes
//! ```
//! Integers are big-endian. A group is what one sync made durable; it begins at a multiple of 512 bytes, so that writing
//! the next one touches no sector of it. Groups of one generation lie one behind the other and are numbered; the first
//! that does not verify ends them. A log is a number here, which an entry of kind *register* gives a name in each
//! generation anew.

use anabranch_protocol::Uuid;
use bytes::{Buf, BufMut};

use crate::partition_name::PartitionName;

const MAGIC: &[u8; 8] = b"ANBRJRNL";
pub(super) const GROUP_HEADER_BYTES: usize = 64;
pub(super) const ENTRY_HEADER_BYTES: usize = 48;
/// Groups begin at multiples of this.
pub(super) const ALIGNMENT: u64 = 512;

/// Tells one journal from another.
pub(super) type JournalId = [u8; 16];

/// The header of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub(super) journal_id: JournalId,
    /// Counts how often the journal began anew.
    pub(super) generation: u64,
    /// The place of the group in its generation.
    pub(super) sequence: u64,
    /// Entries of this generation and older ones are in synced segments.
    pub(super) checkpointed: u64,
    /// Bytes of the entries.
    pub(super) length: u32,
    /// Entries.
    pub(super) count: u32,
    /// Groups of the generation before this one: that one must be whole while it is needed.
    pub(super) previous_groups: u32,
}

impl GroupHeader {
    pub(super) fn write(&self, out: &mut [u8; GROUP_HEADER_BYTES]) {
        let mut rest = &mut out[..];
        rest.put_slice(MAGIC);
        rest.put_slice(&self.journal_id);
        rest.put_u64(self.generation);
        rest.put_u64(self.sequence);
        rest.put_u64(self.checkpointed);
        rest.put_u32(self.length);
        rest.put_u32(self.count);
        rest.put_u32(self.previous_groups);
        seal_header(out);
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<GROUP_HEADER_BYTES>()?;
        if !bytes.starts_with(MAGIC) || !header_matches(bytes) {
            return None;
        }
        let mut rest = &bytes[MAGIC.len()..];
        let mut journal_id = JournalId::default();
        rest.copy_to_slice(&mut journal_id);
        Some(GroupHeader {
            journal_id,
            generation: rest.get_u64(),
            sequence: rest.get_u64(),
            checkpointed: rest.get_u64(),
            length: rest.get_u32(),
            count: rest.get_u32(),
            previous_groups: rest.get_u32(),
        })
    }

    /// Bytes of the group, with the padding up to the next.
    pub(super) fn padded_bytes(&self) -> u64 {
        (GROUP_HEADER_BYTES as u64 + u64::from(self.length)).next_multiple_of(ALIGNMENT)
    }
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The payload names the log.
    Register = 1,
    /// The payload is batches, which belong at `position` of the segment.
    Append = 2,
    /// Batches up to the last offset are synced where they lie.
    Synced = 3,
    /// The log was cut back to the base offset.
    Truncate = 4,
    /// The log begins at the base offset.
    Start = 5,
    /// The log is no more.
    Delete = 6,
}

/// The header of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryHeader {
    pub(super) kind: Kind,
    pub(super) payload_length: u32,
    pub(super) log: u32,
    pub(super) payload_crc: u32,
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) segment: i64,
    pub(super) position: u32,
}

impl EntryHeader {
    /// An entry without payload and offsets.
    pub(super) fn new(kind: Kind, log: u32) -> Self {
        EntryHeader {
            kind,
            payload_length: 0,
            log,
            payload_crc: 0,
            base_offset: 0,
            last_offset: 0,
            segment: 0,
            position: 0,
        }
    }

    pub(super) fn write(&self, out: &mut [u8; ENTRY_HEADER_BYTES]) {
        let mut rest = &mut out[..];
        rest.put_u8(self.kind as u8);
        rest.put_slice(&[0; 3]);
        rest.put_u32(self.payload_length);
        rest.put_u32(self.log);
        rest.put_u32(self.payload_crc);
        rest.put_i64(self.base_offset);
        rest.put_i64(self.last_offset);
        rest.put_i64(self.segment);
        rest.put_u32(self.position);
        seal_header(out);
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<ENTRY_HEADER_BYTES>().filter(|bytes| header_matches(&bytes[..]))?;
        let mut rest = &bytes[..];
        let kind = match rest.get_u8() {
            1 => Kind::Register,
            2 => Kind::Append,
            3 => Kind::Synced,
            4 => Kind::Truncate,
            5 => Kind::Start,
            6 => Kind::Delete,
            _ => return None,
        };
        rest.advance(3);
        Some(EntryHeader {
            kind,
            payload_length: rest.get_u32(),
            log: rest.get_u32(),
            payload_crc: rest.get_u32(),
            base_offset: rest.get_i64(),
            last_offset: rest.get_i64(),
            segment: rest.get_i64(),
            position: rest.get_u32(),
        })
    }
}

/// The payload that names a log: topic id, partition, topic.
pub(super) fn write_name(name: &PartitionName, topic_id: Uuid, out: &mut Vec<u8>) {
    out.put_slice(&topic_id.0);
    out.put_i32(name.partition);
    out.put_slice(name.topic.as_bytes());
}

pub(super) fn parse_name(payload: &[u8]) -> Option<(PartitionName, Uuid)> {
    let (topic_id, rest) = payload.split_first_chunk::<16>()?;
    let (partition, topic) = rest.split_first_chunk::<4>()?;
    let topic = std::str::from_utf8(topic).ok()?;
    Some((PartitionName::new(topic, i32::from_be_bytes(*partition)), Uuid(*topic_id)))
}

fn seal_header(header: &mut [u8]) {
    let at = header.len() - 4;
    let crc = crc_fast::crc32_iscsi(&header[..at]);
    header[at..].copy_from_slice(&crc.to_be_bytes());
}

fn header_matches(header: &[u8]) -> bool {
    let (covered, crc) = header.split_at(header.len() - 4);
    crc == crc_fast::crc32_iscsi(covered).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_lead_back_and_damage_is_noticed() {
        let group = GroupHeader {
            journal_id: [3; 16],
            generation: 7,
            sequence: 1 << 40,
            checkpointed: 5,
            length: 449,
            count: 2,
            previous_groups: 9,
        };
        let mut bytes = [0; GROUP_HEADER_BYTES];
        group.write(&mut bytes);
        assert_eq!(GroupHeader::parse(&bytes), Some(group));
        assert_eq!(group.padded_bytes(), 1024);
        let entry = EntryHeader {
            kind: Kind::Append,
            payload_length: 77,
            log: 3,
            payload_crc: 0xdead_beef,
            base_offset: 1 << 50,
            last_offset: (1 << 50) + 9,
            segment: 42,
            position: u32::MAX,
        };
        let mut entry_bytes = [0; ENTRY_HEADER_BYTES];
        entry.write(&mut entry_bytes);
        assert_eq!(EntryHeader::parse(&entry_bytes), Some(entry));
        for bit in 0..8 * GROUP_HEADER_BYTES {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::parse(&damaged), None, "bit {bit}");
        }
        for bit in 0..8 * ENTRY_HEADER_BYTES {
            let mut damaged = entry_bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(EntryHeader::parse(&damaged), None, "bit {bit}");
        }
        assert_eq!(GroupHeader::parse(&bytes[..63]), None);
        assert_eq!(EntryHeader::parse(&[]), None);
    }

    #[test]
    fn names_lead_back() {
        let (name, id) = (PartitionName::new("a-topic", 12), Uuid([8; 16]));
        let mut payload = Vec::new();
        write_name(&name, id, &mut payload);
        assert_eq!(parse_name(&payload), Some((name, id)));
        assert_eq!(parse_name(&payload[..19]), None);
    }
}
