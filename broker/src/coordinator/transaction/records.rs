//! The records of `__transaction_state`, in Kafka's format.

use std::sync::Arc;

use anabranch_protocol::messages::transaction_state::{
    PartitionsSchema, TransactionLogKey, TransactionLogValue,
};
use anabranch_protocol::{DecodeError, decode_versioned, encode_versioned};
use bytes::Bytes;

use super::metadata::{TransactionMetadata, TransactionState};

/// A record of `__transaction_state`. No value: the transactional id is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransactionRecord {
    pub(crate) transactional_id: Arc<str>,
    pub(crate) value: Option<TransactionMetadata>,
}

/// Why a record is none that can be folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// Its bytes are not what they should be.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A state that no record holds.
    #[error("there is no transaction state {0}")]
    State(i8),
}

const KEY_VERSION: i16 = 0;
/// With tagged fields, from `transaction.version` 1 on. Both are read.
const VALUE_VERSION: i16 = 1;

impl TransactionRecord {
    /// Key and value as they stand in the log.
    pub(crate) fn encode(&self) -> (Bytes, Option<Bytes>) {
        let key = TransactionLogKey { transactional_id: &self.transactional_id };
        (encode_versioned(&key, KEY_VERSION), self.value.as_ref().map(TransactionMetadata::encode))
    }

    /// The record with this key and value.
    ///
    /// # Errors
    /// If these bytes are no such record.
    pub(crate) fn decode(key: &Bytes, value: Option<&Bytes>) -> Result<TransactionRecord, RecordError> {
        let (key, _): (TransactionLogKey<'_>, i16) = decode_versioned(key)?;
        let value = value.map(TransactionMetadata::decode).transpose()?;
        Ok(TransactionRecord { transactional_id: key.transactional_id.into(), value })
    }
}

impl TransactionMetadata {
    fn encode(&self) -> Bytes {
        let mut topics: Vec<PartitionsSchema<'_>> = Vec::new();
        for (topic, partition) in &self.partitions {
            match topics.last_mut() {
                Some(last) if *last.topic == **topic => last.partition_ids.push(*partition),
                _ => topics.push(PartitionsSchema { topic, partition_ids: vec![*partition] }),
            }
        }
        let value = TransactionLogValue {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transaction_timeout_ms: self.timeout_ms,
            transaction_status: self.state.id(),
            transaction_partitions: (self.state != TransactionState::Empty).then_some(topics),
            transaction_last_update_timestamp_ms: self.last_update_ms,
            transaction_start_timestamp_ms: self.start_ms,
            previous_producer_id: self.previous_producer_id,
            next_producer_id: self.next_producer_id,
            client_transaction_version: self.client_version,
            ..TransactionLogValue::default()
        };
        encode_versioned(&value, VALUE_VERSION)
    }

    fn decode(bytes: &Bytes) -> Result<TransactionMetadata, RecordError> {
        let (value, _): (TransactionLogValue<'_>, i16) = decode_versioned(bytes)?;
        let state = TransactionState::from_id(value.transaction_status)
            .ok_or(RecordError::State(value.transaction_status))?;
        let mut metadata = TransactionMetadata {
            previous_producer_id: value.previous_producer_id,
            next_producer_id: value.next_producer_id,
            producer_epoch: value.producer_epoch,
            timeout_ms: value.transaction_timeout_ms,
            state,
            start_ms: value.transaction_start_timestamp_ms,
            last_update_ms: value.transaction_last_update_timestamp_ms,
            client_version: value.client_transaction_version,
            ..TransactionMetadata::new(value.producer_id)
        };
        for topic in value.transaction_partitions.iter().flatten() {
            let name: Arc<str> = topic.topic.into();
            metadata.partitions.extend(topic.partition_ids.iter().map(|index| (name.clone(), *index)));
        }
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Bytes {
        let digits: String = text.split_whitespace().collect();
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    }

    /// The bytes of these records as Kafka's own classes write them.
    #[test]
    fn records_are_kafkas() {
        let partitions = [1, 2].map(|partition| ("t".into(), partition));
        let ongoing = TransactionMetadata {
            previous_producer_id: 4,
            next_producer_id: 10,
            producer_epoch: 6,
            timeout_ms: 7,
            state: TransactionState::Ongoing,
            partitions: partitions.into(),
            start_ms: 9,
            last_update_ms: 8,
            client_version: 2,
            ..TransactionMetadata::new(5)
        };
        let empty = TransactionMetadata {
            state: TransactionState::Empty,
            partitions: [].into(),
            previous_producer_id: -1,
            next_producer_id: -1,
            client_version: 0,
            ..ongoing.clone()
        };
        for (value, expected) in [
            (
                &ongoing,
                "0001 0000000000000005 0006 00000007 01 02 0274 03 00000001 00000002 00 0000000000000008 \
                 0000000000000009 03 00 08 0000000000000004 01 08 000000000000000a 02 02 0002",
            ),
            (&empty, "0001 0000000000000005 0006 00000007 00 00 0000000000000008 0000000000000009 00"),
        ] {
            let record = TransactionRecord { transactional_id: "x".into(), value: Some(value.clone()) };
            let (key, bytes) = record.encode();
            assert_eq!((key.clone(), bytes.clone()), (hex("0000 0001 78"), Some(hex(expected))));
            assert_eq!(TransactionRecord::decode(&key, bytes.as_ref()).unwrap(), record);
        }
        let gone = TransactionRecord { transactional_id: "x".into(), value: None };
        assert_eq!(TransactionRecord::decode(&gone.encode().0, None).unwrap(), gone);
        // As written before there were tagged fields.
        let old = hex("0000 0000000000000005 0006 00000007 00 ffffffff 0000000000000008 0000000000000009");
        let read = TransactionRecord::decode(&hex("0000 0001 78"), Some(&old)).unwrap();
        assert_eq!(read.value, Some(empty));
        for (key, value) in [
            ("0001 0001 78", ""),
            ("0000", ""),
            ("0000 0001 78", "0000 00"),
            (
                "0000 0001 78",
                "0000 0000000000000005 0006 00000007 06 ffffffff 0000000000000008 0000000000000009",
            ),
        ] {
            assert!(TransactionRecord::decode(&hex(key), Some(&hex(value))).is_err(), "{key} {value}");
        }
    }
}
