//! A stream of records.
//!
//! Reading order: `stateless` (looking and replacing), `fallible` (the `try_` forms), `nulls`, `ends` (sinks and other
//! ends), `repartition`, `join_table`,
//! `join_stream`, `join_global`, `process` (processors of users).

mod ends;
mod fallible;
mod join_global;
mod join_stream;
mod join_table;
mod nulls;
mod process;
mod repartition;
mod stateless;

use std::marker::PhantomData;

use super::handle::Handle;
use crate::policy::OnError;

/// A stream of records with keys `K` and values `V`.
///
/// Where a type has no `Option`, no null ever reaches your code. A handle is cheap to clone and can be used many times:
/// each use is another reader of the same stream.
pub struct KStream<K, V> {
    pub(super) handle: Handle,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> KStream<K, V> {
    pub(super) fn of(handle: Handle) -> Self {
        KStream { handle, types: PhantomData }
    }

    /// Names the operator's node.
    pub fn named(self, name: &str) -> Self {
        self.handle.graph.name(self.handle.operation, name);
        self
    }

    /// What happens to records that fail at the operator; without it the application's policy answers.
    pub fn on_error(self, answer: OnError) -> Self {
        self.handle.graph.on_error(self.handle.operation, answer);
        self
    }
}

impl<K, V> Clone for KStream<K, V> {
    fn clone(&self) -> Self {
        KStream::of(self.handle.clone())
    }
}
