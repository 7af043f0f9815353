//! How keys and values become text: by the names of Kafka's deserializers, or of the decoders that its dump tool has for
//! them, with their package or without.

use anyhow::{Context, Result, bail};

/// What the bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deserializer {
    /// Printed as they are.
    #[default]
    Bytes,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Boolean,
    Uuid,
}

impl Deserializer {
    /// The one of that name.
    pub(crate) fn named(name: &str) -> Result<Deserializer> {
        let short = name.strip_prefix("org.apache.kafka.common.serialization.").unwrap_or(name);
        Ok(match short {
            "StringDeserializer" | "ByteArrayDeserializer" => Deserializer::Bytes,
            "ShortDeserializer" => Deserializer::Short,
            "IntegerDeserializer" => Deserializer::Integer,
            "LongDeserializer" => Deserializer::Long,
            "FloatDeserializer" => Deserializer::Float,
            "DoubleDeserializer" => Deserializer::Double,
            "BooleanDeserializer" => Deserializer::Boolean,
            "UUIDDeserializer" => Deserializer::Uuid,
            _ => bail!(
                "the deserializer '{name}' is not known; there are those of String, ByteArray, Short, Integer, Long, \
                 Float, Double, Boolean and UUID"
            ),
        })
    }

    /// What a decoder of that name shows.
    pub(crate) fn of_decoder(name: &str) -> Result<Deserializer> {
        match name.rsplit('.').next().unwrap_or_default() {
            "StringDecoder" | "DefaultDecoder" => Ok(Deserializer::Bytes),
            "IntegerDecoder" => Ok(Deserializer::Integer),
            "LongDecoder" => Ok(Deserializer::Long),
            _ => bail!(
                "'{name}' is not known; there are StringDecoder, DefaultDecoder, IntegerDecoder, LongDecoder"
            ),
        }
    }

    /// The text of a key or a value.
    pub(crate) fn text(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let text = match self {
            Deserializer::Bytes => return Ok(bytes.to_vec()),
            Deserializer::Short => i16::from_be_bytes(self.sized(bytes)?).to_string(),
            Deserializer::Integer => i32::from_be_bytes(self.sized(bytes)?).to_string(),
            Deserializer::Long => i64::from_be_bytes(self.sized(bytes)?).to_string(),
            Deserializer::Float => format!("{:?}", f32::from_be_bytes(self.sized(bytes)?)),
            Deserializer::Double => format!("{:?}", f64::from_be_bytes(self.sized(bytes)?)),
            Deserializer::Boolean => match self.sized(bytes)? {
                [0] => "false".to_string(),
                [1] => "true".to_string(),
                [other] => bail!("{other} is no Boolean"),
            },
            Deserializer::Uuid => String::from_utf8_lossy(bytes).into_owned(),
        };
        Ok(text.into_bytes())
    }

    fn sized<const N: usize>(self, bytes: &[u8]) -> Result<[u8; N]> {
        bytes.try_into().with_context(|| format!("{} bytes are no {self:?}, which has {N}", bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_what_they_are() {
        let check = |name: &str, bytes: &[u8], expected: Option<&str>| {
            let text = Deserializer::named(name).unwrap().text(bytes);
            assert_eq!(text.ok().map(|text| String::from_utf8(text).unwrap()).as_deref(), expected, "{name}");
        };
        check("org.apache.kafka.common.serialization.LongDeserializer", &258i64.to_be_bytes(), Some("258"));
        check("LongDeserializer", b"1234567", None);
        check("IntegerDeserializer", &(-7i32).to_be_bytes(), Some("-7"));
        check("ShortDeserializer", &[1, 0], Some("256"));
        check("DoubleDeserializer", &2.0f64.to_be_bytes(), Some("2.0"));
        check("FloatDeserializer", &0.1f32.to_be_bytes(), Some("0.1"));
        check("BooleanDeserializer", &[1], Some("true"));
        check("BooleanDeserializer", &[2], None);
        check("StringDeserializer", b"text", Some("text"));
        assert!(Deserializer::named("org.example.MyDeserializer").is_err());
        let decoder = |name: &str| Deserializer::of_decoder(name).ok();
        assert_eq!(decoder("org.apache.kafka.tools.api.StringDecoder"), Some(Deserializer::Bytes));
        assert_eq!(decoder("DefaultDecoder"), Some(Deserializer::Bytes));
        assert_eq!(decoder("IntegerDecoder"), Some(Deserializer::Integer));
        assert_eq!(decoder("LongDecoder"), Some(Deserializer::Long));
        assert_eq!(decoder("org.example.MyDecoder"), None);
    }
}
