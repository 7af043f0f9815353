//! What a node does, typed: operators and sources implement this, `erased` makes nodes of them.

use std::sync::Arc;

use super::{Forward, InFlight};
use crate::error::Result;
use crate::topic::Clocks;

/// A node that takes records and forwards records.
///
/// An error it returns itself is a record error, which the policy of the node answers; what comes back from
/// [`Forward`] is never one.
pub(crate) trait Operator: Send {
    /// Type of the keys it takes.
    type KeyIn: 'static;
    /// Type of the values it takes.
    type ValueIn: 'static;
    /// Type of the keys it forwards.
    type KeyOut: 'static;
    /// Type of the values it forwards.
    type ValueOut: 'static;

    /// Takes a record.
    fn process(
        &mut self,
        record: InFlight<'_, Self::KeyIn, Self::ValueIn>,
        out: &mut Forward<'_, '_, Self::KeyOut, Self::ValueOut>,
    ) -> Result<()>;

    /// The task begins to run, or begins anew after an abort.
    fn start(&mut self, out: &mut Forward<'_, '_, Self::KeyOut, Self::ValueOut>) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// One of its punctuations is due.
    fn punctuate(
        &mut self,
        number: usize,
        timestamp: i64,
        out: &mut Forward<'_, '_, Self::KeyOut, Self::ValueOut>,
    ) -> Result<()> {
        let _ = (number, timestamp, out);
        Ok(())
    }

    /// Forwards the updates that wait in the store whose listener this node is.
    fn flush(&mut self, out: &mut Forward<'_, '_, Self::KeyOut, Self::ValueOut>) -> Result<()> {
        let _ = out;
        Ok(())
    }
}

/// A record as it came from a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawInput<'a> {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    /// Encoded, see [`crate::headers`].
    pub(crate) headers: &'a [u8],
}

/// A node that reads records from topics. It reads several queues, one for each topic partition of its task.
pub(crate) trait Source: Send {
    /// Type of the keys it reads.
    type Key: 'static;
    /// Type of the values it reads.
    type Value: 'static;

    /// A topic more is read: behind the other queues.
    fn add_queue(&mut self, topic: &Arc<str>);

    /// The time of a record that has become the head of `queue`. Negative: the record is dropped.
    fn timestamp(&mut self, queue: usize, record: RawInput<'_>, clocks: Clocks) -> Result<i64>;

    /// Reads and forwards the head of `queue`, whose time is `timestamp`.
    fn emit(
        &mut self,
        queue: usize,
        record: RawInput<'_>,
        timestamp: i64,
        out: &mut Forward<'_, '_, Self::Key, Self::Value>,
    ) -> Result<()>;
}

/// The output of a node that forwards nothing.
pub(crate) enum Nothing {}
