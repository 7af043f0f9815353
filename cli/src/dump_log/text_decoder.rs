//! Keys and values as text, by the names of Kafka's decoders, with their package or without.

use anyhow::{Context, Result, bail};

/// What the bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TextDecoder {
    /// Text; what is none is shown as far as it is.
    #[default]
    Text,
    Integer,
    Long,
}

impl TextDecoder {
    /// The one of that name: what clap calls to read an argument.
    pub(super) fn named(name: &str) -> Result<TextDecoder> {
        match name.rsplit('.').next().unwrap_or_default() {
            "StringDecoder" | "DefaultDecoder" => Ok(TextDecoder::Text),
            "IntegerDecoder" => Ok(TextDecoder::Integer),
            "LongDecoder" => Ok(TextDecoder::Long),
            _ => bail!(
                "'{name}' is not known; there are StringDecoder, DefaultDecoder, IntegerDecoder, LongDecoder"
            ),
        }
    }

    pub(super) fn text(self, bytes: &[u8]) -> Result<String> {
        let problem = || format!("{} bytes are no {self:?}", bytes.len());
        Ok(match self {
            TextDecoder::Text => String::from_utf8_lossy(bytes).into_owned(),
            TextDecoder::Integer => i32::from_be_bytes(bytes.try_into().with_context(problem)?).to_string(),
            TextDecoder::Long => i64::from_be_bytes(bytes.try_into().with_context(problem)?).to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_what_their_decoder_says() {
        let check = |name: &str, bytes: &[u8], expected: Option<&str>| {
            let text = TextDecoder::named(name).and_then(|decoder| decoder.text(bytes));
            assert_eq!(text.ok().as_deref(), expected, "{name}");
        };
        check("org.apache.kafka.tools.api.StringDecoder", b"text", Some("text"));
        check("IntegerDecoder", &(-7i32).to_be_bytes(), Some("-7"));
        check("LongDecoder", &258i64.to_be_bytes(), Some("258"));
        check("LongDecoder", b"1", None);
        check("org.example.MyDecoder", b"1", None);
    }
}
