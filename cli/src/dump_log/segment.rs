//! The batches of a segment, and what is wrong with them.

use anabranch_client::records::{Batch, BatchHeader, ControlRecord, ControlType, Header, RecordRef};
use anyhow::{Result, bail};
use bytes::Bytes;
use serde_json::json;

use super::DumpLogArguments;

pub(super) fn dump(base_offset: i64, bytes: Vec<u8>, arguments: &DumpLogArguments) -> Result<()> {
    if !arguments.json {
        println!("Log starting offset: {base_offset}");
    }
    let mut rest = Bytes::from(bytes);
    let mut position = 0;
    let mut next_offset = None;
    while !rest.is_empty() {
        let batch = match Batch::parse(&rest) {
            Ok(batch) => batch,
            Err(error) => bail!("at byte {position}: {error}; {} bytes are left", rest.len()),
        };
        let is_valid = batch.check_crc().is_ok();
        if arguments.json {
            println!("{}", as_json(&batch.header, position, is_valid));
        } else {
            println!("{}", describe(&batch.header, position, is_valid));
        }
        if next_offset.is_some_and(|next| batch.header.base_offset < next) {
            bail!("at byte {position}: offset {} comes again", batch.header.base_offset);
        }
        next_offset = Some(batch.header.next_offset());
        if arguments.prints_data() || arguments.deep_iteration {
            let mut scratch = Vec::new();
            for record in batch.records(&mut scratch)? {
                let line = describe_record(&batch.header, &record?, arguments)?;
                if !arguments.json {
                    println!("{line}");
                }
            }
        }
        position += batch.bytes.len();
        rest = rest.slice(batch.bytes.len()..);
    }
    Ok(())
}

fn timestamp_type(header: &BatchHeader) -> &'static str {
    if header.is_log_append_time() { "LogAppendTime" } else { "CreateTime" }
}

fn describe(header: &BatchHeader, position: usize, is_valid: bool) -> String {
    let horizon = match header.delete_horizon_ms() {
        Some(horizon_ms) => format!("OptionalLong[{horizon_ms}]"),
        None => "OptionalLong.empty".to_string(),
    };
    let codec = header.compression().map_or("unknown".to_string(), |compression| compression.to_string());
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {position} {}: {} \
         size: {} magic: {} compresscodec: {codec} crc: {} isvalid: {is_valid}",
        header.base_offset,
        header.last_offset(),
        header.record_count,
        header.base_sequence,
        header.last_sequence(),
        header.producer_id,
        header.producer_epoch,
        header.partition_leader_epoch,
        header.is_transactional(),
        header.is_control(),
        timestamp_type(header),
        header.max_timestamp,
        header.batch_bytes(),
        header.magic,
        header.crc,
    )
}

fn as_json(header: &BatchHeader, position: usize, is_valid: bool) -> serde_json::Value {
    json!({
        "base_offset": header.base_offset,
        "last_offset": header.last_offset(),
        "count": header.record_count,
        "base_sequence": header.base_sequence,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "partition_leader_epoch": header.partition_leader_epoch,
        "is_transactional": header.is_transactional(),
        "is_control": header.is_control(),
        "delete_horizon_ms": header.delete_horizon_ms(),
        "position": position,
        "timestamp_type": timestamp_type(header),
        "max_timestamp": header.max_timestamp,
        "size": header.batch_bytes(),
        "compression": header.compression().map_or("unknown".to_string(), |compression| compression.to_string()),
        "crc": header.crc,
        "is_valid": is_valid,
    })
}

fn describe_record(
    header: &BatchHeader,
    record: &RecordRef<'_>,
    arguments: &DumpLogArguments,
) -> Result<String> {
    let size = |field: Option<&[u8]>| field.map_or(-1, |bytes| bytes.len() as i64);
    let mut headers = Vec::new();
    for found in record.headers {
        let Header { key, .. } = found?;
        headers.push(key);
    }
    let mut line = format!(
        "| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
        record.offset,
        timestamp_type(header),
        record.timestamp,
        size(record.key),
        size(record.value),
        match header.base_sequence {
            -1 => -1,
            base => base.wrapping_add((record.offset - header.base_offset) as i32) & i32::MAX,
        },
        headers.join(",")
    );
    if header.is_control() {
        let control = ControlRecord::parse(record)?;
        match (control.control_type, control.coordinator_epoch) {
            (kind @ (ControlType::Commit | ControlType::Abort), Some(epoch)) => {
                let kind = if kind == ControlType::Commit { "COMMIT" } else { "ABORT" };
                line.push_str(&format!(" endTxnMarker: {kind} coordinatorEpoch: {epoch}"));
            }
            (kind, _) => line.push_str(&format!(" controlType: {kind:?}")),
        }
    } else if let Some(decoder) = arguments.decoder() {
        line.push_str(&decoder.describe(record.offset, record.key, record.value));
    } else if arguments.print_data_log && !arguments.skip_record_metadata {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if let Some(key) = record.key {
            line.push_str(&format!(" key: {}", text(key)));
        }
        if let Some(value) = record.value {
            line.push_str(&format!(" payload: {}", text(value)));
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use anabranch_client::records::{BatchBuilder, Compression};

    use super::*;

    #[test]
    fn a_batch_is_told_as_kafka_tells_it() {
        let mut builder = BatchBuilder::new(Compression::Lz4);
        builder.append(99, Some(b"k"), Some(b"value"), [("h", None)]).unwrap();
        let bytes = builder.finish().freeze();
        let batch = Batch::parse(&bytes).unwrap();
        let header = batch.header;
        assert_eq!(
            describe(&header, 7, true),
            format!(
                "baseOffset: 0 lastOffset: 0 count: 1 baseSequence: -1 lastSequence: -1 producerId: -1 producerEpoch: -1 \
                 partitionLeaderEpoch: -1 isTransactional: false isControl: false deleteHorizonMs: OptionalLong.empty \
                 position: 7 CreateTime: 99 size: {} magic: 2 compresscodec: lz4 crc: {} isvalid: true",
                bytes.len(),
                header.crc
            )
        );
        let arguments = DumpLogArguments {
            files: Vec::new(),
            print_data_log: true,
            deep_iteration: false,
            offsets_decoder: false,
            transaction_log_decoder: false,
            cluster_metadata_decoder: false,
            skip_record_metadata: false,
            index_sanity_check: false,
            verify_index_only: false,
            json: false,
        };
        let mut scratch = Vec::new();
        let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
        assert_eq!(
            describe_record(&header, &record, &arguments).unwrap(),
            "| offset: 0 CreateTime: 99 keySize: 1 valueSize: 5 sequence: -1 headerKeys: [h] key: k payload: value"
        );
    }
}
