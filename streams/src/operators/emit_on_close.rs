//! When results are emitted that come once, after their window has closed.

use crate::processor::{Context, MemoId, NodeInit};

/// Kafka Streams' record of it: the close time of the last emission, kept with the offsets, and a throttle by the wall
/// clock, which is not.
pub(crate) struct EmitOnClose {
    last_close: MemoId,
    next_check_ms: i64,
    /// Whether the store was told what is still to be emitted.
    told: bool,
}

impl EmitOnClose {
    /// The memo has the store's name, as in Kafka Streams.
    pub(crate) fn new(init: &mut NodeInit<'_>, store: &str) -> Self {
        EmitOnClose { last_close: init.memos.register(store), next_check_ms: i64::MIN, told: false }
    }

    /// The first time it is asked: the close time of the last emission, if there was one. What closes later is still to be
    /// emitted, and the store must not let it expire, however far time jumps before anybody looks.
    pub(crate) fn first_asked(&mut self, context: &Context<'_>) -> Option<Option<i64>> {
        (!std::mem::replace(&mut self.told, true)).then(|| self.last_close(context))
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

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    /// Counts in windows of 10 ms, which a store keeps for two minutes at most if nobody needs them. After each group of
    /// records the wall clock goes on by the second after which closed windows are looked for again.
    fn check(config: &TestConfig, groups: &[&[i64]], expected: &[(i64, i64)]) {
        let out = Topic::<String, (i64, i64)>::with_serdes("out", text(), json());
        let builder = StreamsBuilder::new();
        let windows = builder.stream("in").group_by_key().windowed_by(Tumbling::of(millis(10)));
        let counts = windows.emit_on_window_close().count().updates();
        counts.map(|key, n| (key.key, (key.window.start_ms, n))).to(&out);
        let driver = TestDriver::with(&builder.build().unwrap(), config.clone()).unwrap();
        let input = driver.input(Topic::<String, String>::new("in"));
        for times in groups {
            times.iter().for_each(|time| input.pipe_at(*time, "key", "value"));
            driver.advance_wall_clock(seconds(1));
        }
        let counts = driver.output(&out).read_all();
        let counts: Vec<(i64, i64)> = counts.into_iter().map(|record| record.value).collect();
        assert_eq!(counts, expected, "{groups:?}");
    }

    #[test]
    fn no_result_is_lost_where_time_jumps_before_anybody_looks() {
        const FAR: i64 = 600_000_000;
        for config in [TestConfig::new(), TestConfig::new().caching(false), TestConfig::new().abort_every(3)]
        {
            // Before the first emission.
            check(&config, &[&[5, 7, FAR], &[FAR + 1]], &[(0, 2)]);
            check(&config, &[&[5, 12, FAR, FAR + 1], &[FAR + 10]], &[(0, 1), (10, 1), (FAR, 2)]);
            // Between two.
            let groups: &[&[i64]] = &[&[5], &[12, 15, FAR, 2 * FAR], &[2 * FAR + 1]];
            check(&config, groups, &[(0, 1), (10, 2), (FAR, 1)]);
        }
    }
}
