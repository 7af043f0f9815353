//! Which of the fetched batches a consumer may see: without markers, and for `read_committed` without the records of
//! aborted transactions. Pure. What remains are runs of neighbouring batches, cut out of the answer without copying.
//!
//! The leader names the aborted transactions in the order of their first offsets. From there on the producer's batches
//! are left out, up to its marker of the abort.

use std::collections::{BTreeSet, VecDeque};

use anabranch_protocol::messages::fetch::AbortedTransaction;
use anabranch_protocol::records::{Batch, BatchHeader, ControlRecord, ControlType, RecordsError};
use bytes::Bytes;

/// Neighbouring batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) records: Bytes,
    /// The offset behind its last record.
    pub(super) next_offset: i64,
    /// The leader epoch of its last batch.
    pub(super) leader_epoch: i32,
}

/// What a fetch brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Visible {
    pub(super) runs: Vec<Run>,
    /// The offset behind the last batch, seen or left out; none if there was no whole batch.
    pub(super) next_offset: Option<i64>,
}

/// Cuts what may be seen out of `records`, from `fetch_offset` on. `aborted` is given for `read_committed` only.
pub(super) fn visible(
    records: &Bytes,
    fetch_offset: i64,
    aborted: Option<&[AbortedTransaction]>,
) -> Result<Visible, RecordsError> {
    let mut visible = Visible::default();
    let mut to_come: VecDeque<&AbortedTransaction> = aborted.into_iter().flatten().collect();
    // A leader that does not sort them is corrected here; it costs nothing if they are.
    to_come.make_contiguous().sort_by_key(|transaction| transaction.first_offset);
    let mut aborting = BTreeSet::new();
    // Where the run at hand begins, if one is.
    let mut run: Option<(usize, BatchHeader)> = None;
    let mut at = 0;
    loop {
        let rest = &records[at..];
        let header = match BatchHeader::parse(rest) {
            Ok(header) if header.batch_bytes() <= rest.len() => header,
            // The last batch may be cut off.
            Ok(_) | Err(RecordsError::Truncated(_)) => break,
            Err(error) => return Err(error),
        };
        let end = at + header.batch_bytes();
        while let Some(transaction) = to_come.front()
            && transaction.first_offset <= header.last_offset()
        {
            aborting.insert(transaction.producer_id);
            to_come.pop_front();
        }
        let left_out = if header.is_control() {
            if aborted.is_some() && ends_abort(records, at)? {
                aborting.remove(&header.producer_id);
            }
            true
        } else {
            let aborted = header.is_transactional() && aborting.contains(&header.producer_id);
            aborted || header.next_offset() <= fetch_offset
        };
        if left_out {
            visible.end_run(records, &mut run, at);
        } else {
            run = Some((run.map_or(at, |(begin, _)| begin), header));
        }
        if header.next_offset() > fetch_offset {
            visible.next_offset = Some(header.next_offset());
        }
        at = end;
    }
    visible.end_run(records, &mut run, at);
    Ok(visible)
}

impl Visible {
    fn end_run(&mut self, records: &Bytes, run: &mut Option<(usize, BatchHeader)>, end: usize) {
        if let Some((begin, last)) = run.take() {
            self.runs.push(Run {
                records: records.slice(begin..end),
                next_offset: last.next_offset(),
                leader_epoch: last.partition_leader_epoch,
            });
        }
    }
}

/// Whether the control batch at `at` ends an abort.
fn ends_abort(records: &Bytes, at: usize) -> Result<bool, RecordsError> {
    let batch = Batch::parse(&records.slice(at..))?;
    let mut scratch = Vec::new();
    // Compaction may leave a marker's batch without its record.
    let Some(record) = batch.records(&mut scratch)?.next() else { return Ok(false) };
    Ok(ControlRecord::parse(&record?)?.control_type == ControlType::Abort)
}

#[cfg(test)]
mod tests {
    use anabranch_protocol::records::{
        BatchBuilder, Compression, end_transaction_marker, seal, set_base_offset, set_producer,
        set_transactional,
    };

    use super::*;

    /// A log by its batches: `a`, `b` records in transactions of producers 1 and 2, `-` one outside, `A`, `B` the
    /// aborts of the producers, `C`, `D` their commits. Each takes two offsets but for the markers, which take one.
    fn log(text: &str) -> Bytes {
        let mut bytes = Vec::new();
        let mut offset = 0;
        let mut builder = BatchBuilder::new(Compression::None);
        for letter in text.chars() {
            let mut batch = match letter {
                'a' | 'b' | '-' => {
                    for _ in 0..2 {
                        builder.append(0, None, Some(b"v"), []).unwrap();
                    }
                    let mut batch = builder.finish();
                    if letter != '-' {
                        set_producer(&mut batch, if letter == 'a' { 1 } else { 2 }, 0, 0);
                        set_transactional(&mut batch);
                        seal(&mut batch);
                    }
                    batch
                }
                'A' => end_transaction_marker(0, 1, 0, false, 0),
                'B' => end_transaction_marker(0, 2, 0, false, 0),
                'C' => end_transaction_marker(0, 1, 0, true, 0),
                _ => end_transaction_marker(0, 2, 0, true, 0),
            };
            set_base_offset(&mut batch, offset);
            offset = BatchHeader::parse(&batch).unwrap().next_offset();
            bytes.extend_from_slice(&batch);
        }
        bytes.into()
    }

    #[test]
    fn markers_and_aborted_records_are_left_out() {
        // The runs' offsets, first and next, and the offset behind all.
        let check = |text: &str,
                     from: i64,
                     aborted: Option<&[(i64, i64)]>,
                     runs: &[(i64, i64)],
                     next: Option<i64>| {
            let aborted: Option<Vec<_>> = aborted.map(|list| {
                let transaction = |(producer_id, first_offset): &(i64, i64)| AbortedTransaction {
                    producer_id: *producer_id,
                    first_offset: *first_offset,
                };
                list.iter().map(transaction).collect()
            });
            let seen = visible(&log(text), from, aborted.as_deref()).unwrap();
            let offsets: Vec<_> = seen
                .runs
                .iter()
                .map(|run| (BatchHeader::parse(&run.records).unwrap().base_offset, run.next_offset))
                .collect();
            assert_eq!((offsets.as_slice(), seen.next_offset), (runs, next), "{text} {from} {aborted:?}");
        };
        check("", 0, None, &[], None);
        check("---", 0, None, &[(0, 6)], Some(6));
        check("---", 3, None, &[(2, 6)], Some(6));
        check("---", 4, Some(&[]), &[(4, 6)], Some(6));
        check("aC-", 0, Some(&[]), &[(0, 2), (3, 5)], Some(5));
        check("aA-", 0, Some(&[(1, 0)]), &[(3, 5)], Some(5));
        check("aA-", 0, None, &[(0, 2), (3, 5)], Some(5));
        check("a-A", 0, Some(&[(1, 0)]), &[(2, 4)], Some(5));
        check("abABa", 0, Some(&[(1, 0), (2, 2)]), &[(6, 8)], Some(8));
        check("abABa", 0, Some(&[(2, 2), (1, 0)]), &[(6, 8)], Some(8));
        check("abAD", 0, Some(&[(1, 0)]), &[(2, 4)], Some(6));
        check("aAaC", 0, Some(&[(1, 0)]), &[(3, 5)], Some(6));
        // The transaction began before what is fetched.
        check("a-aA-", 4, Some(&[(1, 0)]), &[(7, 9)], Some(9));
        check("aA", 0, Some(&[(1, 0)]), &[], Some(3));
    }

    #[test]
    fn a_batch_cut_off_ends_the_walk_and_nonsense_is_an_error() {
        let whole = log("--");
        let half = whole.len() / 2;
        for end in 0..whole.len() {
            let seen = visible(&whole.slice(..end), 0, None).unwrap();
            assert_eq!(seen.next_offset, (end >= half).then_some(2), "{end}");
        }
        let mut nonsense = whole.to_vec();
        nonsense[half + 16] = 1;
        assert!(visible(&nonsense.into(), 0, None).is_err());
    }
}
