//! Rows as fjall has them: one by one, and many in the order of their keys.

use fjall::Slice;
use smallvec::SmallVec;

use super::long_keys::{self, Bucket, PREFIX_BYTES};
use crate::error::{Error, Result};

/// Before the key of a row.
pub(super) const ROW: u8 = 1;
const OUT_OF_ORDER: Error = Error::Misuse("rows were loaded out of order");

/// The key of a row as fjall has it, on the stack if it is short.
pub(super) fn row_key(key: &[u8]) -> SmallVec<[u8; 64]> {
    let mut bytes = SmallVec::with_capacity(1 + key.len());
    bytes.push(ROW);
    bytes.extend_from_slice(key);
    bytes
}

/// Brings the rows of a bulk load into the form that fjall wants.
#[derive(Default)]
pub(super) struct BulkRows {
    before: Option<Slice>,
    /// The bucket of the long keys that come now, what they begin with, and the rest of the last key.
    bucket: Option<(Vec<u8>, Bucket, Vec<u8>)>,
}

impl BulkRows {
    #[inline]
    /// Adds a row, encoded; `write` gets what fjall is to have.
    ///
    /// # Errors
    /// [`Error::Misuse`] if it does not come behind the one before.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        row: &[u8],
        write: impl FnMut(Slice, Slice) -> Result<()>,
    ) -> Result<()> {
        if self.bucket.is_some() || key.len() >= PREFIX_BYTES {
            return self.put_long(key, row, write);
        }
        self.put_short(key, row.into(), write)
    }

    #[inline]
    fn put_short(
        &mut self,
        key: &[u8],
        row: Slice,
        mut write: impl FnMut(Slice, Slice) -> Result<()>,
    ) -> Result<()> {
        let key = Slice::from(&row_key(key)[..]);
        // fjall would panic.
        if self.before.replace(key.clone()).is_some_and(|before| before >= key) {
            return Err(OUT_OF_ORDER);
        }
        write(key, row)
    }

    #[cold]
    fn put_long(
        &mut self,
        key: &[u8],
        row: &[u8],
        mut write: impl FnMut(Slice, Slice) -> Result<()>,
    ) -> Result<()> {
        let split = long_keys::split(key);
        if let (Some((prefix, rest)), Some((known, bucket, last))) = (split, &mut self.bucket)
            && known == prefix
        {
            if &last[..] >= rest {
                return Err(OUT_OF_ORDER);
            }
            bucket.insert(rest.to_vec(), row.to_vec());
            *last = rest.to_vec();
            return Ok(());
        }
        self.end_bucket(&mut write)?;
        let Some((prefix, rest)) = split else { return self.put_short(key, row.into(), write) };
        let bucket = Bucket::from([(rest.to_vec(), row.to_vec())]);
        self.bucket = Some((prefix.to_vec(), bucket, rest.to_vec()));
        Ok(())
    }

    /// After the last row.
    ///
    /// # Errors
    /// As [`BulkRows::put`].
    pub(super) fn end_bucket(&mut self, write: impl FnMut(Slice, Slice) -> Result<()>) -> Result<()> {
        let Some((prefix, bucket, _)) = self.bucket.take() else { return Ok(()) };
        self.put_short(&prefix, long_keys::encode(&bucket).into(), write)
    }
}
