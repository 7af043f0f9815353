//! What a worker was sent and has not processed yet: how much of it there may be.
//!
//! A partition rests, which means that nothing more of it is fetched, when as many of its records wait as
//! `buffered.records.per.partition` says, or when all that waits for its worker is larger than the worker's part of
//! `input.buffer.max.bytes` (KIP-770). The first is seen by the worker, who knows records; the second by both: while a worker
//! is in the code of its user it looks at nothing, and the member goes on polling, as it must.
//!
//! A partition of which nothing waits never rests: its task may be waiting for just that one (`max.task.idle.ms`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::gauge::Gauge;

/// The bytes that wait for one worker. Its member and the worker itself share it.
#[derive(Clone)]
pub(crate) struct Backlog(Arc<Bytes>);

struct Bytes {
    /// Sent, and not taken yet.
    sent: AtomicUsize,
    /// Taken, and not processed yet.
    queued: AtomicUsize,
    /// How much both may be, of all workers together divided by their number.
    limit: Arc<AtomicUsize>,
    /// Both, for whoever watches.
    told: Gauge,
}

impl Backlog {
    /// Nothing waits yet.
    pub(crate) fn new(limit: Arc<AtomicUsize>, told: Gauge) -> Self {
        told.set(0);
        Backlog(Arc::new(Bytes { sent: AtomicUsize::new(0), queued: AtomicUsize::new(0), limit, told }))
    }

    /// So many bytes are sent to the worker. Whether it has now more than it should, so that their partition is to rest.
    pub(crate) fn send(&self, bytes: usize) -> bool {
        self.0.sent.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
        self.is_full()
    }

    /// The worker has taken so many of them, which are so many in the queue of a task.
    pub(crate) fn take(&self, bytes: usize, queued: usize) {
        self.0.sent.fetch_sub(bytes, Ordering::Relaxed);
        self.0.queued.fetch_add(queued, Ordering::Relaxed);
        self.tell();
    }

    /// So much waits by now in the queues of the worker's tasks.
    pub(crate) fn queue(&self, bytes: usize) {
        self.0.queued.store(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// Whether the worker has more than it should.
    pub(crate) fn is_full(&self) -> bool {
        self.is_over(1)
    }

    /// Whether so much has been processed that partitions go on: half, so that it lasts for a while.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_over(2)
    }

    fn bytes(&self) -> usize {
        self.0.sent.load(Ordering::Relaxed) + self.0.queued.load(Ordering::Relaxed)
    }

    fn is_over(&self, part: usize) -> bool {
        self.bytes() > self.0.limit.load(Ordering::Relaxed) / part
    }

    fn tell(&self) {
        self.0.told.set(i64::try_from(self.bytes()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_and_what_is_queued_count_together() {
        let told = Gauge::default();
        let backlog = Backlog::new(Arc::new(AtomicUsize::new(100)), told.clone());
        assert!(!backlog.send(60));
        assert!(backlog.send(60) && backlog.is_full() && !backlog.has_room());
        // What was compressed is larger in the queue.
        backlog.take(120, 300);
        assert!(backlog.is_full());
        backlog.queue(51);
        assert!(!backlog.is_full() && !backlog.has_room());
        backlog.queue(50);
        assert!(backlog.has_room());
        assert_eq!(told.get(), 50);
    }
}
