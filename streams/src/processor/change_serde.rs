//! Updates of rows on repartition topics, in the bytes of Kafka Streams' `ChangedSerializer`.
//!
//! ```text
//! only the old value:  old 00
//! only the new value:  new 01
//! both:                varint(length of new) new old 02
//! ```
//! Flags 3, 4 and 5 are the same three with a byte before the flag, which says whether the new value is the latest one;
//! Kafka Streams reads them and does not write them.

use std::sync::Arc;

use super::Change;
use crate::headers::{read_varint, write_varint};
use crate::serdes::{Serde, SerdeContext, SerdeError};

const OLD: u8 = 0;
const NEW: u8 = 1;
const BOTH: u8 = 2;
/// Added to a flag that stands behind the byte about the latest value.
const WITH_LATEST: u8 = 3;

/// Reads and writes updates whose values `inner` reads and writes.
pub(crate) struct ChangeSerde<V> {
    inner: Arc<dyn Serde<V>>,
}

impl<V> ChangeSerde<V> {
    pub(crate) fn new(inner: Arc<dyn Serde<V>>) -> Self {
        ChangeSerde { inner }
    }
}

impl<V: 'static> Serde<Change<V>> for ChangeSerde<V> {
    fn serialize(
        &self,
        at: &SerdeContext<'_>,
        value: &Change<V>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        match (&value.new, &value.old) {
            (None, None) => return Err(SerdeError::new("an update says neither the new value nor the old")),
            (None, Some(old)) => {
                self.inner.serialize(at, old, out)?;
                out.push(OLD);
            }
            (Some(new), None) => {
                self.inner.serialize(at, new, out)?;
                out.push(NEW);
            }
            (Some(new), Some(old)) => {
                let mut bytes = Vec::new();
                self.inner.serialize(at, new, &mut bytes)?;
                write_varint(out, bytes.len() as i32);
                out.extend_from_slice(&bytes);
                self.inner.serialize(at, old, out)?;
                out.push(BOTH);
            }
        }
        Ok(())
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Change<V>, SerdeError> {
        let cut_short = || SerdeError::new("an update of a row is cut short");
        let (&flag, mut rest) = bytes.split_last().ok_or_else(cut_short)?;
        let mut is_latest = true;
        let mut parts = flag;
        if (WITH_LATEST..=WITH_LATEST + BOTH).contains(&flag) {
            let (&latest, before) = rest.split_last().ok_or_else(cut_short)?;
            (is_latest, rest, parts) = (latest == 1, before, flag - WITH_LATEST);
        }
        let read = |bytes: &[u8]| self.inner.deserialize(at, bytes).map(Some);
        let (new, old) = match parts {
            OLD => (None, read(rest)?),
            NEW => (read(rest)?, None),
            BOTH => {
                let length = read_varint(&mut rest).and_then(|length| usize::try_from(length).ok());
                let (new, old) =
                    length.and_then(|length| rest.split_at_checked(length)).ok_or_else(cut_short)?;
                (read(new)?, read(old)?)
            }
            _ => return Err(SerdeError::new(format_args!("an update of a row has the unknown flag {flag}"))),
        };
        Ok(Change { new, old, is_latest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serdes::{check, text};

    fn serde() -> ChangeSerde<String> {
        ChangeSerde::new(Arc::new(text()))
    }

    fn change(new: Option<&str>, old: Option<&str>) -> Change<String> {
        Change::new(new.map(str::to_owned), old.map(str::to_owned))
    }

    #[test]
    fn updates_have_the_bytes_of_kafka_streams() {
        check(serde(), change(Some("v1"), None), b"v1\x01");
        check(serde(), change(None, Some("v1")), b"v1\x00");
        check(serde(), change(Some("v22"), Some("v1")), b"\x06v22v1\x02");
        check(serde(), change(Some(""), Some("")), b"\x00\x02");
    }

    #[test]
    fn what_the_writer_of_another_version_writes_is_read() {
        let read = |bytes: &[u8]| serde().deserialize(&SerdeContext::value("topic"), bytes);
        let late = |new, old| Change { is_latest: false, ..change(new, old) };
        assert_eq!(read(b"v1\x00\x03").unwrap(), late(None, Some("v1")));
        assert_eq!(read(b"v1\x01\x04").unwrap(), change(Some("v1"), None));
        assert_eq!(read(b"\x06v22v1\x00\x05").unwrap(), late(Some("v22"), Some("v1")));
        for broken in [&b""[..], b"\x03", b"\x02", b"\x20abc\x02", b"\x03abc\x02", b"v\x09"] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
        let nothing = serde().serialize(&SerdeContext::value("topic"), &change(None, None), &mut Vec::new());
        assert!(nothing.is_err());
    }
}
