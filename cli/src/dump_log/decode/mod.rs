//! Keys and values of the topics that brokers write themselves, as JSON: field by field what Kafka's tool prints.

mod json;
mod metadata;
mod offsets;
mod transactions;

use anabranch_protocol::DecodeError;
use bytes::Bytes;

/// Which topic's records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordDecoder {
    /// `__consumer_offsets`.
    Offsets,
    /// `__transaction_state`.
    Transactions,
    /// `__cluster_metadata`.
    Metadata,
}

impl RecordDecoder {
    /// ` key: .. payload: ..`, or what is wrong.
    pub(super) fn describe(self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
        let own = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
        let (key, value) = (own(key), own(value));
        let decoded = match (self, &key) {
            (RecordDecoder::Metadata, _) => metadata::describe(value.as_ref()),
            (_, None) => return " the key is missing".to_string(),
            (RecordDecoder::Offsets, Some(key)) => offsets::describe(key, value.as_ref()),
            (RecordDecoder::Transactions, Some(key)) => transactions::describe(key, value.as_ref()),
        };
        match decoded {
            Ok(text) => text,
            Err(DecodeError::UnknownRecordType(kind)) => {
                format!(" payload: Unknown record type {kind} at offset {offset}, skipping.")
            }
            Err(error) => format!(" payload: Error at offset {offset}, skipping. {error}"),
        }
    }
}

/// The JSON of a key or a value with its version in front, which Kafka writes as text.
fn versioned(name: &str, version: i16, data: json::Object) -> String {
    json::Object::new().text(name, &version.to_string()).raw("data", &data.finish()).finish()
}

/// A key with what it stands for; no value deletes it.
fn pair(key: &str, value: Option<String>) -> String {
    format!(" key: {key} payload: {}", value.as_deref().unwrap_or("<DELETE>"))
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
            assert_eq!(decoder.describe(7, key, value), expected);
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
        check(RecordDecoder::Offsets, None, None, " the key is missing");
        let nonsense = RecordDecoder::Metadata.describe(7, None, Some(&[1, 2]));
        assert!(nonsense.starts_with(" payload: Error at offset 7, skipping. "), "{nonsense}");
    }
}
