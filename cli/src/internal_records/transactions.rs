//! `__transaction_state`: transactional ids and how their transactions stand.

use anabranch_protocol::messages::transaction_state::{
    PartitionsSchema, TransactionLogKey, TransactionLogValue,
};
use anabranch_protocol::{DecodeError, decode_versioned};
use bytes::Bytes;

use super::json::{self, Object};
use super::{Told, Versioned};

pub(super) fn tell(key: &Bytes, value: Option<&Bytes>) -> Result<Told, DecodeError> {
    let (key, version) = decode_versioned::<TransactionLogKey<'_>>(key)?;
    let key = Versioned::new(version, Object::new().text("transactionalId", key.transactional_id));
    Ok(Told::Pair { key, value: value.map(state).transpose()? })
}

fn state(value: &Bytes) -> Result<Versioned, DecodeError> {
    let (value, version) = decode_versioned::<TransactionLogValue<'_>>(value)?;
    let partitions = value.transaction_partitions.as_ref().map_or("null".to_string(), |topics| {
        let topic = |one: &PartitionsSchema<'_>| {
            Object::new().text("topic", one.topic).numbers("partitionIds", &one.partition_ids).finish()
        };
        json::array(topics.iter().map(topic))
    });
    let data = Object::new()
        .number("producerId", value.producer_id)
        .if_some(Some(value.previous_producer_id).filter(|id| *id != -1), |data, id| {
            data.number("previousProducerId", id)
        })
        .if_some(Some(value.next_producer_id).filter(|id| *id != -1), |data, id| {
            data.number("nextProducerId", id)
        })
        .number("producerEpoch", value.producer_epoch)
        .if_some(Some(value.next_producer_epoch).filter(|epoch| *epoch != -1), |data, epoch| {
            data.number("nextProducerEpoch", epoch)
        })
        .number("transactionTimeoutMs", value.transaction_timeout_ms)
        .number("transactionStatus", value.transaction_status)
        .raw("transactionPartitions", &partitions)
        .number("transactionLastUpdateTimestampMs", value.transaction_last_update_timestamp_ms)
        .number("transactionStartTimestampMs", value.transaction_start_timestamp_ms)
        .if_some(Some(value.client_transaction_version).filter(|level| *level != 0), |data, level| {
            data.number("clientTransactionVersion", level)
        });
    Ok(Versioned::new(version, data))
}
