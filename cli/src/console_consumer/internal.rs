//! Records of the internal topics as lines of JSON, by the names of Kafka's formatters for them.

use anabranch_client::ConsumerRecord;

use crate::internal_records::{RecordDecoder, Told};

/// Tells the records of some kinds, and leaves out the others.
#[derive(Debug)]
pub(super) struct InternalFormatter {
    decoder: RecordDecoder,
    kinds: &'static [i16],
}

impl InternalFormatter {
    /// The one of that name, without its package.
    pub(super) fn named(name: &str) -> Option<InternalFormatter> {
        let (decoder, kinds): (_, &[i16]) = match name {
            "OffsetsMessageFormatter" => (RecordDecoder::Offsets, &[0, 1]),
            "GroupMetadataMessageFormatter" => (RecordDecoder::Offsets, &[2]),
            "TransactionLogMessageFormatter" => (RecordDecoder::Transactions, &[0]),
            _ => return None,
        };
        Some(InternalFormatter { decoder, kinds })
    }

    /// The line of a record; nothing, if it is of another kind or says nothing.
    pub(super) fn line(&self, record: &ConsumerRecord) -> Vec<u8> {
        match self.decoder.tell(record.offset, record.key.as_deref(), record.value.as_deref()) {
            told @ Told::Pair { .. } if told.kind().is_some_and(|kind| self.kinds.contains(&kind)) => {
                format!("{}\n", told.json()).into_bytes()
            }
            _ => Vec::new(),
        }
    }
}
