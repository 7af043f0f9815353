//! Records of the topics that brokers write themselves, as JSON: field by field what Kafka's tools print.

mod json;
mod metadata;
mod offsets;
mod transactions;

use anabranch_protocol::DecodeError;
use bytes::Bytes;

use json::Object;

/// Which topic's records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordDecoder {
    /// `__consumer_offsets`.
    Offsets,
    /// `__transaction_state`.
    Transactions,
    /// `__cluster_metadata`.
    Metadata,
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A key, and what it stands for; no value deletes it.
    Pair { key: Versioned, value: Option<Versioned> },
    /// A record of metadata, as JSON.
    Metadata(String),
    /// Why nothing can be told.
    Problem(String),
}

/// A key or a value: its kind or version, and its fields as JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Versioned {
    version: i16,
    data: String,
}

impl Versioned {
    fn new(version: i16, data: Object) -> Versioned {
        Versioned { version, data: data.finish() }
    }

    /// With the version, which is called so, as text.
    fn with_text(&self, name: &str) -> String {
        Object::new().text(name, &self.version.to_string()).raw("data", &self.data).finish()
    }

    /// The same, as a number.
    fn with_number(&self, name: &str) -> String {
        Object::new().number(name, self.version).raw("data", &self.data).finish()
    }
}

impl RecordDecoder {
    /// What the record at an offset says.
    pub(crate) fn tell(self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Told {
        let own = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        let (key, value) = (own(key), own(value));
        let told = match (self, &key, &value) {
            (RecordDecoder::Metadata, _, Some(value)) => metadata::tell(value),
            (RecordDecoder::Metadata, _, None) => {
                return Told::Problem(format!("Error at offset {offset}, skipping. The value is missing."));
            }
            (_, None, _) => {
                return Told::Problem(format!("Error at offset {offset}, skipping. The key is missing."));
            }
            (RecordDecoder::Offsets, Some(key), value) => offsets::tell(key, value.as_ref()),
            (RecordDecoder::Transactions, Some(key), value) => transactions::tell(key, value.as_ref()),
        };
        match told {
            Ok(told) => told,
            Err(DecodeError::UnknownRecordType(kind)) => {
                Told::Problem(format!("Unknown record type {kind} at offset {offset}, skipping."))
            }
            Err(error) => Told::Problem(format!("Error at offset {offset}, skipping. {error}")),
        }
    }
}

impl Told {
    /// The kind of the key, if there is one.
    pub(crate) fn kind(&self) -> Option<i16> {
        match self {
            Told::Pair { key, .. } => Some(key.version),
            Told::Metadata(_) | Told::Problem(_) => None,
        }
    }

    /// As `kafka-dump-log` prints it.
    pub(crate) fn text(&self) -> String {
        match self {
            Told::Pair { key, value } => {
                let value = value.as_ref().map(|value| value.with_text("version"));
                format!(" key: {} payload: {}", key.with_text("type"), value.as_deref().unwrap_or("<DELETE>"))
            }
            Told::Metadata(text) | Told::Problem(text) => format!(" payload: {text}"),
        }
    }

    /// As `kafka-console-consumer` prints it: one object.
    pub(crate) fn json(&self) -> String {
        match self {
            Told::Pair { key, value } => {
                let value = value.as_ref().map_or("null".to_string(), |value| value.with_number("version"));
                Object::new().raw("key", &key.with_number("type")).raw("value", &value).finish()
            }
            Told::Metadata(value) => Object::new().raw("value", value).finish(),
            Told::Problem(problem) => Object::new().text("problem", problem).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_protocol::encode_versioned;
    use anabranch_protocol::messages::consumer_offsets::{OffsetCommitKey, OffsetCommitValue};
    use anabranch_protocol::messages::transaction_state::{TransactionLogKey, TransactionLogValue};

    use super::*;

    #[test]
    fn records_are_told_as_kafka_tells_them() {
        let check = |decoder: RecordDecoder, key: Option<&[u8]>, value: Option<&[u8]>, expected: &str| {
            assert_eq!(decoder.tell(7, key, value).text(), expected);
        };
        let key = encode_versioned(&OffsetCommitKey { group: "g", topic: "t", partition: 3 }, 1);
        let value = OffsetCommitValue { offset: 9, metadata: "m", commit_timestamp: 5, ..Default::default() };
        let told = r#" key: {"type":"1","data":{"group":"g","topic":"t","partition":3}} payload: "#;
        check(
            RecordDecoder::Offsets,
            Some(&key),
            Some(&encode_versioned(&value, 4)),
            &format!(
                r#"{told}{{"version":"4","data":{{"offset":9,"leaderEpoch":-1,"metadata":"m","commitTimestamp":5}}}}"#
            ),
        );
        check(RecordDecoder::Offsets, Some(&key), None, &format!("{told}<DELETE>"));
        let json = r#"{"key":{"type":1,"data":{"group":"g","topic":"t","partition":3}},"value":null}"#;
        assert_eq!(RecordDecoder::Offsets.tell(7, Some(&key), None).json(), json);
        let key = encode_versioned(&TransactionLogKey { transactional_id: "id" }, 0);
        let value = encode_versioned(&TransactionLogValue { next_producer_id: 8, ..Default::default() }, 1);
        check(
            RecordDecoder::Transactions,
            Some(&key),
            Some(&value),
            r#" key: {"type":"0","data":{"transactionalId":"id"}} payload: {"version":"1","data":{"producerId":0,"nextProducerId":8,"producerEpoch":0,"transactionTimeoutMs":0,"transactionStatus":0,"transactionPartitions":null,"transactionLastUpdateTimestampMs":0,"transactionStartTimestampMs":0}}"#,
        );
        // A member of a group of the newer kind, and what is no record at all.
        let newer = [0, 5, 0, 1, b'g', 0, 1, b'm'];
        let unknown = " payload: Unknown record type 5 at offset 7, skipping.";
        check(RecordDecoder::Offsets, Some(&newer), None, unknown);
        check(
            RecordDecoder::Offsets,
            None,
            None,
            " payload: Error at offset 7, skipping. The key is missing.",
        );
        let nonsense = RecordDecoder::Metadata.tell(7, None, Some(&[1, 2])).text();
        assert!(nonsense.starts_with(" payload: Error at offset 7, skipping. "), "{nonsense}");
    }
}
