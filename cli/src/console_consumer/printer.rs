//! Who makes lines of records, chosen by `--formatter` and its properties.

use anabranch_client::ConsumerRecord;
use anyhow::{Result, bail};

use super::ConsoleConsumerArguments;
use super::formatter::{Formatter, Shown};
use super::internal::InternalFormatter;
use crate::connect::{parse_pair, read_properties};

/// Who makes lines of records.
#[derive(Debug)]
pub(super) enum Printer {
    Text(Formatter),
    Internal(InternalFormatter),
    Nothing,
}

impl Printer {
    pub(super) fn new(arguments: &ConsoleConsumerArguments) -> Result<Printer> {
        let mut properties = match &arguments.formatter_config {
            Some(path) => read_properties(path)?,
            None => Vec::new(),
        };
        let deserializers = [
            ("key.deserializer", &arguments.key_deserializer),
            ("value.deserializer", &arguments.value_deserializer),
        ];
        for (key, class) in deserializers {
            properties.extend(class.clone().map(|class| (key.to_string(), class)));
        }
        for text in &arguments.formatter_properties {
            properties.push(parse_pair(text)?);
        }
        match arguments.formatter.rsplit('.').next().unwrap_or_default() {
            "DefaultMessageFormatter" | "LoggingMessageFormatter" => {
                Ok(Printer::Text(Formatter::new(&properties, arguments.json)?))
            }
            "NoOpMessageFormatter" => Ok(Printer::Nothing),
            name => match InternalFormatter::named(name) {
                Some(formatter) => Ok(Printer::Internal(formatter)),
                None => bail!(
                    "--formatter: {} is not known; there are DefaultMessageFormatter, LoggingMessageFormatter, \
                     NoOpMessageFormatter, OffsetsMessageFormatter, GroupMetadataMessageFormatter and \
                     TransactionLogMessageFormatter",
                    arguments.formatter
                ),
            },
        }
    }

    /// The line of a record, with what ends it; nothing, if it has none.
    pub(super) fn line(&self, record: &ConsumerRecord) -> Result<Vec<u8>> {
        match self {
            Printer::Text(formatter) => formatter.line(&Shown::of(record)),
            Printer::Internal(formatter) => Ok(formatter.line(record)),
            Printer::Nothing => Ok(Vec::new()),
        }
    }
}
