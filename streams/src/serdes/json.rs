//! JSON of any serde type.

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;

use super::{Serde, SerdeContext, SerdeError};

/// JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

/// JSON.
#[must_use]
pub const fn json() -> Json {
    Json
}

impl<T: Serialize + DeserializeOwned + 'static> Serde<T> for Json {
    fn serialize(&self, _: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value).map_err(SerdeError::new)
    }

    fn deserialize(&self, _: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        serde_json::from_slice(bytes).map_err(SerdeError::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_serde_type() {
        super::super::check(json(), vec![1, 2], b"[1,2]");
        assert!(Serde::<i32>::deserialize(&json(), &SerdeContext::value("t"), b"{").is_err());
    }
}
