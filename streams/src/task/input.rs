//! A topic partition that a task reads: its queue, and the time of its head.

use std::sync::Arc;

use super::record_queue::RecordQueue;

/// A topic partition of a task.
pub(crate) struct Input {
    /// Name on the broker.
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    /// The source node that reads it, and which of that node's queues it is.
    pub(super) source: usize,
    pub(super) queue_of_source: usize,
    pub(super) queue: RecordQueue,
    /// The time of the queue's head, once it is known.
    pub(super) head: Option<i64>,
    /// The highest time processed; -1 at first.
    pub(super) partition_time: i64,
    /// Behind the last record that was processed or dropped.
    pub(super) next_offset: Option<i64>,
    /// From where and up to where it was fetched: behind markers and aborted records too, which are no records.
    pub(super) fetched: Option<(i64, i64)>,
    /// The position that was sealed last.
    pub(super) sealed: Option<i64>,
    /// The topic that it is read from, as noted beside offsets; none if that is not known.
    pub(super) topic_id: Option<i64>,
    /// The partition is not there, or no more: what was read of it is processed, and nothing of it is committed.
    pub(crate) is_gone: bool,
    /// How many offsets the broker has that are not here; none: it was not heard of since reading began.
    pub(super) lag: Option<i64>,
    /// While nothing is here, and the broker has nothing either: until when it is waited for, by the wall clock.
    pub(super) idle_until: Option<i64>,
}

impl Input {
    pub(super) fn new(topic: Arc<str>, partition: i32, source: usize, queue_of_source: usize) -> Self {
        Input {
            topic,
            partition,
            source,
            queue_of_source,
            queue: RecordQueue::default(),
            head: None,
            partition_time: -1,
            next_offset: None,
            fetched: None,
            sealed: None,
            topic_id: None,
            is_gone: false,
            lag: None,
            idle_until: None,
        }
    }

    /// Where reading goes on if what is buffered is forgotten; none if nothing has been dealt with.
    pub(super) fn position(&self) -> Option<i64> {
        match self.queue.head() {
            Some(head) => self.next_offset.map(|_| head.offset),
            None => self.next_offset.max(self.fetched.map(|(_, to)| to)),
        }
    }

    /// Goes back to where the last committed epoch ended.
    pub(super) fn rewind(&mut self, partition_time: i64, next_offset: Option<i64>) {
        self.queue.clear();
        self.head = None;
        self.partition_time = partition_time;
        self.next_offset = next_offset;
        self.sealed = None;
        // One of which nothing came is not read again.
        self.lag = self.lag.filter(|_| self.fetched.is_none());
        self.idle_until = None;
        self.fetched = self.fetched.map(|(from, _)| next_offset.unwrap_or(from)).map(|at| (at, at));
    }

    /// The head has been dealt with.
    pub(super) fn advance(&mut self, offset: i64) {
        self.queue.pop();
        self.head = None;
        self.next_offset = Some(offset + 1);
    }

    /// How many records wait.
    pub(crate) fn buffered(&self) -> usize {
        self.queue.len()
    }

    /// The memory that they take.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.queue.bytes()
    }
}
