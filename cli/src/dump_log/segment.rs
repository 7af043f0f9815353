//! The batches of a segment, and what is wrong with them.

use anabranch_client::records::{
    Batch, BatchHeader, ControlRecord, ControlType, Header, RecordRef, RecordsError,
};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::json;

use super::DumpLogArguments;
use crate::deserializer::Deserializer;

/// Dumps a file of batches; `title` says which.
pub(super) fn dump(title: &str, bytes: Vec<u8>, arguments: &DumpLogArguments) -> Result<()> {
    if !arguments.json {
        println!("{title}");
    }
    let mut rest = Bytes::from(bytes);
    let most = arguments.max_bytes.unwrap_or(usize::MAX);
    let is_cut = most < rest.len();
    rest.truncate(most);
    let mut position = 0;
    let mut next_offset = None;
    while !rest.is_empty() {
        let batch = match Batch::parse(&rest) {
            Ok(batch) => batch,
            // The rest of it is behind the bytes that were asked for.
            Err(RecordsError::Truncated(_)) if is_cut => return Ok(()),
            Err(error) => bail!("at byte {position}: {error}; {} bytes are left", rest.len()),
        };
        let is_valid = batch.check_crc().is_ok();
        if !arguments.json {
            println!("{}", describe(&batch.header, position, is_valid));
        }
        if next_offset.is_some_and(|next| batch.header.base_offset < next) {
            bail!("at byte {position}: offset {} comes again", batch.header.base_offset);
        }
        next_offset = Some(batch.header.next_offset());
        let mut records = Vec::new();
        let walks_records = arguments.prints_data() || arguments.deep_iteration;
        if walks_records {
            let mut scratch = Vec::new();
            for record in batch.records(&mut scratch)? {
                match arguments.json {
                    true => records.push(record_as_json(&batch.header, &record?, arguments)?),
                    false => println!("{}", describe_record(&batch.header, &record?, arguments)?),
                }
            }
        }
        if arguments.json {
            let mut line = as_json(&batch.header, position, is_valid);
            if walks_records {
                line["records"] = records.into();
            }
            println!("{line}");
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

/// What marks the end of a transaction, or another control record.
fn control(record: &RecordRef<'_>) -> Result<String> {
    let control = ControlRecord::parse(record)?;
    Ok(match (control.control_type, control.coordinator_epoch) {
        (kind @ (ControlType::Commit | ControlType::Abort), Some(epoch)) => {
            let kind = if kind == ControlType::Commit { "COMMIT" } else { "ABORT" };
            format!(" endTxnMarker: {kind} coordinatorEpoch: {epoch}")
        }
        (kind, _) => format!(" controlType: {kind:?}"),
    })
}

fn sequence(header: &BatchHeader, record: &RecordRef<'_>) -> i32 {
    match header.base_sequence {
        -1 => -1,
        base => base.wrapping_add((record.offset - header.base_offset) as i32) & i32::MAX,
    }
}

fn header_keys<'a>(record: &RecordRef<'a>) -> Result<Vec<&'a str>> {
    let mut keys = Vec::new();
    for found in record.headers {
        let Header { key, .. } = found?;
        keys.push(key);
    }
    Ok(keys)
}

/// Key and value as text.
fn texts(record: &RecordRef<'_>, arguments: &DumpLogArguments) -> Result<(Option<String>, Option<String>)> {
    let key = arguments.key_decoder_class.unwrap_or_default();
    let value = arguments.value_decoder_class.unwrap_or_default();
    let text = |what: &str, decoder: Deserializer, bytes: Option<&[u8]>| {
        let text = bytes.map(|bytes| decoder.text(bytes)).transpose();
        let text = text.with_context(|| format!("the {what} at offset {}", record.offset))?;
        Ok::<_, anyhow::Error>(text.map(|text| String::from_utf8_lossy(&text).into_owned()))
    };
    Ok((text("key", key, record.key)?, text("value", value, record.value)?))
}

fn describe_record(
    header: &BatchHeader,
    record: &RecordRef<'_>,
    arguments: &DumpLogArguments,
) -> Result<String> {
    let size = |field: Option<&[u8]>| field.map_or(-1, |bytes| bytes.len() as i64);
    let mut line = match arguments.skip_record_metadata {
        true => String::new(),
        false => format!(
            "| offset: {} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [{}]",
            record.offset,
            timestamp_type(header),
            record.timestamp,
            size(record.key),
            size(record.value),
            sequence(header, record),
            header_keys(record)?.join(",")
        ),
    };
    if header.is_control() {
        if !arguments.skip_record_metadata {
            line.push_str(&control(record)?);
        }
        return Ok(line);
    }
    if arguments.skip_record_metadata {
        line.push('|');
    }
    if let Some(decoder) = arguments.decoder() {
        line.push_str(&decoder.tell(record.offset, record.key, record.value).text());
    } else if arguments.prints_data() {
        let (key, value) = texts(record, arguments)?;
        line.extend(key.map(|key| format!(" key: {key}")));
        line.extend(value.map(|value| format!(" payload: {value}")));
    }
    Ok(line)
}

fn record_as_json(
    header: &BatchHeader,
    record: &RecordRef<'_>,
    arguments: &DumpLogArguments,
) -> Result<serde_json::Value> {
    let mut told = json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key_size": record.key.map(<[u8]>::len),
        "value_size": record.value.map(<[u8]>::len),
        "sequence": sequence(header, record),
        "header_keys": header_keys(record)?,
    });
    if header.is_control() {
        told["control"] = control(record)?.trim().into();
    } else if let Some(decoder) = arguments.decoder() {
        told["record"] = serde_json::from_str(&decoder.tell(record.offset, record.key, record.value).json())?;
    } else if arguments.prints_data() {
        let (key, value) = texts(record, arguments)?;
        told["key"] = key.into();
        told["value"] = value.into();
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use anabranch_client::records::{BatchBuilder, Compression};
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: DumpLogArguments,
    }

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
        let mut scratch = Vec::new();
        let record = batch.records(&mut scratch).unwrap().next().unwrap().unwrap();
        let check = |line: &str, expected: &str| {
            let words = ["dump-log", "--files", "f"].into_iter().chain(line.split_whitespace());
            let arguments = Command::try_parse_from(words).unwrap().arguments;
            assert_eq!(describe_record(&header, &record, &arguments).unwrap(), expected, "{line}");
        };
        let metadata = "| offset: 0 CreateTime: 99 keySize: 1 valueSize: 5 sequence: -1 headerKeys: [h]";
        check("--deep-iteration", metadata);
        check("--print-data-log", &format!("{metadata} key: k payload: value"));
        check("--value-decoder-class", &format!("{metadata} key: k payload: value"));
        check("--print-data-log --skip-record-metadata", "| key: k payload: value");
        let words = ["dump-log", "--files", "f", "--print-data-log"];
        let arguments = Command::try_parse_from(words).unwrap().arguments;
        let json = r#"{"offset":0,"timestamp":99,"key_size":1,"value_size":5,"sequence":-1,"header_keys":["h"],"key":"k","value":"value"}"#;
        assert_eq!(
            record_as_json(&header, &record, &arguments).unwrap(),
            serde_json::from_str::<serde_json::Value>(json).unwrap()
        );
    }
}
