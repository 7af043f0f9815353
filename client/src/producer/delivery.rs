//! What becomes of a batch, told to everybody who has a record in it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::error::{ClientError, Result};

/// Where a record was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset; -1 if the broker knows only that it has the record.
    pub offset: i64,
    /// Its timestamp: its own, or the time of the append if the topic is so configured.
    pub timestamp: i64,
}

/// Where a batch was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// The offset of its first record; -1 if the broker knows only that it has the batch.
    pub base_offset: i64,
    /// The time of the append, if it stands for the records' own timestamps, else -1.
    pub log_append_time: i64,
}

/// Why a batch was not written.
#[derive(Clone, Debug)]
pub struct BatchError {
    /// What went wrong.
    pub error: ClientError,
    /// The records that the broker will never take as they are (too large, a time or a key that the topic does not allow);
    /// those beside them in the batch might be taken without them. Empty if it was not for the records.
    pub refused: Vec<RefusedRecord>,
}

/// A record that a broker has refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// The promise that a record is written, kept when all in-sync replicas have it. Await it, or drop it and rely on
/// [`crate::Producer::flush`].
#[must_use = "await it to know whether the record was written"]
pub struct Delivery {
    outcome: Arc<Outcome>,
    index: u32,
    timestamp: i64,
}

/// The outcome of one batch.
pub(super) struct Outcome {
    topic: Arc<str>,
    partition: i32,
    state: Mutex<State>,
}

enum State {
    Open(SmallVec<[Waker; 1]>),
    Settled(Result<BatchMetadata>),
    /// Cut into two batches: the records before this index are in the first, the rest in the second.
    Split(u32, Arc<Outcome>, Arc<Outcome>),
}

/// What is known of a batch.
enum Known {
    Settled(Result<BatchMetadata>),
    Split(u32, Arc<Outcome>, Arc<Outcome>),
}

impl Outcome {
    pub(super) fn new(topic: Arc<str>, partition: i32) -> Arc<Self> {
        Arc::new(Outcome { topic, partition, state: Mutex::new(State::Open(SmallVec::new())) })
    }

    /// Tells everybody; the first word counts.
    pub(super) fn settle(&self, result: Result<BatchMetadata>) {
        self.end(State::Settled(result));
    }

    /// Refers everybody to two batches in place of this one: records before `at` to the first.
    pub(super) fn split(&self, at: u32) -> (Arc<Outcome>, Arc<Outcome>) {
        let part = || Outcome::new(Arc::clone(&self.topic), self.partition);
        let (first, second) = (part(), part());
        self.end(State::Split(at, Arc::clone(&first), Arc::clone(&second)));
        (first, second)
    }

    fn end(&self, end: State) {
        let mut state = self.state.lock();
        if let State::Open(wakers) = &mut *state {
            let wakers = std::mem::take(wakers);
            *state = end;
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Known> {
        match &mut *self.state.lock() {
            State::Settled(result) => Poll::Ready(Known::Settled(result.clone())),
            State::Split(at, first, second) => {
                Poll::Ready(Known::Split(*at, Arc::clone(first), Arc::clone(second)))
            }
            State::Open(wakers) => {
                // Somebody who awaits a thousand records of one batch is woken once.
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Waits for the batch as a whole, with all that it was cut into.
    pub(super) async fn settled(self: Arc<Self>) -> Result<()> {
        let mut first_error = Ok(());
        let mut open = vec![self];
        while let Some(outcome) = open.pop() {
            match std::future::poll_fn(|context| outcome.poll(context)).await {
                Known::Settled(result) => first_error = first_error.and(result.map(drop)),
                Known::Split(_, first, second) => open.extend([second, first]),
            }
        }
        first_error
    }
}

impl Delivery {
    pub(super) fn new(outcome: Arc<Outcome>, index: u32, timestamp: i64) -> Self {
        Delivery { outcome, index, timestamp }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let batch = match self.outcome.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Known::Settled(result)) => result?,
                Poll::Ready(Known::Split(at, first, second)) => {
                    (self.outcome, self.index) =
                        if self.index < at { (first, self.index) } else { (second, self.index - at) };
                    continue;
                }
            };
            let own_time = batch.log_append_time < 0;
            return Poll::Ready(Ok(RecordMetadata {
                topic: Arc::clone(&self.outcome.topic),
                partition: self.outcome.partition,
                offset: if batch.base_offset < 0 { -1 } else { batch.base_offset + i64::from(self.index) },
                timestamp: if own_time { self.timestamp } else { batch.log_append_time },
            }));
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery({}-{})", self.outcome.topic, self.outcome.partition)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outcome({}-{})", self.topic, self.partition)
    }
}
