//! An offset that rises, and those who wait until it is high enough.
//!
//! Each partition has one: its high watermark, which is the end of its durable records. Whoever appended waits here for
//! the answer to become true ([`Watermark::reached`]), whoever wants to read more waits for the next move. A partition
//! whose disk failed says so once, and every waiter learns it. Waiting costs one entry in a small list; dropping the
//! future (a client hung up) removes it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};

use anabranch_protocol::ErrorCode;
use parking_lot::Mutex;

/// The partition is gone: its disk failed, or it was deleted. What was appended may or may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    /// A write or a sync failed; the log directory is offline until the broker starts again.
    #[error("the log directory is offline after a failed write")]
    Offline,
    /// The topic was deleted.
    #[error("the topic was deleted")]
    Deleted,
    /// The broker is shutting down.
    #[error("the broker is shutting down")]
    ShuttingDown,
}

impl Gone {
    /// What a client is told: an error on which it asks for metadata again and retries.
    #[must_use]
    pub fn error_code(self) -> ErrorCode {
        match self {
            Gone::Offline => ErrorCode::KAFKA_STORAGE_ERROR,
            Gone::Deleted => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Gone::ShuttingDown => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        }
    }
}

/// The end of what is durable, shared between the log that moves it and those who wait.
pub struct Watermark {
    // Beside the lock, so that reading it costs no lock; written only under it.
    value: AtomicI64,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    gone: Option<Gone>,
    next_waiter: u64,
    /// A waiter stays in its place, so that it is found again without a search.
    waiters: Vec<Option<Waiter>>,
    free: Vec<usize>,
}

struct Waiter {
    id: u64,
    above: i64,
    waker: Waker,
}

impl Watermark {
    /// A watermark that stands at `value`.
    #[must_use]
    pub fn new(value: i64) -> Arc<Watermark> {
        Arc::new(Watermark { value: AtomicI64::new(value), inner: Mutex::new(Inner::default()) })
    }

    /// The offset after the last durable record.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.value.load(Ordering::Acquire)
    }

    /// Why nothing will ever move any more, if so.
    #[must_use]
    pub fn gone(&self) -> Option<Gone> {
        self.inner.lock().gone
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        let inner = self.inner.lock();
        inner.waiters.len() - inner.free.len()
    }

    /// Moves it up to `value` and wakes those who waited for no more than that. Never moves down.
    pub fn advance(&self, value: i64) {
        let woken = {
            let mut inner = self.inner.lock();
            if value <= self.value.load(Ordering::Relaxed) {
                return;
            }
            self.value.store(value, Ordering::Release);
            inner.take_waiters(|waiter| waiter.above < value)
        };
        // Outside the lock: a waker may run anything.
        woken.into_iter().for_each(Waker::wake);
    }

    /// Moves it down to `value`, if it stands above: the log was cut back to where it agrees with its leader's. Only a
    /// follower's log is, and nobody waits for records of a follower.
    pub(crate) fn cut_back(&self, value: i64) {
        let _inner = self.inner.lock();
        if value < self.value.load(Ordering::Relaxed) {
            self.value.store(value, Ordering::Release);
        }
    }

    /// Says that it will never move again, and wakes everybody. The first reason stays.
    pub fn close(&self, gone: Gone) {
        let woken = {
            let mut inner = self.inner.lock();
            inner.gone.get_or_insert(gone);
            inner.take_waiters(|_| true)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Waits until the record at `offset` is durable, that is, until the watermark stands above it.
    pub fn reached(self: &Arc<Self>, offset: i64) -> Durable {
        Durable { watermark: Some(self.clone()), offset, place: None }
    }
}

impl Inner {
    fn take_waiters(&mut self, which: impl Fn(&Waiter) -> bool) -> Vec<Waker> {
        let mut woken = Vec::new();
        for (place, slot) in self.waiters.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(&which)
                && let Some(waiter) = slot.take()
            {
                woken.push(waiter.waker);
                self.free.push(place);
            }
        }
        self.forget_if_empty();
        woken
    }

    fn add_waiter(&mut self, above: i64, waker: Waker) -> Place {
        self.next_waiter += 1;
        let id = self.next_waiter;
        let waiter = Some(Waiter { id, above, waker });
        let index = match self.free.pop() {
            Some(index) => {
                self.waiters[index] = waiter;
                index
            }
            None => {
                self.waiters.push(waiter);
                self.waiters.len() - 1
            }
        };
        Place { index, id }
    }

    /// The waiter that was put at `place`, if it has not been woken meanwhile.
    fn waiter_at(&mut self, place: Place) -> Option<&mut Waiter> {
        self.waiters.get_mut(place.index)?.as_mut().filter(|waiter| waiter.id == place.id)
    }

    fn remove_waiter(&mut self, place: Place) {
        if self.waiter_at(place).is_some() {
            self.waiters[place.index] = None;
            self.free.push(place.index);
            self.forget_if_empty();
        }
    }

    fn forget_if_empty(&mut self) {
        if self.free.len() == self.waiters.len() {
            self.waiters.clear();
            self.free.clear();
        }
    }
}

impl fmt::Debug for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watermark").field("value", &self.value()).finish_non_exhaustive()
    }
}

/// Resolves when a record is durable, or will never be known to be. Dropping it is fine.
#[derive(Debug)]
#[must_use = "nothing is known to be durable before this resolves"]
pub struct Durable {
    watermark: Option<Arc<Watermark>>,
    offset: i64,
    place: Option<Place>,
}

/// Where a waiter stands, and which one it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    index: usize,
    id: u64,
}

impl Durable {
    /// Durable already.
    pub fn already() -> Durable {
        Durable { watermark: None, offset: -1, place: None }
    }

    /// The outcome, if it is known by now.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<(), Gone>> {
        let Some(watermark) = &self.watermark else { return Some(Ok(())) };
        if watermark.value() > self.offset {
            return Some(Ok(()));
        }
        watermark.gone().map(Err)
    }
}

impl Future for Durable {
    type Output = Result<(), Gone>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(watermark) = &this.watermark else { return Poll::Ready(Ok(())) };
        let mut inner = watermark.inner.lock();
        if watermark.value.load(Ordering::Relaxed) > this.offset {
            return Poll::Ready(Ok(()));
        }
        if let Some(gone) = inner.gone {
            return Poll::Ready(Err(gone));
        }
        match this.place.and_then(|place| inner.waiter_at(place)) {
            Some(waiter) => waiter.waker.clone_from(context.waker()),
            None => this.place = Some(inner.add_waiter(this.offset, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        if let (Some(watermark), Some(place)) = (&self.watermark, self.place) {
            watermark.inner.lock().remove_waiter(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(durable: &mut Durable, counter: &Arc<Counter>) -> Poll<Result<(), Gone>> {
        Pin::new(durable).poll(&mut Context::from_waker(&Waker::from(counter.clone())))
    }

    #[test]
    fn a_waiter_wakes_when_its_record_is_durable_and_not_before() {
        let watermark = Watermark::new(5);
        let counter = Arc::new(Counter::default());
        let mut durable = watermark.reached(7);
        assert_eq!(poll(&mut durable, &counter), Poll::Pending);
        watermark.advance(7);
        assert_eq!(counter.0.load(Ordering::Relaxed), 0, "offset 7 is durable only when the watermark is 8");
        watermark.advance(6);
        assert_eq!(watermark.value(), 7, "it never moves down");
        watermark.advance(8);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(poll(&mut durable, &counter), Poll::Ready(Ok(())));
    }

    #[test]
    fn what_is_durable_stays_so_when_the_disk_fails_and_the_rest_learns_it() {
        let watermark = Watermark::new(0);
        let counter = Arc::new(Counter::default());
        let (mut first, mut second) = (watermark.reached(0), watermark.reached(1));
        assert_eq!(poll(&mut first, &counter), Poll::Pending);
        assert_eq!(poll(&mut second, &counter), Poll::Pending);
        watermark.advance(1);
        watermark.close(Gone::Offline);
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        assert_eq!(poll(&mut first, &counter), Poll::Ready(Ok(())));
        assert_eq!(poll(&mut second, &counter), Poll::Ready(Err(Gone::Offline)));
    }

    #[test]
    fn a_dropped_waiter_leaves_nothing_behind() {
        let watermark = Watermark::new(0);
        let counter = Arc::new(Counter::default());
        let mut durable = watermark.reached(0);
        assert_eq!(poll(&mut durable, &counter), Poll::Pending);
        assert_eq!(poll(&mut durable, &counter), Poll::Pending);
        assert_eq!(watermark.inner.lock().waiters.len(), 1, "one place, however often it is polled");
        drop(durable);
        assert!(watermark.inner.lock().waiters.is_empty());
    }
}
