//! Windowed keys in the bytes of Kafka's `WindowedSerdes`: the key, then the window.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Serde, SerdeContext, SerdeError};
use crate::time::as_ms;
use crate::window::{TimeWindow, Window, Windowed};

/// A windowed key on a topic: key and start (time), key, end and start (sessions).
///
/// The end of a time window is not among the bytes: reading needs [`windowed`], which knows the size.
#[derive(Clone, Copy, Debug)]
pub struct WindowedSerde<S, W> {
    inner: S,
    window: PhantomData<fn() -> W>,
}

impl<S, W> WindowedSerde<S, W> {
    /// Windowed keys whose inner keys `inner` reads and writes.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        WindowedSerde { inner, window: PhantomData }
    }
}

impl<S: Default, W> Default for WindowedSerde<S, W> {
    fn default() -> Self {
        WindowedSerde::new(S::default())
    }
}

impl<K: 'static, S: Serde<K>, W: Window> Serde<Windowed<K, W>> for WindowedSerde<S, W> {
    fn serialize(
        &self,
        at: &SerdeContext<'_>,
        value: &Windowed<K, W>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.inner.serialize(at, &value.key, out)?;
        value.window.write(out);
        Ok(())
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Windowed<K, W>, SerdeError> {
        let (key, window) = split::<W>(bytes)?;
        let window = W::read(window, None).ok_or_else(|| {
            SerdeError::new(format_args!(
                "`{}` does not say how long its windows are: read it with `windowed(serde, size)`",
                at.topic
            ))
        })?;
        Ok(Windowed { key: self.inner.deserialize(at, key)?, window })
    }
}

/// Keys of time windows of a known size.
#[derive(Clone, Copy, Debug)]
pub struct SizedWindowedSerde<S> {
    inner: S,
    size: Duration,
}

/// Keys of time windows that are `size` long; `inner` reads and writes the key itself.
#[must_use]
pub const fn windowed<S>(inner: S, size: Duration) -> SizedWindowedSerde<S> {
    SizedWindowedSerde { inner, size }
}

impl<K: 'static, S: Serde<K>> Serde<Windowed<K, TimeWindow>> for SizedWindowedSerde<S> {
    fn serialize(
        &self,
        at: &SerdeContext<'_>,
        value: &Windowed<K>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.inner.serialize(at, &value.key, out)?;
        value.window.write(out);
        Ok(())
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Windowed<K>, SerdeError> {
        let (key, window) = split::<TimeWindow>(bytes)?;
        let window = TimeWindow::read(window, Some(as_ms(self.size)))
            .ok_or_else(|| SerdeError::new("no window start"))?;
        Ok(Windowed { key: self.inner.deserialize(at, key)?, window })
    }
}

/// Keys of windows of a known size, of any kind: what windowed results inherit.
pub(crate) struct KnownWindowedSerde<K> {
    pub(crate) inner: Arc<dyn Serde<K>>,
    pub(crate) size_ms: i64,
}

impl<K: 'static, W: Window> Serde<Windowed<K, W>> for KnownWindowedSerde<K> {
    fn serialize(
        &self,
        at: &SerdeContext<'_>,
        value: &Windowed<K, W>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        self.inner.serialize(at, &value.key, out)?;
        value.window.write(out);
        Ok(())
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Windowed<K, W>, SerdeError> {
        let (key, window) = split::<W>(bytes)?;
        let window = W::read(window, Some(self.size_ms)).ok_or_else(|| SerdeError::new("no window"))?;
        Ok(Windowed { key: self.inner.deserialize(at, key)?, window })
    }
}

fn split<W: Window>(bytes: &[u8]) -> Result<(&[u8], &[u8]), SerdeError> {
    match bytes.len().checked_sub(W::BYTES) {
        Some(key_bytes) => Ok(bytes.split_at(key_bytes)),
        None => Err(SerdeError::new(format_args!(
            "a windowed key has at least {} bytes, here are {}",
            W::BYTES,
            bytes.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, text};
    use super::*;
    use crate::window::SessionWindow;

    #[test]
    fn windowed_keys_have_kafkas_bytes() {
        let key = "a".to_string();
        let time = Windowed { key: key.clone(), window: TimeWindow { start_ms: 1000, end_ms: 1010 } };
        check(windowed(text(), Duration::from_millis(10)), time.clone(), b"a\0\0\0\0\0\0\x03\xe8");
        let session = Windowed { key, window: SessionWindow { start_ms: 1100, end_ms: 1300 } };
        check(WindowedSerde::new(text()), session, b"a\0\0\0\0\0\0\x05\x14\0\0\0\0\0\0\x04\x4c");

        let at = SerdeContext::key("counts");
        let unsized_keys: &dyn Serde<Windowed<String>> = &WindowedSerde::new(text());
        let error = unsized_keys.deserialize(&at, b"a\0\0\0\0\0\0\x03\xe8").unwrap_err();
        assert!(error.to_string().contains("windowed(serde, size)"), "{error}");
        assert!(unsized_keys.deserialize(&at, b"short").is_err());
    }
}
