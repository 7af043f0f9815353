//! Sequences, duplicates, epochs and transactions, one small log at a time.

use anabranch_protocol::records::{
    BatchBuilder, Compression, end_transaction_marker, set_base_offset, set_producer, set_transactional,
};

use super::*;

/// A log that keeps headers only.
#[derive(Default)]
struct SmallLog {
    states: ProducerStates,
    end_offset: i64,
    bumps_epoch: bool,
}

impl SmallLog {
    fn header(
        &self,
        producer_id: i64,
        epoch: i16,
        sequence: i32,
        records: usize,
        transactional: bool,
    ) -> BatchHeader {
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..records {
            builder.append(1000, None, None, []).unwrap();
        }
        let mut batch = builder.finish();
        set_base_offset(&mut batch, self.end_offset);
        set_producer(&mut batch, producer_id, epoch, sequence);
        if transactional {
            set_transactional(&mut batch);
        }
        BatchHeader::parse(&batch).unwrap()
    }

    /// What the log says to a batch: `new`, `duplicate of ..` or the error's kind.
    fn append(
        &mut self,
        producer_id: i64,
        epoch: i16,
        sequence: i32,
        records: usize,
        transactional: bool,
    ) -> String {
        let header = self.header(producer_id, epoch, sequence, records, transactional);
        let membership = if transactional { Membership::Verified } else { Membership::Unknown };
        match self.states.admit(&header, membership, self.end_offset) {
            Ok(Admission::New) => {
                self.states.appended(&header, 5);
                if transactional {
                    self.states.verified(producer_id);
                }
                self.end_offset = header.next_offset();
                "new".to_string()
            }
            Ok(Admission::Duplicate(batch)) => {
                format!("duplicate of {}-{}", batch.base_offset(), batch.last_offset)
            }
            Err(error) => error.error_code().name().to_string(),
        }
    }

    fn mark(
        &mut self,
        producer_id: i64,
        epoch: i16,
        committed: bool,
        coordinator_epoch: i32,
    ) -> Result<Option<EndedTransaction>, AppendError> {
        let mut batch = end_transaction_marker(1000, producer_id, epoch, committed, coordinator_epoch);
        set_base_offset(&mut batch, self.end_offset);
        let header = BatchHeader::parse(&batch).unwrap();
        let control_type = if committed { ControlType::Commit } else { ControlType::Abort };
        let control = ControlRecord { control_type, coordinator_epoch: Some(coordinator_epoch) };
        self.states.admit_marker(&header, control, self.bumps_epoch)?;
        self.end_offset += 1;
        Ok(self.states.marked(&header, control, 5))
    }
}

#[test]
fn sequences_must_follow_and_the_last_five_batches_are_duplicates() {
    let mut log = SmallLog::default();
    let mut check = |epoch, sequence, records, expected: &str| {
        assert_eq!(log.append(7, epoch, sequence, records, false), expected, "{epoch} {sequence} {records}");
    };
    check(0, 40, 2, "new"); // not known: any sequence
    check(0, 40, 2, "duplicate of 0-1");
    check(0, 40, 1, "OUT_OF_ORDER_SEQUENCE_NUMBER"); // not the same batch
    check(0, 43, 1, "OUT_OF_ORDER_SEQUENCE_NUMBER");
    check(0, 42, 1, "new");
    check(0, 43, 3, "new");
    check(0, 46, 1, "new");
    check(0, 47, 1, "new");
    check(0, 40, 2, "duplicate of 0-1");
    check(0, 48, 1, "new");
    check(0, 40, 2, "OUT_OF_ORDER_SEQUENCE_NUMBER"); // the sixth is forgotten
    check(0, 43, 3, "duplicate of 3-5");
    check(1, 49, 1, "OUT_OF_ORDER_SEQUENCE_NUMBER"); // a new epoch begins at 0
    check(1, 0, 1, "new");
    check(0, 48, 1, "INVALID_PRODUCER_EPOCH");
    check(1, 0, 1, "duplicate of 9-9");
    check(1, 1, 1, "new");
}

#[test]
fn sequences_wrap_to_zero() {
    let mut log = SmallLog::default();
    assert_eq!(log.append(7, 0, i32::MAX - 1, 4, false), "new");
    assert_eq!(log.append(7, 0, i32::MAX - 1, 4, false), "duplicate of 0-3");
    assert_eq!(log.append(7, 0, 1, 1, false), "OUT_OF_ORDER_SEQUENCE_NUMBER");
    assert_eq!(log.append(7, 0, 2, 1, false), "new");
    let mut log = SmallLog::default();
    assert_eq!(log.append(7, 0, i32::MAX, 1, false), "new");
    assert_eq!(log.append(7, 0, 0, 1, false), "new");
    assert_eq!(log.append(7, 0, i32::MAX, 1, false), "duplicate of 0-0");
}

#[test]
fn batches_without_a_producer_are_not_looked_at() {
    let mut log = SmallLog::default();
    assert_eq!(log.append(-1, -1, -1, 1, false), "new");
    assert_eq!(log.append(-1, -1, -1, 1, false), "new");
    assert!(log.states.is_empty());
}

#[test]
fn a_transaction_is_undecided_until_its_marker_is_below_the_high_watermark() {
    let mut log = SmallLog::default();
    log.append(-1, -1, -1, 3, false);
    log.append(1, 0, 0, 2, true); // 3-4
    log.append(2, 0, 0, 1, true); // 5
    log.append(1, 0, 2, 1, true); // 6
    assert_eq!(log.states.first_undecided_offset(7), Some(3));
    let ended = log.mark(1, 0, true, 0).unwrap();
    let expected =
        AbortedTransaction { producer_id: 1, first_offset: 3, last_offset: 7, last_stable_offset: 5 };
    assert_eq!(ended, Some(EndedTransaction { ended: expected, is_aborted: false }));
    assert_eq!(log.states.first_undecided_offset(7), Some(3), "the marker is not visible yet");
    assert_eq!(log.states.first_undecided_offset(8), Some(5));
    let ended = log.mark(2, 0, false, 0).unwrap();
    assert!(ended.is_some_and(|ended| ended.is_aborted && ended.ended.first_offset == 5));
    assert_eq!(log.states.first_undecided_offset(9), None);
    log.states.decide_up_to(9);
    assert_eq!(log.states.first_undecided_offset(0), None);
    assert_eq!(log.mark(2, 0, false, 0).unwrap(), None, "a marker sent again ends nothing");
    // The sequence goes on after a marker.
    assert_eq!(log.append(1, 0, 3, 1, true), "new");
}

#[test]
fn old_coordinators_and_old_epochs_are_fenced() {
    let mut log = SmallLog::default();
    log.append(1, 3, 0, 1, true);
    log.mark(1, 3, true, 5).unwrap();
    assert!(matches!(log.mark(1, 3, true, 4), Err(AppendError::TransactionCoordinatorFenced { .. })));
    assert!(matches!(log.mark(1, 2, true, 5), Err(AppendError::InvalidProducerEpoch { .. })));
    // A marker of a newer epoch fences the producer of the old one, and the new one begins at 0.
    log.mark(1, 4, false, 5).unwrap();
    assert_eq!(log.append(1, 3, 1, 1, true), "INVALID_PRODUCER_EPOCH");
    assert_eq!(log.append(1, 4, 1, 1, true), "OUT_OF_ORDER_SEQUENCE_NUMBER");
    assert_eq!(log.append(1, 4, 0, 1, true), "new");
}

#[test]
fn idle_producers_expire_unless_a_transaction_is_open() {
    let mut log = SmallLog::default();
    log.append(1, 0, 0, 1, false);
    log.append(2, 0, 0, 1, true);
    log.states.expire(104, 100);
    assert_eq!(log.append(1, 0, 9, 1, false), "OUT_OF_ORDER_SEQUENCE_NUMBER");
    log.states.expire(105, 100);
    assert_eq!(log.append(1, 0, 9, 1, false), "new");
    assert_eq!(log.append(2, 0, 9, 1, true), "OUT_OF_ORDER_SEQUENCE_NUMBER");
}

#[test]
fn only_batches_of_a_known_transaction_are_taken() {
    let mut log = SmallLog::default();
    let admit = |log: &SmallLog, epoch, sequence, transactional, membership| {
        let header = log.header(1, epoch, sequence, 1, transactional);
        match log.states.admit(&header, membership, log.end_offset) {
            Ok(Admission::New) => "new".to_string(),
            Ok(Admission::Duplicate(_)) => "duplicate".to_string(),
            Err(error) => error.error_code().name().to_string(),
        }
    };
    use Membership::{Added, Unknown, Verified};
    assert_eq!(admit(&log, 0, 0, true, Unknown), "INVALID_TXN_STATE");
    assert_eq!(admit(&log, 0, 7, true, Verified), "new", "it may have been forgotten");
    assert_eq!(admit(&log, 0, 7, true, Added), "OUT_OF_ORDER_SEQUENCE_NUMBER", "each epoch begins at 0");
    assert_eq!(admit(&log, 0, 0, true, Added), "new");
    assert_eq!(log.append(1, 0, 0, 1, true), "new");
    assert!(log.states.has_open_transaction(1, 0) && !log.states.has_open_transaction(1, 1));
    assert_eq!(admit(&log, 0, 1, true, Unknown), "new", "it goes on");
    assert_eq!(admit(&log, 0, 0, true, Unknown), "duplicate");
    assert_eq!(admit(&log, 0, 1, false, Unknown), "INVALID_TXN_STATE", "not in the midst of a transaction");
    assert_eq!(admit(&log, 1, 0, true, Unknown), "INVALID_TXN_STATE", "another epoch, another transaction");
    log.mark(1, 0, true, 0).unwrap();
    assert_eq!(admit(&log, 0, 1, true, Unknown), "INVALID_TXN_STATE", "the transaction has ended");
    assert_eq!(admit(&log, 0, 1, false, Unknown), "new");
}

#[test]
fn where_the_epoch_rises_with_every_transaction_late_markers_are_refused() {
    let mut log = SmallLog { bumps_epoch: true, ..SmallLog::default() };
    assert!(log.mark(1, 4, true, 0).unwrap().is_none(), "a producer that is not known");
    log.append(2, 4, 0, 1, true);
    assert!(matches!(log.mark(2, 4, true, 0), Err(AppendError::InvalidProducerEpoch { .. })));
    assert!(log.mark(2, 5, true, 0).unwrap().is_some());
    assert!(log.mark(2, 5, true, 0).unwrap().is_none(), "written again, with nothing open");
    assert_eq!(log.append(2, 4, 1, 1, true), "INVALID_PRODUCER_EPOCH");
    assert_eq!(log.append(2, 5, 0, 1, true), "new");
    assert!(matches!(log.mark(2, 5, false, 0), Err(AppendError::InvalidProducerEpoch { .. })));
}
