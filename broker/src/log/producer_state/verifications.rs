//! What is remembered of batches of whose transactions the coordinator was asked, and which are not appended yet.
//!
//! A producer may have several batches under way. If the first is refused because its coordinator could not be asked, the next
//! one must not be taken in its place: the first, tried again, would be out of order for ever (KIP-890). So of each producer the
//! lowest sequence number asked about is kept until one of its batches, or a marker, is appended. Not part of the fold: a log that
//! is opened anew has asked about nothing.

use anabranch_host::HashMap;
use anabranch_protocol::records::BatchHeader;

/// The producers of a log that wait for their first batch in a transaction.
#[derive(Debug, Default)]
pub(in crate::log) struct Verifications(HashMap<i64, Asked>);

#[derive(Debug)]
struct Asked {
    epoch: i16,
    lowest_sequence: i32,
    asked_ms: i64,
}

impl Verifications {
    /// The coordinator is asked about this batch.
    pub(in crate::log) fn asked(&mut self, header: &BatchHeader, now_ms: i64) {
        let (epoch, sequence) = (header.producer_epoch, header.base_sequence);
        let new = || Asked { epoch, lowest_sequence: sequence, asked_ms: now_ms };
        let asked = self.0.entry(header.producer_id).or_insert_with(new);
        if epoch > asked.epoch {
            *asked = new();
        } else if epoch == asked.epoch {
            asked.lowest_sequence = asked.lowest_sequence.min(sequence);
        }
    }

    /// The sequence number that is missing before this batch, if one is.
    pub(in crate::log) fn missing_before(&self, header: &BatchHeader) -> Option<i32> {
        let lowest = self.0.get(&header.producer_id)?.lowest_sequence;
        (header.base_sequence > lowest).then_some(lowest)
    }

    /// A batch or a marker was appended.
    pub(in crate::log) fn appended(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.0.remove(&header.producer_id);
        }
    }

    /// Forgets what was asked `expiration_ms` ago.
    pub(in crate::log) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.0.retain(|_, asked| now_ms.saturating_sub(asked.asked_ms) < expiration_ms);
    }
}
