//! The codecs by name and by code.

use std::fmt;
use std::str::FromStr;

use super::RecordsError;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Snappy in xerial's framing, as Java writes it; raw Snappy is read as well.
    Snappy,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// All codecs, by rising code.
    pub const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    /// The code in the lowest three bits of a batch's attributes.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The codec of a code.
    ///
    /// # Errors
    /// [`RecordsError::UnknownCompression`] for 5 and above.
    pub fn from_code(code: u8) -> Result<Self, RecordsError> {
        Self::ALL.get(usize::from(code)).copied().ok_or(RecordsError::UnknownCompression(code))
    }

    /// The name in configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No codec has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression {0:?}; known are none, gzip, snappy, lz4 and zstd")]
pub struct UnknownCompression(pub String);

impl FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(name: &str) -> Result<Self, UnknownCompression> {
        Self::ALL
            .into_iter()
            .find(|compression| compression.name() == name)
            .ok_or_else(|| UnknownCompression(name.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_lead_back() {
        for (code, compression) in Compression::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(compression.code()), code);
            assert_eq!(Compression::from_code(compression.code()), Ok(compression));
            assert_eq!(compression.name().parse(), Ok(compression));
        }
        assert_eq!(Compression::from_code(5), Err(RecordsError::UnknownCompression(5)));
        assert_eq!("LZ4".parse::<Compression>(), Err(UnknownCompression("LZ4".to_string())));
    }
}
