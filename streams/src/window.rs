//! Windows as they appear in keys.

use crate::data::{Data, Item};
use crate::serdes::WindowedSerde;

/// A window of time, `[start, end)`; of sliding windows both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeWindow {
    /// Its first millisecond.
    pub start_ms: i64,
    /// Where it ends.
    pub end_ms: i64,
}

/// A session, `[start, end]`: from its first record to its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionWindow {
    /// Time of its first record.
    pub start_ms: i64,
    /// Time of its last record.
    pub end_ms: i64,
}

/// A window that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnlimitedWindow {
    /// Its first millisecond.
    pub start_ms: i64,
}

/// A key in a window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Windowed<K, W = TimeWindow> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: W,
}

impl<K: Data, W: Window> Data for Windowed<K, W> {
    type Serde = WindowedSerde<K::Serde, W>;
}

/// A kind of window and its bytes behind a key. Sealed.
pub trait Window: Item + Copy + Sync + sealed::Sealed {
    /// The window from `start_ms` to `end_ms`.
    #[doc(hidden)]
    fn between(start_ms: i64, end_ms: i64) -> Self;

    /// Where it begins.
    #[doc(hidden)]
    fn start(&self) -> i64;

    /// Where it ends.
    #[doc(hidden)]
    fn end(&self) -> i64;

    /// How many bytes stand behind the key.
    #[doc(hidden)]
    const BYTES: usize;

    /// Appends those bytes.
    #[doc(hidden)]
    fn write(&self, out: &mut Vec<u8>);

    /// Reads `BYTES` bytes; `None` if the size of the window is needed and not known.
    #[doc(hidden)]
    fn read(bytes: &[u8], size_ms: Option<i64>) -> Option<Self>;
}

impl Window for TimeWindow {
    fn between(start_ms: i64, end_ms: i64) -> Self {
        TimeWindow { start_ms, end_ms }
    }

    fn start(&self) -> i64 {
        self.start_ms
    }

    fn end(&self) -> i64 {
        self.end_ms
    }

    const BYTES: usize = 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start_ms.to_be_bytes());
    }

    fn read(bytes: &[u8], size_ms: Option<i64>) -> Option<Self> {
        let start_ms = i64::from_be_bytes(bytes.try_into().ok()?);
        Some(TimeWindow { start_ms, end_ms: start_ms.saturating_add(size_ms?) })
    }
}

impl Window for SessionWindow {
    fn between(start_ms: i64, end_ms: i64) -> Self {
        SessionWindow { start_ms, end_ms }
    }

    fn start(&self) -> i64 {
        self.start_ms
    }

    fn end(&self) -> i64 {
        self.end_ms
    }

    const BYTES: usize = 16;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.end_ms.to_be_bytes());
        out.extend_from_slice(&self.start_ms.to_be_bytes());
    }

    fn read(bytes: &[u8], _: Option<i64>) -> Option<Self> {
        let (end, start) = bytes.split_at_checked(8)?;
        let end_ms = i64::from_be_bytes(end.try_into().ok()?);
        let start_ms = i64::from_be_bytes(start.try_into().ok()?);
        Some(SessionWindow { start_ms, end_ms })
    }
}

impl Window for UnlimitedWindow {
    fn between(start_ms: i64, _: i64) -> Self {
        UnlimitedWindow { start_ms }
    }

    fn start(&self) -> i64 {
        self.start_ms
    }

    fn end(&self) -> i64 {
        i64::MAX
    }

    const BYTES: usize = 8;

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start_ms.to_be_bytes());
    }

    fn read(bytes: &[u8], _: Option<i64>) -> Option<Self> {
        Some(UnlimitedWindow { start_ms: i64::from_be_bytes(bytes.try_into().ok()?) })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::TimeWindow {}
    impl Sealed for super::SessionWindow {}
    impl Sealed for super::UnlimitedWindow {}
}
