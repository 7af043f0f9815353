//! How much memory connections may hold together: requests that arrive or wait for their answers, and answers that wait
//! for their readers.
//!
//! A large request counts as it arrives ([`Memory::grow`]): what is held for it is a few times what its client has really
//! sent, so that nobody takes the room of others with a length alone. A small one counts from when it is taken. Both
//! count until they are answered, since the journal may hold their records for so long; if the disk is slow, reading
//! stops. An answer counts until it is written; fetches then give less than they were asked for
//! ([`Memory::fetch_bytes`]).
//!
//! Nobody waits for ever. One small request and one answer of each connection are let through in any case. And when many
//! large requests that have arrived in part fill the memory, each waiting for room that only the end of another would
//! give, one of them at a time may *pass* the limit, to its end. The next one may when what has passed so is answered,
//! but for [a little](Memory::may_pass): so large requests together hold at most the limit, an eighth of it, one step of
//! growth and one largest request.

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

/// What one request holds of the account; [`Memory::let_go`] gives it back.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Held {
    bytes: usize,
    /// Those of them that were given beyond the limit.
    passed_bytes: usize,
    /// Whether it is the one that may pass the limit now.
    is_passing: bool,
}

#[derive(Debug, Default)]
struct Requests {
    bytes: usize,
    /// Those of them that were given beyond the limit.
    passed_bytes: usize,
    /// Whether a request that still arrives may pass the limit.
    is_passing: bool,
    /// Connections that wait for others to be done.
    waiting: Vec<Waker>,
}

impl Held {
    /// Bytes that it counts for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Memory {
    /// An account of requests up to `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> Memory {
        Memory { limit_bytes, requests: Mutex::default(), answer_bytes: AtomicUsize::new(0) }
    }

    /// Whether there is room for another request; if not, the task of `context` is woken when there is.
    pub(crate) fn has_room(&self, context: &Context<'_>) -> bool {
        let mut requests = self.requests.lock();
        let has_room = requests.bytes < self.limit_bytes;
        if !has_room {
            requests.wait(context);
        }
        has_room
    }

    /// Counts a request that arrives for `bytes` in all from now on, if there is room or it may pass the limit; if not,
    /// the task of `context` is woken when that may be so.
    pub(crate) fn grow(&self, held: &mut Held, bytes: usize, context: &Context<'_>) -> bool {
        let mut requests = self.requests.lock();
        let more = bytes.saturating_sub(held.bytes);
        if requests.bytes >= self.limit_bytes {
            if !held.is_passing && !self.may_pass(&requests) {
                requests.wait(context);
                return false;
            }
            (held.is_passing, requests.is_passing) = (true, true);
            held.passed_bytes += more;
            requests.passed_bytes += more;
        }
        held.bytes += more;
        requests.bytes += more;
        true
    }

    /// A request has arrived whole, with so many bytes, and counts until it is let go.
    pub(crate) fn arrived(&self, held: &mut Held, bytes: usize) {
        let mut requests = self.requests.lock();
        requests.bytes = requests.bytes - held.bytes + bytes;
        held.bytes = bytes;
        let mut waiting = self.end_passing(&mut requests, held);
        if requests.bytes < self.limit_bytes {
            waiting.append(&mut requests.waiting);
        }
        drop(requests);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Takes a request out of the account.
    pub(crate) fn let_go(&self, mut held: Held) {
        let mut requests = self.requests.lock();
        requests.bytes -= held.bytes;
        requests.passed_bytes -= held.passed_bytes;
        let mut waiting = self.end_passing(&mut requests, &mut held);
        if requests.bytes < self.limit_bytes || held.passed_bytes > 0 && self.may_pass(&requests) {
            waiting.append(&mut requests.waiting);
        }
        drop(requests);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Bytes of requests that arrive or wait for their answers.
    pub(crate) fn request_bytes(&self) -> usize {
        self.requests.lock().bytes
    }

    /// Whether another request may pass the limit: none does, and what has done so is answered, but for little. (But
    /// for nothing would be too strict: a small one may wait for its answer long, as a member that joins its group.)
    fn may_pass(&self, requests: &Requests) -> bool {
        !requests.is_passing && requests.passed_bytes <= self.limit_bytes / 8
    }

    /// Whom to wake as this request need not pass the limit any more.
    fn end_passing(&self, requests: &mut Requests, held: &mut Held) -> Vec<Waker> {
        if !std::mem::take(&mut held.is_passing) {
            return Vec::new();
        }
        requests.is_passing = false;
        if self.may_pass(requests) { std::mem::take(&mut requests.waiting) } else { Vec::new() }
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
    fn wait(&mut self, context: &Context<'_>) {
        if !self.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            self.waiting.push(context.waker().clone());
        }
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

    /// A connection that asks for room.
    struct Asker {
        woken: Arc<Woken>,
        held: Held,
    }

    impl Asker {
        fn new() -> Asker {
            Asker { woken: Arc::default(), held: Held::default() }
        }

        fn grow(&mut self, memory: &Memory, bytes: usize) -> bool {
            let waker = Waker::from(self.woken.clone());
            memory.grow(&mut self.held, bytes, &Context::from_waker(&waker))
        }

        fn has_room(&self, memory: &Memory) -> bool {
            let waker = Waker::from(self.woken.clone());
            memory.has_room(&Context::from_waker(&waker))
        }

        fn let_go(&mut self, memory: &Memory) {
            memory.let_go(std::mem::take(&mut self.held));
        }

        fn woken(&self) -> usize {
            self.woken.0.swap(0, Ordering::Relaxed)
        }
    }

    #[test]
    fn who_waits_for_room_is_woken_when_there_is() {
        let memory = Memory::new(10);
        let (mut taken, asker) = (Asker::new(), Asker::new());
        memory.arrived(&mut taken.held, 9);
        assert!(asker.has_room(&memory), "the last one may reach beyond the limit");
        memory.arrived(&mut taken.held, 12);
        assert!(!asker.has_room(&memory) && !asker.has_room(&memory));
        assert_eq!(memory.requests.lock().waiting.len(), 1, "one place, however often it asks");
        taken.let_go(&memory);
        assert_eq!(asker.woken(), 1);
        assert!(asker.has_room(&memory));
        assert_eq!(memory.request_bytes(), 0);
    }

    #[test]
    fn of_requests_that_fill_the_memory_in_part_one_at_a_time_goes_on_to_its_end() {
        let memory = Memory::new(16);
        let mut askers: Vec<Asker> = (0..4).map(|_| Asker::new()).collect();
        for asker in &mut askers {
            assert!(asker.grow(&memory, 4));
        }
        // The memory is full: the first to ask passes the limit, as far as it needs; the others wait.
        assert!(askers[0].grow(&memory, 8));
        assert!(!askers[1].grow(&memory, 8) && !askers[2].grow(&memory, 8));
        assert!(askers[0].grow(&memory, 20));
        memory.arrived(&mut askers[0].held, 20);
        assert_eq!(memory.request_bytes(), 32);
        assert!(!askers[1].grow(&memory, 8), "what has passed is not answered");
        askers[0].let_go(&memory);
        assert_eq!((askers[1].woken(), askers[2].woken(), askers[3].woken()), (1, 1, 0));
        // Now there is room again, and the one to reach beyond it is not the one that passes.
        assert!(askers[2].grow(&memory, 8) && memory.request_bytes() == 16);
        assert!(askers[1].grow(&memory, 8));
        assert!(!askers[2].grow(&memory, 9));
        // Who passes hangs up.
        askers[1].let_go(&memory);
        assert_eq!(askers[2].woken(), 1);
        assert!(askers[2].grow(&memory, 20));
        for mut asker in askers {
            asker.let_go(&memory);
        }
        assert_eq!(memory.request_bytes(), 0);
        assert_eq!(memory.requests.lock().passed_bytes, 0);
    }

    #[test]
    fn a_small_request_that_passed_and_waits_long_for_its_answer_holds_nobody_up() {
        let memory = Memory::new(16);
        let (mut first, mut second, mut third) = (Asker::new(), Asker::new(), Asker::new());
        assert!(first.grow(&memory, 16));
        assert!(second.grow(&memory, 2));
        assert!(!third.grow(&memory, 9));
        memory.arrived(&mut second.held, 2);
        assert_eq!(third.woken(), 1);
        assert!(third.grow(&memory, 9));
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
