//! The files beside a segment: its indexes, the aborted transactions, the state of the producers.

use anyhow::{Result, bail};
use bytes::Buf;

/// Bytes of a producer in a snapshot.
const PRODUCER_BYTES: usize = 46;
/// Version and checksum of a snapshot.
const SNAPSHOT_HEAD_BYTES: usize = 6;

fn entries(bytes: &[u8], entry_bytes: usize) -> Result<impl Iterator<Item = &[u8]>> {
    if !bytes.len().is_multiple_of(entry_bytes) {
        bail!("{} bytes are no whole number of entries of {entry_bytes}", bytes.len());
    }
    Ok(bytes.chunks_exact(entry_bytes))
}

/// Whether an entry of a preallocated index was never written.
fn is_unused(entry: &[u8]) -> bool {
    entry.iter().all(|byte| *byte == 0)
}

pub(super) fn dump_offsets(base_offset: i64, bytes: &[u8]) -> Result<()> {
    for (at, mut entry) in entries(bytes, 8)?.enumerate() {
        if at > 0 && is_unused(entry) {
            break;
        }
        println!("offset: {} position: {}", base_offset + i64::from(entry.get_i32()), entry.get_i32());
    }
    Ok(())
}

pub(super) fn dump_times(base_offset: i64, bytes: &[u8]) -> Result<()> {
    for (at, mut entry) in entries(bytes, 12)?.enumerate() {
        if at > 0 && is_unused(entry) {
            break;
        }
        println!("timestamp: {} offset: {}", entry.get_i64(), base_offset + i64::from(entry.get_i32()));
    }
    Ok(())
}

pub(super) fn dump_aborted(bytes: &[u8]) -> Result<()> {
    for mut entry in entries(bytes, 34)? {
        println!(
            "version: {} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
            entry.get_i16(),
            entry.get_i64(),
            entry.get_i64(),
            entry.get_i64(),
            entry.get_i64()
        );
    }
    Ok(())
}

pub(super) fn dump_producers(bytes: &[u8]) -> Result<()> {
    let Some((_head, mut body)) = bytes.split_at_checked(SNAPSHOT_HEAD_BYTES) else {
        bail!("it is shorter than a snapshot");
    };
    let count = body.try_get_i32()?;
    if body.len() as i64 != i64::from(count) * PRODUCER_BYTES as i64 {
        bail!("{} bytes are not the {count} producers that it says", body.len());
    }
    for mut entry in entries(body, PRODUCER_BYTES)? {
        let (producer_id, epoch) = (entry.get_i64(), entry.get_i16());
        let (last_sequence, last_offset, delta) = (entry.get_i32(), entry.get_i64(), entry.get_i32());
        let (timestamp, coordinator_epoch) = (entry.get_i64(), entry.get_i32());
        let current = match entry.get_i64() {
            -1 => "None".to_string(),
            first_offset => format!("Some({first_offset})"),
        };
        println!(
            "producerId: {producer_id} producerEpoch: {epoch} coordinatorEpoch: {coordinator_epoch} \
             currentTxnFirstOffset: {current} lastTimestamp: {timestamp} firstSequence: {} lastSequence: {last_sequence} \
             lastOffset: {last_offset} offsetDelta: {delta} timestamp: {timestamp}",
            last_sequence.wrapping_sub(delta)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_index_is_refused() {
        assert!(dump_offsets(0, &[0; 16]).is_ok());
        assert!(dump_offsets(0, &[0; 15]).is_err());
        assert!(dump_times(0, &[0; 25]).is_err());
        assert!(dump_producers(&[0, 1]).is_err());
        assert!(dump_producers(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(dump_producers(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).is_ok());
    }
}
