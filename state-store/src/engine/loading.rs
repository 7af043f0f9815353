//! Rows on their way into a store that had none: beside the work of whoever began it, on a thread or chunk by chunk.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::encoding::decode_row;
use super::runs::MergedRows;
use super::{EngineStore, engine_error};
use crate::error::{Error, Result};
use crate::row::Checkpoint;

/// A chunk of an engine that has nothing faster.
const CHUNK_BYTES: usize = if cfg!(test) { 1 << 10 } else { 1 << 20 };

/// A store that is being filled. Until it is done nobody else may write to the store; dropped before, it stops.
#[derive(Debug)]
pub struct Loading {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Chunks { rows: Box<MergedRows>, checkpoint: Option<Checkpoint> },
    Stores(VecDeque<(Box<dyn EngineStore>, MergedRows)>),
    Beside(Beside),
    Done,
}

impl Loading {
    /// Chunk by chunk, the checkpoint in the last.
    pub(crate) fn in_chunks(rows: MergedRows, checkpoint: Option<Checkpoint>) -> Self {
        Loading { kind: Kind::Chunks { rows: Box::new(rows), checkpoint } }
    }

    /// The same, into these stores, which get no checkpoint.
    pub(crate) fn of_stores(stores: VecDeque<(Box<dyn EngineStore>, MergedRows)>) -> Self {
        Loading { kind: Kind::Stores(stores) }
    }

    /// By `work`, on a thread. It looks now and then whether it is to stop.
    ///
    /// # Errors
    /// If there can be no thread.
    #[allow(
        clippy::disallowed_methods,
        reason = "fjall has threads of its own; a simulation has another engine"
    )]
    pub(crate) fn beside(
        engine: &'static str,
        work: impl FnOnce(&AtomicBool) -> Result<()> + Send + 'static,
    ) -> Result<Self> {
        let state = Arc::new(State::default());
        let finish = Finish { state: Arc::clone(&state), outcome: None };
        let thread = std::thread::Builder::new().name("restore".to_owned()).spawn(move || {
            let mut finish = finish;
            finish.outcome = Some(work(&finish.state.stop));
        });
        let thread = thread.map_err(|error| engine_error(engine, "to begin to load rows")(error.into()))?;
        Ok(Loading { kind: Kind::Beside(Beside { state, thread: Some(thread) }) })
    }

    /// Whether [`advance`](Loading::advance) has something to do; wakes the caller when it has.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> bool {
        let Kind::Beside(beside) = &self.kind else { return true };
        let mut end = beside.state.end.lock();
        if end.outcome.is_none() {
            end.waker = Some(context.waker().clone());
        }
        end.outcome.is_some()
    }

    /// Goes on a little. True when the rows are in the store, and the checkpoint. `store` is the one that is filled, unless
    /// others are.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn advance(&mut self, store: &mut dyn EngineStore) -> Result<bool> {
        let outcome = match &mut self.kind {
            Kind::Chunks { rows, checkpoint } => match write_chunk(store, rows, *checkpoint)? {
                true => return Ok(false),
                false => Ok(()),
            },
            Kind::Stores(stores) => match stores.front_mut() {
                Some((store, rows)) => {
                    if !write_chunk(&mut **store, rows, None)? {
                        stores.pop_front();
                    }
                    return Ok(false);
                }
                None => Ok(()),
            },
            Kind::Beside(beside) => match beside.state.end.lock().outcome.take() {
                Some(outcome) => outcome,
                None => return Ok(false),
            },
            Kind::Done => Ok(()),
        };
        self.kind = Kind::Done;
        outcome.map(|()| true)
    }

    /// Waits until [`advance`](Loading::advance) has something to do.
    pub(crate) fn wait(&mut self) {
        if let Kind::Beside(beside) = &mut self.kind {
            beside.join();
        }
    }
}

/// Writes the next chunk; whether there is more.
pub(super) fn write_chunk(
    store: &mut dyn EngineStore,
    rows: &mut MergedRows,
    checkpoint: Option<Checkpoint>,
) -> Result<bool> {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    let mut more = false;
    while let Some((key, row)) = rows.next()? {
        debug_assert!(decode_row(row).is_some(), "rows come as they were encoded");
        bytes.extend_from_slice(key);
        let key_end = bytes.len();
        bytes.extend_from_slice(row);
        ends.push((key_end, bytes.len()));
        more = bytes.len() >= CHUNK_BYTES;
        if more {
            break;
        }
    }
    let mut start = 0;
    let mut chunk = ends.into_iter().map(|(key_end, end)| {
        let row = decode_row(&bytes[key_end..end]);
        let key = &bytes[std::mem::replace(&mut start, end)..key_end];
        (key, row)
    });
    store.write(&mut chunk, if more { None } else { checkpoint })?;
    Ok(more)
}

struct Beside {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    end: Mutex<End>,
}

#[derive(Default)]
struct End {
    outcome: Option<Result<()>>,
    waker: Option<Waker>,
}

impl Beside {
    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // If it has panicked, that is its outcome.
            let _ = thread.join();
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        self.join();
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beside").finish_non_exhaustive()
    }
}

/// Tells how the work has ended, if it has panicked too.
struct Finish {
    state: Arc<State>,
    outcome: Option<Result<()>>,
}

impl Drop for Finish {
    fn drop(&mut self) {
        let panicked = || Err(Error::Misuse("loading rows has panicked"));
        let waker = {
            let mut end = self.state.end.lock();
            end.outcome = Some(self.outcome.take().unwrap_or_else(panicked));
            end.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
