//! The state of all producers at an offset: `%020d.snapshot`, Kafka's format 1.
//!
//! ```text
//! version i16 = 1, CRC-32C u32 of what follows, count i32, then for each producer:
//! id i64, epoch i16, last sequence i32, last offset i64, offset delta i32, timestamp i64, coordinator epoch i32,
//! first offset of the open transaction i64 (-1 none)                                                  46 bytes
//! ```
//! Kafka writes one entry for each producer, with its last batch. A producer whose answers were lost when the broker stopped
//! then sends up to five batches again, of which Kafka knows the last alone: the client starts a new epoch, and the
//! records are there twice. Here each batch has an entry, oldest first. To Kafka, which takes the last entry of a producer
//! for all it knows, the file says what its own would.

use std::collections::VecDeque;

use bytes::{Buf, BufMut};

use super::producer_state::{AppendedBatch, KEPT_BATCHES, ProducerState, ProducerStates};

const VERSION: i16 = 1;
const CRC_COVERS_FROM: usize = 6;
const ENTRY_BYTES: usize = 46;

/// The bytes of a snapshot.
pub(super) fn encode_snapshot(states: &ProducerStates) -> Vec<u8> {
    let producers = states.sorted();
    let entries = producers.iter().map(|(_, state)| state.batches.len().max(1)).sum::<usize>();
    let mut bytes = Vec::with_capacity(CRC_COVERS_FROM + 4 + entries * ENTRY_BYTES);
    bytes.put_i16(VERSION);
    bytes.put_u32(0);
    bytes.put_i32(entries as i32);
    for (producer_id, state) in producers {
        let (last, older) = match state.batches.len() {
            0 => (AppendedBatch { last_sequence: -1, last_offset: -1, offset_delta: 0, timestamp: -1 }, 0),
            count => (state.batches[count - 1], count - 1),
        };
        for batch in state.batches.iter().take(older) {
            put_entry(&mut bytes, producer_id, state, batch, batch.timestamp);
        }
        // Since its last batch the producer may have been heard of by a marker.
        put_entry(&mut bytes, producer_id, state, &last, state.last_timestamp);
    }
    let crc = crc_fast::crc32_iscsi(&bytes[CRC_COVERS_FROM..]);
    bytes[2..CRC_COVERS_FROM].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn put_entry(
    bytes: &mut Vec<u8>,
    producer_id: i64,
    state: &ProducerState,
    batch: &AppendedBatch,
    timestamp: i64,
) {
    bytes.put_i64(producer_id);
    bytes.put_i16(state.epoch);
    bytes.put_i32(batch.last_sequence);
    bytes.put_i64(batch.last_offset);
    bytes.put_i32(batch.offset_delta);
    bytes.put_i64(timestamp);
    bytes.put_i32(state.coordinator_epoch);
    bytes.put_i64(state.transaction_first_offset.unwrap_or(-1));
}

/// The state in a snapshot; none if it is damaged or of another version. `now_ms` counts as when the producers were last
/// heard of: nobody knows better.
pub(super) fn decode_snapshot(bytes: &[u8], now_ms: i64) -> Option<ProducerStates> {
    let covered = bytes.get(CRC_COVERS_FROM..)?;
    let mut head = bytes;
    if head.get_i16() != VERSION || head.get_u32() != crc_fast::crc32_iscsi(covered) {
        return None;
    }
    let mut rest = covered;
    let count = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    if rest.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let mut states = ProducerStates::default();
    let mut batches = VecDeque::new();
    let mut last_id = None;
    for _ in 0..count {
        let producer_id = rest.get_i64();
        let epoch = rest.get_i16();
        let last_sequence = rest.get_i32();
        let last_offset = rest.get_i64();
        let offset_delta = rest.get_i32();
        let timestamp = rest.get_i64();
        let coordinator_epoch = rest.get_i32();
        let transaction_first_offset = Some(rest.get_i64()).filter(|offset| *offset >= 0);
        let batch = AppendedBatch { last_sequence, last_offset, offset_delta, timestamp };
        if last_id.replace(producer_id) != Some(producer_id) {
            batches.clear();
        }
        batches.extend((last_offset >= 0).then_some(batch));
        if batches.len() > KEPT_BATCHES {
            batches.pop_front();
        }
        states.restore(
            producer_id,
            ProducerState {
                epoch,
                batches: batches.clone(),
                coordinator_epoch,
                transaction_first_offset,
                is_verified: false,
                last_timestamp: timestamp,
                last_seen_ms: now_ms,
            },
        );
    }
    Some(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_leads_back_and_damage_is_noticed() {
        let mut states = ProducerStates::default();
        for (id, transaction_first_offset, batches) in
            [(5, None, 5), (-7, Some(30), 0), (1 << 40, Some(2), 2)]
        {
            let batch = |number: i32| AppendedBatch {
                last_sequence: 12 + number,
                last_offset: 99 + i64::from(number),
                offset_delta: 3,
                timestamp: 1000,
            };
            let state = ProducerState {
                epoch: 4,
                batches: (0..batches).map(batch).collect(),
                coordinator_epoch: 8,
                transaction_first_offset,
                is_verified: false,
                last_timestamp: 1000,
                last_seen_ms: 77,
            };
            states.restore(id, state);
        }
        let bytes = encode_snapshot(&states);
        assert_eq!(bytes.len(), 10 + 8 * ENTRY_BYTES);
        assert_eq!(decode_snapshot(&bytes, 77), Some(states));
        assert_eq!(
            decode_snapshot(&encode_snapshot(&ProducerStates::default()), 0),
            Some(ProducerStates::default())
        );
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x10;
            assert_eq!(decode_snapshot(&damaged, 77), None, "byte {position}");
            assert_eq!(decode_snapshot(&bytes[..position], 77), None, "cut to {position}");
        }
    }
}
