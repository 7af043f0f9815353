//! The rows of a scan, one by one, while the application goes on.
//!
//! Each task has given a view of its rows at one moment, which costs it little. What is asked for is found and brought into
//! order here, by who reads, in small steps. As long as a view lives, its task copies what it writes (in
//! pieces of 32 KiB), and an engine keeps what it would remove: so the views go when they are read to the end, when the
//! iterator is dropped, and when the application ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures::Stream;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::runtime::iterator_metrics::CountedIterator;
use crate::state::FrozenRows;

/// Rows that are looked at before others have their turn.
const ROWS_A_TURN: usize = 1024;

/// Keys or values that an iterator can show.
pub(super) trait Shown: Send + 'static {}

impl<T: Send + 'static> Shown for T {}

/// Rows of a running application's store, one by one: each task's as they were at one moment, whatever is processed
/// meanwhile.
///
/// [`Scan::iter`](super::Scan::iter) gives it. The tasks' rows come one after another; there is no order over all of them. It
/// goes on showing the rows of a task that has moved to another instance. When the application ends it has an end too: an
/// error of the kind [`Migrated`](crate::error::ErrorKind::Migrated).
///
/// While it lives, the tasks copy what they write: do not keep it longer than it takes. What it keeps of them counts as memory
/// of the stores (`statestore.memory.max.bytes`), and if that is much, it is told. The metric `state_num_open_iterators` counts
/// those that are kept. It is also a [`Stream`].
pub struct KeyValueIterator<K, V> {
    views: Arc<Mutex<Views<K, V>>>,
    /// The first row, if it was looked at.
    peeked: Option<(Vec<u8>, K, V)>,
    /// Since others had their turn.
    looked_at: usize,
}

/// Task by task; nothing once the application has ended.
struct Views<K, V>(Option<VecDeque<(View<K, V>, CountedIterator)>>);

/// The rows of one task, and how they are read.
pub(super) struct View<K, V> {
    rows: FrozenRows,
    read: Box<ReadRow<K, V>>,
}

/// Reads a row from its bytes; nothing if it is not asked for.
type ReadRow<K, V> = dyn Fn(&[u8], &[u8]) -> Result<Option<(K, V)>> + Send;

impl<K, V> View<K, V> {
    pub(super) fn new(
        rows: FrozenRows,
        read: impl Fn(&[u8], &[u8]) -> Result<Option<(K, V)>> + Send + 'static,
    ) -> Self {
        View { rows, read: Box::new(read) }
    }
}

impl<K: Send + 'static, V: Send + 'static> KeyValueIterator<K, V> {
    pub(super) fn new(views: VecDeque<(View<K, V>, CountedIterator)>, open: &OpenIterators) -> Self {
        let views = Arc::new(Mutex::new(Views(Some(views))));
        open.add(Arc::downgrade(&views) as Weak<dyn End>);
        KeyValueIterator { views, peeked: None, looked_at: 0 }
    }

    /// Whether there is no row.
    pub(super) async fn is_empty(&mut self) -> Result<bool> {
        self.peeked = self.next_with_bytes().await?;
        Ok(self.peeked.is_none())
    }

    /// The next row with the bytes of its key.
    pub(super) async fn next_with_bytes(&mut self) -> Result<Option<(Vec<u8>, K, V)>> {
        poll_fn(|context| self.poll(context, |bytes, key, value| (bytes.to_vec(), key, value))).await
    }
}

impl<K, V> KeyValueIterator<K, V> {
    /// The next row; `None` behind the last one.
    ///
    /// # Errors
    /// [`Migrated`](crate::error::ErrorKind::Migrated) if the application has ended;
    /// [`Record`](crate::error::ErrorKind::Record) if a row cannot be deserialised (the next one may be);
    /// [`Corrupted`](crate::error::ErrorKind::Corrupted) or [`Fatal`](crate::error::ErrorKind::Fatal) if the store cannot
    /// be read.
    pub async fn next(&mut self) -> Result<Option<(K, V)>> {
        poll_fn(|context| self.poll(context, |_, key, value| (key, value))).await
    }

    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        take: impl Fn(&[u8], K, V) -> T,
    ) -> Poll<Result<Option<T>>> {
        if let Some((bytes, key, value)) = self.peeked.take() {
            return Poll::Ready(Ok(Some(take(&bytes, key, value))));
        }
        let mut views = self.views.lock();
        let Some(views) = &mut views.0 else {
            return Poll::Ready(Err(Error::new(ErrorKind::Migrated, "the application has stopped")));
        };
        while let Some((view, _)) = views.front_mut() {
            if self.looked_at == ROWS_A_TURN || view.rows.prepare() {
                self.looked_at = 0;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.looked_at += 1;
            let Some((key, value)) = view.rows.next()? else {
                views.pop_front();
                continue;
            };
            if let Some((read, value)) = (view.read)(key, value)? {
                return Poll::Ready(Ok(Some(take(key, read, value))));
            }
        }
        Poll::Ready(Ok(None))
    }
}

impl<K: Unpin, V: Unpin> Stream for KeyValueIterator<K, V> {
    type Item = Result<(K, V)>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context, |_, key, value| (key, value)).map(Result::transpose)
    }
}

/// Iterators that may still be read, to be ended with the application: what lies on disk is closed then, whoever still
/// holds one.
#[derive(Default)]
pub(crate) struct OpenIterators(Mutex<State>);

#[derive(Default)]
struct State {
    has_ended: bool,
    open: Vec<Weak<dyn End>>,
}

trait End: Send + Sync {
    fn end(&self);
}

impl<K: Send, V: Send> End for Mutex<Views<K, V>> {
    fn end(&self) {
        self.lock().0 = None;
    }
}

impl OpenIterators {
    fn add(&self, iterator: Weak<dyn End>) {
        let mut state = self.0.lock();
        if state.has_ended {
            iterator.upgrade().iter().for_each(|iterator| iterator.end());
            return;
        }
        state.open.retain(|open| open.strong_count() > 0);
        state.open.push(iterator);
    }

    /// Ends all of them, and those that come.
    pub(crate) fn end(&self) {
        let open = {
            let mut state = self.0.lock();
            state.has_ended = true;
            std::mem::take(&mut state.open)
        };
        open.iter().filter_map(Weak::upgrade).for_each(|iterator| iterator.end());
    }
}
