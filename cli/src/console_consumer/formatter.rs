//! How a record becomes a line, by the properties of Kafka's formatter.

use anabranch_client::{ConsumerRecord, TimestampType};
use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::deserializer::Deserializer;

/// A record, as far as it can be shown.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    timestamp: i64,
    timestamp_type: TimestampType,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl Shown<'_> {
    pub(super) fn of(record: &ConsumerRecord) -> Shown<'_> {
        Shown {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            leader_epoch: record.leader_epoch,
            timestamp: record.timestamp,
            timestamp_type: record.timestamp_type,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record
                .headers()
                .into_iter()
                .flatten()
                .map(|header| (header.key, header.value))
                .collect(),
        }
    }
}

/// How a record becomes a line.
#[derive(Debug)]
pub(super) struct Formatter {
    timestamp: bool,
    partition: bool,
    offset: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: String,
    line_separator: String,
    headers_separator: String,
    null_literal: String,
    key_deserializer: Deserializer,
    value_deserializer: Deserializer,
    headers_deserializer: Deserializer,
    json: bool,
}

impl Formatter {
    pub(super) fn new(properties: &[(String, String)], json: bool) -> Result<Formatter> {
        let mut formatter = Formatter {
            timestamp: false,
            partition: false,
            offset: false,
            epoch: false,
            headers: false,
            key: false,
            value: true,
            key_separator: "\t".to_string(),
            line_separator: "\n".to_string(),
            headers_separator: ",".to_string(),
            null_literal: "null".to_string(),
            key_deserializer: Deserializer::default(),
            value_deserializer: Deserializer::default(),
            headers_deserializer: Deserializer::default(),
            json,
        };
        for (key, value) in properties {
            let is_true = value.trim().eq_ignore_ascii_case("true");
            match key.as_str() {
                "print.timestamp" => formatter.timestamp = is_true,
                "print.partition" => formatter.partition = is_true,
                "print.offset" => formatter.offset = is_true,
                "print.epoch" => formatter.epoch = is_true,
                "print.headers" => formatter.headers = is_true,
                "print.key" => formatter.key = is_true,
                "print.value" => formatter.value = is_true,
                "key.separator" => formatter.key_separator.clone_from(value),
                "line.separator" => formatter.line_separator.clone_from(value),
                "headers.separator" => formatter.headers_separator.clone_from(value),
                "null.literal" => formatter.null_literal.clone_from(value),
                "key.deserializer" => formatter.key_deserializer = Deserializer::named(value)?,
                "value.deserializer" => formatter.value_deserializer = Deserializer::named(value)?,
                // Kafka's help has the one name, its code the other.
                "header.deserializer" | "headers.deserializer" => {
                    formatter.headers_deserializer = Deserializer::named(value)?;
                }
                other => bail!("--formatter-property: '{other}' is not known"),
            }
        }
        Ok(formatter)
    }

    /// The line of a record, with what ends it.
    pub(super) fn line(&self, record: &Shown<'_>) -> Result<Vec<u8>> {
        let text = |deserializer: Deserializer, bytes: Option<&[u8]>, what: &str| {
            let text = bytes.map(|bytes| deserializer.text(bytes)).transpose();
            text.with_context(|| {
                let Shown { topic, partition, offset, .. } = record;
                format!("the {what} at offset {offset} of {topic}-{partition}")
            })
        };
        let key = text(self.key_deserializer, record.key, "key")?;
        let value = text(self.value_deserializer, record.value, "value")?;
        if self.json {
            return Ok(self.json_line(record, key.as_deref(), value.as_deref()));
        }
        let null = self.null_literal.as_bytes();
        let mut fields: Vec<Vec<u8>> = Vec::new();
        if self.timestamp {
            let text = match record.timestamp {
                -1 => "NO_TIMESTAMP".to_string(),
                timestamp => format!("{:?}:{timestamp}", record.timestamp_type),
            };
            fields.push(text.into_bytes());
        }
        if self.partition {
            fields.push(format!("Partition:{}", record.partition).into_bytes());
        }
        if self.offset {
            fields.push(format!("Offset:{}", record.offset).into_bytes());
        }
        if self.epoch {
            let text = match record.leader_epoch {
                -1 => "Epoch:NOT_PRESENT".to_string(),
                epoch => format!("Epoch:{epoch}"),
            };
            fields.push(text.into_bytes());
        }
        if self.headers {
            let mut headers: Vec<Vec<u8>> = Vec::new();
            for (name, value) in &record.headers {
                let value = text(self.headers_deserializer, *value, "header")?;
                headers.push([name.as_bytes(), b":", value.as_deref().unwrap_or(null)].concat());
            }
            let joined = headers.join(self.headers_separator.as_bytes());
            fields.push(if joined.is_empty() { b"NO_HEADERS".to_vec() } else { joined });
        }
        if self.key {
            fields.push(key.unwrap_or_else(|| null.to_vec()));
        }
        if self.value {
            fields.push(value.unwrap_or_else(|| null.to_vec()));
        }
        let mut line = fields.join(self.key_separator.as_bytes());
        line.extend_from_slice(self.line_separator.as_bytes());
        Ok(line)
    }

    fn json_line(&self, record: &Shown<'_>, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| json!([name, text(*value)])).collect();
        let line = json!({
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "leader_epoch": (record.leader_epoch >= 0).then_some(record.leader_epoch),
            "timestamp": record.timestamp,
            "timestamp_type": format!("{:?}", record.timestamp_type),
            "headers": headers,
            "key": text(key),
            "value": text(value),
        });
        format!("{line}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::parse_pair;

    #[test]
    fn a_record_is_a_line_of_what_was_asked_for() {
        let record = Shown {
            topic: "t",
            partition: 1,
            offset: 7,
            leader_epoch: 3,
            timestamp: 99,
            timestamp_type: TimestampType::CreateTime,
            key: None,
            value: Some(b"v"),
            headers: vec![("h", Some(b"x")), ("g", None)],
        };
        let check = |properties: &[&str], json: bool, expected: &str| {
            let properties: Vec<_> = properties.iter().map(|text| parse_pair(text).unwrap()).collect();
            let line = Formatter::new(&properties, json).unwrap().line(&record).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        };
        check(&[], false, "v\n");
        check(&["print.key=true", "key.separator=|"], false, "null|v\n");
        let all = [
            "print.timestamp=true",
            "print.partition=true",
            "print.offset=true",
            "print.headers=true",
            "print.key=true",
            "null.literal=-",
        ];
        check(&all, false, "CreateTime:99\tPartition:1\tOffset:7\th:x,g:-\t-\tv\n");
        check(&["print.epoch=true", "print.offset=true"], false, "Offset:7\tEpoch:3\tv\n");
        let headers = ["print.headers=true", "header.deserializer=StringDeserializer", "print.value=false"];
        check(&headers, false, "h:x,g:null\n");
        let json = r#"{"headers":[["h","x"],["g",null]],"key":null,"leader_epoch":3,"offset":7,"partition":1,"timestamp":99,"timestamp_type":"CreateTime","topic":"t","value":"v"}"#;
        check(&[], true, &format!("{json}\n"));
        let appended = Shown { timestamp_type: TimestampType::LogAppendTime, leader_epoch: -1, ..record };
        let properties = [("print.timestamp", "true"), ("print.epoch", "true"), ("print.value", "false")];
        let properties = properties.map(|(key, value)| (key.to_string(), value.to_string()));
        let line = Formatter::new(&properties, false).unwrap().line(&appended).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), "LogAppendTime:99\tEpoch:NOT_PRESENT\n");
        let record = appended;
        let number = [("value.deserializer".to_string(), "IntegerDeserializer".to_string())];
        let error = Formatter::new(&number, false).unwrap().line(&record).unwrap_err();
        assert_eq!(error.to_string(), "the value at offset 7 of t-1");
    }
}
