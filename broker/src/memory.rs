//! How much memory connections may hold together: requests that arrive or wait for their answers, and answers that wait
//! for their readers.
//!
//! A large request counts as a whole before more than its beginning is read ([`Memory::reserve`]), so that what many
//! connections send at once cannot be held at once, and every request that was begun has room to end. A small one counts
//! from when it is taken. Both count until they are answered, since the journal may hold their records for so long; if
//! the disk is slow, reading stops. An answer counts until it is written; fetches then give less than they were asked
//! for ([`Memory::fetch_bytes`]). One small request and one answer of each connection are let through in any case, and
//! the last request that is let in may pass the limit, so that nobody waits for ever.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use parking_lot::Mutex;

/// What answers may take together before fetches give less.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// What a fetch may give in any case.
const LEAST_FETCH_BYTES: usize = 1024 * 1024;

/// The account of all connections.
#[derive(Debug)]
pub(crate) struct Memory {
    limit_bytes: usize,
    requests: Mutex<Requests>,
    answer_bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Requests {
    bytes: usize,
    /// Connections that wait for others to be done.
    waiting: Vec<Waker>,
}

impl Memory {
    /// An account of requests up to `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> Memory {
        Memory { limit_bytes, requests: Mutex::default(), answer_bytes: AtomicUsize::new(0) }
    }

    /// Whether there is room for another request; if not, the task of `context` is woken when there is.
    pub(crate) fn has_room(&self, context: &Context<'_>) -> bool {
        self.requests.lock().has_room(self.limit_bytes, context)
    }

    /// Counts a request of so many bytes, which has begun to arrive, if there is room for another; if not, the task of
    /// `context` is woken when there is. [`Memory::remove_request`] takes it out again.
    pub(crate) fn reserve(&self, bytes: usize, context: &Context<'_>) -> bool {
        let mut requests = self.requests.lock();
        let has_room = requests.has_room(self.limit_bytes, context);
        if has_room {
            requests.bytes += bytes;
        }
        has_room
    }

    /// Bytes of requests that arrive or wait for their answers.
    pub(crate) fn request_bytes(&self) -> usize {
        self.requests.lock().bytes
    }

    pub(crate) fn add_request(&self, bytes: usize) {
        self.requests.lock().bytes += bytes;
    }

    pub(crate) fn remove_request(&self, bytes: usize) {
        let waiting = {
            let mut requests = self.requests.lock();
            requests.bytes -= bytes;
            if requests.bytes < self.limit_bytes { std::mem::take(&mut requests.waiting) } else { Vec::new() }
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn add_answer(&self, bytes: usize) {
        self.answer_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn remove_answer(&self, bytes: usize) {
        self.answer_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of answers that wait for their readers.
    pub(crate) fn answer_bytes(&self) -> usize {
        self.answer_bytes.load(Ordering::Relaxed)
    }

    /// How many bytes of records a fetch may give that asks for `wanted`.
    pub(crate) fn fetch_bytes(&self, wanted: usize) -> usize {
        let left = ANSWER_BYTES.saturating_sub(self.answer_bytes());
        wanted.min(left.max(LEAST_FETCH_BYTES))
    }
}

impl Requests {
    fn has_room(&mut self, limit_bytes: usize, context: &Context<'_>) -> bool {
        if self.bytes < limit_bytes {
            return true;
        }
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_for_room_is_woken_when_there_is() {
        let memory = Memory::new(10);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let context = Context::from_waker(&waker);
        memory.add_request(9);
        assert!(memory.has_room(&context), "the last one may pass the limit");
        assert!(memory.reserve(9, &context));
        assert!(!memory.has_room(&context));
        assert!(!memory.reserve(1, &context));
        assert_eq!(memory.requests.lock().waiting.len(), 1, "one place, however often it asks");
        memory.remove_request(9);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(memory.has_room(&context));
        assert_eq!(memory.request_bytes(), 9);
    }

    #[test]
    fn fetches_give_less_when_answers_pile_up_but_always_something() {
        let memory = Memory::new(10);
        assert_eq!(memory.fetch_bytes(5), 5);
        assert_eq!(memory.fetch_bytes(usize::MAX), ANSWER_BYTES);
        memory.add_answer(ANSWER_BYTES - 3 * LEAST_FETCH_BYTES);
        assert_eq!(memory.fetch_bytes(usize::MAX), 3 * LEAST_FETCH_BYTES);
        memory.add_answer(ANSWER_BYTES);
        assert_eq!(memory.fetch_bytes(usize::MAX), LEAST_FETCH_BYTES);
    }
}
