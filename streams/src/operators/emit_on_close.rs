//! When results are emitted that come once, after their window has closed.

use crate::processor::{Context, MemoId, NodeInit};

/// Kafka Streams' record of it: the close time of the last emission, kept with the offsets, and a throttle by the wall
/// clock, which is not.
pub(crate) struct EmitOnClose {
    last_close: MemoId,
    next_check_ms: i64,
}

impl EmitOnClose {
    /// The memo has the store's name, as in Kafka Streams.
    pub(crate) fn new(init: &mut NodeInit<'_>, store: &str) -> Self {
        EmitOnClose { last_close: init.memos.register(store), next_check_ms: i64::MIN }
    }

    /// Whether to look for windows that close at `close_time` or before. Gives the close time of the last emission, if
    /// there was one.
    pub(crate) fn is_due(&mut self, context: &Context<'_>, close_time: i64) -> Option<Option<i64>> {
        let now = context.state.wall_clock_ms;
        if now < self.next_check_ms {
            return None;
        }
        self.next_check_ms = now.saturating_add(context.state.emit_interval_ms);
        let last = self.last_close(context);
        last.is_none_or(|last| last < close_time).then_some(last)
    }

    /// The close time of the last emission.
    pub(crate) fn last_close(&self, context: &Context<'_>) -> Option<i64> {
        Some(context.state.memos.get(self.last_close)).filter(|last| *last >= 0)
    }

    /// All windows that close at `close_time` or before have been emitted.
    pub(crate) fn emitted(&self, context: &mut Context<'_>, close_time: i64) {
        context.state.memos.set(self.last_close, close_time);
    }
}
