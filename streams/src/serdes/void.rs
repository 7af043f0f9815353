//! Nothing, which Kafka writes as null.

use super::{Serde, SerdeContext, SerdeError};

/// Nothing: Kafka's Void serde, always null.
#[derive(Clone, Copy, Debug, Default)]
pub struct Void;

/// Nothing, written as null.
#[must_use]
pub const fn void() -> Void {
    Void
}

impl Serde<()> for Void {
    fn serialize(&self, _: &SerdeContext<'_>, (): &(), _: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn deserialize(&self, at: &SerdeContext<'_>, _: &[u8]) -> Result<(), SerdeError> {
        Err(SerdeError::new(format_args!(
            "`{}` holds data where it is declared to hold nulls only",
            at.topic
        )))
    }

    fn deserialize_null(&self, _: &SerdeContext<'_>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn is_null(&self, (): &()) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_null_and_null_is_nothing() {
        let at = SerdeContext::value("t");
        assert!(void().is_null(&()));
        assert!(void().deserialize_null(&at).is_ok());
        assert!(void().deserialize(&at, b"x").is_err());
    }
}
