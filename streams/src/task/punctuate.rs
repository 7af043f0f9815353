//! What a task does because time goes on: it tells its nodes that it runs, and calls their punctuations.

use super::stream_task::Task;
use crate::error::Result;
use crate::outbox::Outbox;
use crate::processor::{Context, Origin, PunctuationType, catching};

impl Task {
    /// Tells the nodes that the task runs, once: before the first record, and again after an abort.
    ///
    /// # Errors
    /// If a processor cannot start.
    #[inline]
    pub(crate) fn start(&mut self, wall_clock_ms: i64, outbox: &mut dyn Outbox) -> Result<()> {
        match self.started {
            true => Ok(()),
            false => self.begin(wall_clock_ms, outbox),
        }
    }

    #[cold]
    fn begin(&mut self, wall_clock_ms: i64, outbox: &mut dyn Outbox) -> Result<()> {
        self.started = true;
        self.state.wall_clock_ms = wall_clock_ms;
        self.state.punctuations.start(wall_clock_ms, &mut self.state.memos);
        // Nothing has been processed since the last commit: an abort goes back to these first times.
        self.state.memos.save_to(&mut self.committed.memos);
        let start = |task: &mut Task| {
            let mut context = Context { outbox, origin: Origin::none(), state: &mut task.state };
            task.nodes.start(&mut context)
        };
        catching(self, start, |_| None)
    }

    /// Calls what is due by stream time: each punctuation once, the earliest first.
    pub(super) fn punctuate_by_stream_time(&mut self, outbox: &mut dyn Outbox) -> Result<()> {
        self.punctuate(PunctuationType::StreamTime, self.state.stream_time, outbox).map(drop)
    }

    /// Calls what is due by the wall clock: each punctuation once, the earliest first. Whether there was one.
    ///
    /// # Errors
    /// As [`Task::process`].
    pub(crate) fn punctuate_by_wall_clock(
        &mut self,
        wall_clock_ms: i64,
        outbox: &mut dyn Outbox,
    ) -> Result<bool> {
        self.start(wall_clock_ms, outbox)?;
        if self.state.punctuations.is_empty() {
            return Ok(false);
        }
        self.state.wall_clock_ms = wall_clock_ms;
        self.punctuate(PunctuationType::WallClockTime, wall_clock_ms, outbox)
    }

    fn punctuate(&mut self, clock: PunctuationType, now: i64, outbox: &mut dyn Outbox) -> Result<bool> {
        let mut called = false;
        while let Some((node, number)) = self.state.punctuations.take_due(clock, now, &mut self.state.memos) {
            called = true;
            self.dirty = true;
            let punctuate = |task: &mut Task| {
                let mut context =
                    Context { outbox: &mut *outbox, origin: Origin::none(), state: &mut task.state };
                task.nodes.punctuate(node, number, now, &mut context)
            };
            catching(self, punctuate, |_| None)?;
        }
        Ok(called)
    }

    /// When the wall clock gives the task something to do next.
    pub(crate) fn next_wall_clock_punctuation(&self) -> Option<i64> {
        self.state.punctuations.next_due(PunctuationType::WallClockTime, &self.state.memos)
    }

    /// Whether a processor has asked for a commit since the last one.
    pub(crate) fn commit_requested(&self) -> bool {
        self.state.commit_requested
    }
}
