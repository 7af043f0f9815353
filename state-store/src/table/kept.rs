//! What views keep of a table after the table has changed or gone: it is counted, so that who bounds memory knows of it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that views alone keep, of all tables that count here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct KeptBytes(Arc<AtomicUsize>);

impl KeptBytes {
    /// How many there are now.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that a table shares with views, which may have it for longer.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    value: T,
    /// Its size once the table does not have it any more.
    bytes: AtomicUsize,
    counted: KeptBytes,
}

impl<T: Clone + Default> Kept<T> {
    pub(crate) fn new(value: T, counted: &KeptBytes) -> Arc<Self> {
        Arc::new(Kept { value, bytes: AtomicUsize::new(0), counted: counted.clone() })
    }

    /// The value back from those who share it: a copy, if views have it still.
    pub(crate) fn take_back(self: Arc<Self>, size: impl FnOnce(&T) -> usize) -> T {
        match Arc::try_unwrap(self) {
            Ok(mut alone) => std::mem::take(&mut alone.value),
            Err(shared) => {
                let copy = shared.value.clone();
                shared.leave(size);
                copy
            }
        }
    }

    /// The table does not have it any more.
    pub(crate) fn leave(self: Arc<Self>, size: impl FnOnce(&T) -> usize) {
        // The views may go meanwhile: then it goes with this one, and is taken off again.
        if Arc::strong_count(&self) > 1 {
            let bytes = size(&self.value);
            self.bytes.store(bytes, Ordering::Relaxed);
            self.counted.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        self.counted.0.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}
