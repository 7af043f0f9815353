//! Keys and values inside the messages of a foreign-key join, as bytes.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::serdes::{Serde, SerdeContext};

/// A serde and what it is told: Kafka Streams' name of a topic that does not exist.
pub(crate) struct Codec<T> {
    serde: Arc<dyn Serde<T>>,
    topic: Arc<str>,
    is_key: bool,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        Codec { serde: Arc::clone(&self.serde), topic: Arc::clone(&self.topic), is_key: self.is_key }
    }
}

impl<T: 'static> Codec<T> {
    pub(crate) fn of_key(serde: Arc<dyn Serde<T>>, topic: &str) -> Self {
        Codec { serde, topic: topic.into(), is_key: true }
    }

    pub(crate) fn of_value(serde: Arc<dyn Serde<T>>, topic: &str) -> Self {
        Codec { serde, topic: topic.into(), is_key: false }
    }

    /// Appends the bytes.
    pub(super) fn write(&self, item: &T, out: &mut Vec<u8>) -> Result<()> {
        self.serde.serialize(&self.at(), item, out).map_err(Error::record)
    }

    /// The bytes.
    pub(super) fn bytes(&self, item: &T) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(item, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read(&self, bytes: &[u8]) -> Result<T> {
        self.serde.deserialize(&self.at(), bytes).map_err(Error::record)
    }

    fn at(&self) -> SerdeContext<'_> {
        if self.is_key { SerdeContext::key(&self.topic) } else { SerdeContext::value(&self.topic) }
    }
}
