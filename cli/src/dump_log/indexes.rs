//! The files beside a segment: its indexes, the aborted transactions, the state of the producers.

use anyhow::{Result, bail};
use bytes::Buf;
use serde_json::{Value, json};

use crate::output::key;

/// Bytes of an entry of an index of offsets: an offset from the segment's first, and a position.
pub(super) const OFFSET_ENTRY_BYTES: usize = 8;
/// Bytes of an entry of an index of times: a timestamp, and an offset from the segment's first.
pub(super) const TIME_ENTRY_BYTES: usize = 12;
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

/// The entries of an index up to where it was filled.
pub(super) fn used_entries(bytes: &[u8], entry_bytes: usize) -> Result<impl Iterator<Item = &[u8]>> {
    let is_used = |(at, entry): &(usize, &[u8])| *at == 0 || !is_unused(entry);
    Ok(entries(bytes, entry_bytes)?.enumerate().take_while(is_used).map(|(_, entry)| entry))
}

/// Prints an entry: its fields by name, or as an object.
fn print(fields: &[(&str, i64)], as_json: bool) {
    if as_json {
        let object = fields.iter().map(|(name, value)| (key(name), (*value).into()));
        println!("{}", Value::Object(object.collect()));
    } else {
        let shown: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        println!("{}", shown.join(" "));
    }
}

pub(super) fn dump_offsets(base_offset: i64, bytes: &[u8], as_json: bool) -> Result<()> {
    for mut entry in used_entries(bytes, OFFSET_ENTRY_BYTES)? {
        let offset = base_offset + i64::from(entry.get_i32());
        print(&[("offset", offset), ("position", entry.get_i32().into())], as_json);
    }
    Ok(())
}

pub(super) fn dump_times(base_offset: i64, bytes: &[u8], as_json: bool) -> Result<()> {
    for mut entry in used_entries(bytes, TIME_ENTRY_BYTES)? {
        let timestamp = entry.get_i64();
        print(&[("timestamp", timestamp), ("offset", base_offset + i64::from(entry.get_i32()))], as_json);
    }
    Ok(())
}

pub(super) fn dump_aborted(bytes: &[u8], as_json: bool) -> Result<()> {
    for mut entry in entries(bytes, 34)? {
        let version = i64::from(entry.get_i16());
        let names = ["producerId", "firstOffset", "lastOffset", "lastStableOffset"];
        let mut fields = vec![("version", version)];
        fields.extend(names.map(|name| (name, entry.get_i64())));
        print(&fields, as_json);
    }
    Ok(())
}

pub(super) fn dump_producers(bytes: &[u8], as_json: bool) -> Result<()> {
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
        let open_since = Some(entry.get_i64()).filter(|offset| *offset != -1);
        let first_sequence = last_sequence.wrapping_sub(delta);
        // Of a producer that has only ended transactions there is no batch.
        let has_batch = last_offset != -1;
        if as_json {
            let of_batch = |value: i64| has_batch.then_some(value);
            println!(
                "{}",
                json!({
                    "producer_id": producer_id,
                    "producer_epoch": epoch,
                    "coordinator_epoch": coordinator_epoch,
                    "current_txn_first_offset": open_since,
                    "last_timestamp": timestamp,
                    "first_sequence": of_batch(first_sequence.into()),
                    "last_sequence": of_batch(last_sequence.into()),
                    "last_offset": of_batch(last_offset),
                    "offset_delta": of_batch(delta.into()),
                })
            );
            continue;
        }
        let current = match open_since {
            None => "OptionalLong.empty".to_string(),
            Some(first_offset) => format!("OptionalLong[{first_offset}]"),
        };
        let batch = match has_batch {
            false => String::new(),
            true => format!(
                " firstSequence: {first_sequence} lastSequence: {last_sequence} lastOffset: {last_offset} \
                 offsetDelta: {delta} timestamp: {timestamp}"
            ),
        };
        println!(
            "producerId: {producer_id} producerEpoch: {epoch} coordinatorEpoch: {coordinator_epoch} \
             currentTxnFirstOffset: {current} lastTimestamp: {timestamp}{batch}"
        );
    }
    Ok(())
}

/// Refuses an index that no broker would take: entries go up, none is of another segment.
pub(super) fn check_sanity(bytes: &[u8], entry_bytes: usize) -> Result<()> {
    let mut last: Option<&[u8]> = None;
    for entry in used_entries(bytes, entry_bytes)? {
        // Both begin with the number that goes up. It is not negative, so its bytes compare as it does.
        let key = &entry[..entry_bytes - 4];
        if last.is_some_and(|last| last >= key) || key[0] & 0x80 != 0 {
            bail!("its entries do not go up");
        }
        last = Some(key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_index_is_refused() {
        assert!(dump_offsets(0, &[0; 16], false).is_ok());
        assert!(dump_offsets(0, &[0; 15], false).is_err());
        assert!(dump_times(0, &[0; 25], false).is_err());
        assert!(dump_producers(&[0, 1], false).is_err());
        assert!(dump_producers(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 1], false).is_err());
        assert!(dump_producers(&[0, 1, 0, 0, 0, 0, 0, 0, 0, 0], false).is_ok());
    }

    #[test]
    fn entries_that_do_not_go_up_are_no_index() {
        let check = |offsets: &[i32], is_sane: bool| {
            let bytes: Vec<u8> = offsets
                .iter()
                .flat_map(|offset| [offset.to_be_bytes(), 7i32.to_be_bytes()].concat())
                .collect();
            assert_eq!(check_sanity(&bytes, OFFSET_ENTRY_BYTES).is_ok(), is_sane, "{offsets:?}");
        };
        check(&[], true);
        check(&[1, 2, 300], true);
        check(&[1, 1], false);
        check(&[256, 2], false);
        check(&[-1], false);
    }
}
