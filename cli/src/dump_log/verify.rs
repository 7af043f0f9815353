//! Whether the indexes of a segment say what is in it.

use std::collections::BTreeMap;

use anabranch_client::records::{Batch, BatchHeader};
use anyhow::{Result, bail};
use bytes::{Buf, Bytes};

use super::indexes::{OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES, used_entries};

/// The headers of a segment's batches, by where they lie.
fn batches(mut segment: Bytes) -> Result<BTreeMap<usize, BatchHeader>> {
    let mut found = BTreeMap::new();
    let mut position = 0;
    while !segment.is_empty() {
        let batch = match Batch::parse(&segment) {
            Ok(batch) => batch,
            Err(error) => bail!("the segment at byte {position}: {error}"),
        };
        found.insert(position, batch.header);
        position += batch.bytes.len();
        segment.advance(batch.bytes.len());
    }
    Ok(found)
}

/// An entry of an offset index is the last offset of the batch that lies there.
pub(super) fn verify_offsets(base_offset: i64, index: &[u8], segment: Bytes) -> Result<()> {
    let batches = batches(segment)?;
    for mut entry in used_entries(index, OFFSET_ENTRY_BYTES)? {
        let (offset, position) = (base_offset + i64::from(entry.get_i32()), entry.get_i32());
        match usize::try_from(position).ok().and_then(|position| batches.get(&position)) {
            Some(header) if header.last_offset() == offset => {}
            Some(header) => {
                bail!("index offset {offset}, but log offset {} at byte {position}", header.last_offset())
            }
            None => bail!("index offset {offset}: no batch begins at byte {position}"),
        }
    }
    Ok(())
}

/// An entry of a time index is the largest timestamp up to its offset, which is in the batch that has it.
pub(super) fn verify_times(base_offset: i64, index: &[u8], segment: Bytes) -> Result<()> {
    let batches = batches(segment)?;
    for mut entry in used_entries(index, TIME_ENTRY_BYTES)? {
        let (timestamp, offset) = (entry.get_i64(), base_offset + i64::from(entry.get_i32()));
        match batches.values().find(|header| header.last_offset() >= offset) {
            Some(header) if header.base_offset <= offset && header.max_timestamp == timestamp => {}
            Some(header) => bail!(
                "index timestamp {timestamp} at offset {offset}, but log timestamp {}",
                header.max_timestamp
            ),
            None => bail!("index timestamp {timestamp}: offset {offset} is not in the segment"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anabranch_client::records::{BatchBuilder, Compression, set_base_offset};

    use super::*;

    /// Batches of two records each from offset 10 on, timestamps 100, 101, 102, ..; and where the second one lies.
    fn segment() -> (Bytes, i32) {
        let mut bytes = Vec::new();
        let mut second = 0;
        for batch in 0..3 {
            let mut builder = BatchBuilder::new(Compression::None);
            for record in 0..2 {
                builder.append(100 + 2 * batch + record, None, Some(b"v"), []).unwrap();
            }
            let mut built = builder.finish();
            set_base_offset(&mut built, 10 + 2 * batch);
            if batch == 1 {
                second = bytes.len() as i32;
            }
            bytes.extend_from_slice(&built);
        }
        (bytes.into(), second)
    }

    #[test]
    fn an_index_of_offsets_points_at_batches() {
        let (segment, second) = segment();
        let check = |offset: i32, position: i32, fits: bool| {
            let entry = [offset.to_be_bytes(), position.to_be_bytes()].concat();
            assert_eq!(verify_offsets(10, &entry, segment.clone()).is_ok(), fits, "{offset} at {position}");
        };
        check(3, second, true);
        check(2, second, false);
        check(3, second + 1, false);
        check(3, -1, false);
        check(5, 1_000_000, false);
    }

    #[test]
    fn an_index_of_times_tells_the_largest_timestamp() {
        let (segment, _) = segment();
        let check = |timestamp: i64, offset: i32, fits: bool| {
            let entry = [&timestamp.to_be_bytes()[..], &offset.to_be_bytes()].concat();
            assert_eq!(verify_times(10, &entry, segment.clone()).is_ok(), fits, "{timestamp} at {offset}");
        };
        check(103, 3, true);
        check(102, 3, false);
        check(105, 6, false);
    }
}
