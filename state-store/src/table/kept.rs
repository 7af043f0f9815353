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
///
/// ```
/// # use std::sync::Arc;
/// # use anabranch_state_store::{Kept, KeptBytes};
/// let kept = KeptBytes::default();
/// let mut rows = Kept::new(vec![1, 2], &kept);
/// let view = Arc::clone(&rows);
/// Kept::make_mut(&mut rows, Vec::len).push(3);
/// assert_eq!((view.as_slice(), kept.get()), (&[1, 2][..], 2)); // the view alone has that by now
/// drop(view);
/// assert_eq!(kept.get(), 0);
/// ```
#[derive(Debug)]
pub struct Kept<T> {
    value: T,
    /// Its size once the table does not have it any more.
    bytes: AtomicUsize,
    counted: KeptBytes,
}

impl<T: Clone + Default> Kept<T> {
    /// A value that only a table has so far.
    #[must_use]
    pub fn new(value: T, counted: &KeptBytes) -> Arc<Self> {
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

    /// The value to be changed. It is copied if views have it still, which keep so much as `size` says of theirs.
    pub fn make_mut(this: &mut Arc<Self>, size: impl FnOnce(&T) -> usize) -> &mut T {
        if Arc::get_mut(this).is_none() {
            let copy = Kept::new(this.value.clone(), &this.counted);
            std::mem::replace(this, copy).leave(size);
        }
        &mut Arc::get_mut(this).expect("the copy is not shared yet, and weak references are never made").value
    }

    /// The table does not have it any more. What views keep of it is as large as `size` says.
    pub fn leave(self: Arc<Self>, size: impl FnOnce(&T) -> usize) {
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
