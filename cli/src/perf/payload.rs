//! What `perf produce` sends: letters by chance, lines of a file, or numbers that go up.

use std::borrow::Cow;
use std::path::PathBuf;

use anabranch_host::Host;
use anyhow::{Result, bail};
use clap::Args;

use crate::connect::read_text;

/// Bytes of a record, if nothing is said.
const DEFAULT_RECORD_BYTES: usize = 100;

/// What is sent.
#[derive(Debug, Args)]
pub(super) struct PayloadArguments {
    /// Bytes of each record [default: 100]
    #[arg(long, value_name = "N", conflicts_with_all = ["payload_file", "payload_monotonic"])]
    record_size: Option<usize>,
    /// A file of values, of which one is chosen by chance for each record.
    #[arg(long, value_name = "FILE", conflicts_with = "payload_monotonic")]
    payload_file: Option<PathBuf>,
    /// What stands between the values of the file; `\n` and `\t` are understood.
    #[arg(long, value_name = "TEXT", default_value = "\\n")]
    payload_delimiter: String,
    /// Send 0, 1, 2, ...
    #[arg(long)]
    payload_monotonic: bool,
}

/// What is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// The same letters again and again.
    Same(Vec<u8>),
    /// One of these.
    OneOf(Vec<String>),
    /// The number of the record.
    Number,
}

impl PayloadArguments {
    pub(super) fn payload(&self, host: &Host) -> Result<Payload> {
        if self.payload_monotonic {
            return Ok(Payload::Number);
        }
        if let Some(path) = &self.payload_file {
            let delimiter = self.payload_delimiter.replace("\\n", "\n").replace("\\t", "\t");
            let values = split(&read_text(path)?, &delimiter);
            if values.is_empty() {
                bail!("{} has no values", path.display());
            }
            return Ok(Payload::OneOf(values));
        }
        let bytes = self.record_size.unwrap_or(DEFAULT_RECORD_BYTES);
        Ok(Payload::Same((0..bytes).map(|_| b'A' + host.random_below(26) as u8).collect()))
    }
}

/// The values of a file; a delimiter at its end begins no other.
fn split(text: &str, delimiter: &str) -> Vec<String> {
    let text = text.strip_suffix(delimiter).unwrap_or(text);
    match text {
        "" => Vec::new(),
        text if delimiter.is_empty() => vec![text.to_string()],
        text => text.split(delimiter).map(str::to_string).collect(),
    }
}

impl Payload {
    /// The value of a record by its number.
    pub(super) fn value(&self, host: &Host, number: u64) -> Cow<'_, [u8]> {
        match self {
            Payload::Same(value) => Cow::Borrowed(value),
            Payload::OneOf(values) => {
                Cow::Borrowed(values[host.random_below(values.len() as u64) as usize].as_bytes())
            }
            Payload::Number => Cow::Owned(number.to_string().into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_values() {
        let check = |text: &str, delimiter: &str, expected: &[&str]| {
            assert_eq!(split(text, delimiter), expected, "{text:?} by {delimiter:?}");
        };
        check("a\nb\n", "\n", &["a", "b"]);
        check("a,b", ",", &["a", "b"]);
        check("a\n\nb", "\n", &["a", "", "b"]);
        check("", "\n", &[]);
        check("a b", "", &["a b"]);
    }
}
