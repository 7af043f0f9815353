//! Whether a task may process what it has, or waits for an input that has nothing here (KIP-353, KIP-695).
//!
//! The record with the lowest time is processed first, and that can only be known when every input has shown its next
//! one. An input that has nothing here is waited for as long as the broker has records of it that are still to be fetched;
//! if it has none, for `max.task.idle.ms` more, since a record may be on its way. Below zero nothing is waited for.

use super::stream_task::Task;

impl Task {
    /// Notes how many offsets of an input the broker has that were not fetched when it was last heard of.
    pub(crate) fn note_lag(&mut self, input: usize, lag: i64) {
        self.inputs[input].lag = Some(lag);
    }

    /// Whether an input that has nothing here is to be waited for.
    pub(super) fn waits(&mut self, wall_clock_ms: i64) -> bool {
        let max_idle_ms = self.config.max_idle_ms;
        if max_idle_ms < 0 || self.inputs.iter().filter(|input| !input.is_gone).count() < 2 {
            return false;
        }
        let mut waits = false;
        for input in self.inputs.iter_mut().filter(|input| !input.is_gone) {
            if input.buffered() > 0 {
                input.idle_until = None;
                continue;
            }
            waits |= match input.lag {
                Some(..=0) => {
                    let until = wall_clock_ms.saturating_add(max_idle_ms);
                    wall_clock_ms < *input.idle_until.get_or_insert(until)
                }
                // It has more, or was not heard of yet.
                Some(_) | None => {
                    input.idle_until = None;
                    true
                }
            };
        }
        waits
    }

    /// When waiting ends by the wall clock, if there is something to process then.
    pub(crate) fn waits_until(&self) -> Option<i64> {
        let inputs = self.inputs.iter().filter(|input| !input.is_gone || input.buffered() > 0);
        let (here, missing): (Vec<_>, Vec<_>) = inputs.partition(|input| input.buffered() > 0);
        if here.is_empty() || missing.iter().any(|input| input.lag.is_none_or(|lag| lag > 0)) {
            return None;
        }
        missing.iter().filter_map(|input| input.idle_until).max()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::operators::check::Closed;
    use crate::prelude::*;
    use crate::processor::{RawInput, TaskId};
    use crate::task::TaskConfig;

    /// A task that reads two partitions.
    struct Two(Task);

    impl Two {
        fn new(max_idle_ms: i64) -> Two {
            let builder = StreamsBuilder::new();
            let other = builder.stream(Topic::<String, String>::new("a"));
            builder.stream(Topic::<String, String>::new("b")).merge(&other).for_each(|_, _| {});
            let topology = builder.build().expect("a valid topology");
            let nodes = (0..topology.nodes.len()).collect();
            let config = TaskConfig { max_idle_ms, ..TaskConfig::of_test() };
            let id = TaskId { subtopology: 0, partition: 0 };
            Two(Task::new(Arc::new(topology), nodes, id, config).expect("a task"))
        }

        fn record(&mut self, input: usize, offset: i64) {
            let (key, value) = (Some(&b"k"[..]), Some(&b"v"[..]));
            self.0.enqueue(input, RawInput { offset, timestamp: offset, key, value, headers: &[] });
            self.0.fetched(input, offset, offset + 1);
        }

        fn processes(&mut self, wall_clock_ms: i64) -> bool {
            self.0.process(wall_clock_ms, &mut Closed).expect("nothing fails")
        }
    }

    #[test]
    fn what_the_broker_has_is_waited_for() {
        let mut task = Two::new(0);
        task.record(0, 0);
        assert!(!task.processes(10), "the other was not heard of");
        task.0.note_lag(1, 3);
        assert!(!task.processes(20), "the other has records that are still to be fetched");
        assert_eq!(task.0.waits_until(), None, "the clock changes nothing about it");
        task.record(1, 0);
        task.0.note_lag(1, 2);
        task.0.note_lag(0, 0);
        assert!(task.processes(30) && task.processes(30), "both are here");
        task.record(0, 1);
        assert!(!task.processes(40), "the rest of the other is still out");
        task.0.note_lag(1, 0);
        assert!(task.processes(40), "there is nothing to wait for");
        assert!(!task.processes(40), "there is nothing");
    }

    #[test]
    fn one_that_is_empty_is_waited_for_as_long_as_is_said() {
        let mut task = Two::new(50);
        task.0.note_lag(1, 0);
        task.record(0, 0);
        assert!(!task.processes(1000));
        assert_eq!(task.0.waits_until(), Some(1050));
        assert!(!task.processes(1049));
        assert!(task.processes(1050));
        // It has been empty for long enough: what comes now does not wait again.
        task.record(0, 1);
        task.0.note_lag(0, 0);
        assert!(task.processes(1060));
        assert!(!task.processes(1060), "there is nothing");
        // A record of it begins another wait.
        task.record(1, 0);
        assert!(task.processes(1200), "the first is empty since long ago");
        task.record(0, 2);
        assert!(!task.processes(1210));
        assert_eq!(task.0.waits_until(), Some(1260));
    }

    #[test]
    fn nothing_is_waited_for_below_zero() {
        let mut task = Two::new(-1);
        task.record(0, 0);
        assert!(task.processes(0));
    }

    #[test]
    fn after_an_abort_all_is_heard_of_again() {
        let mut task = Two::new(0);
        task.record(0, 0);
        task.record(1, 0);
        task.0.note_lag(0, 0);
        task.0.note_lag(1, 0);
        assert!(task.processes(0));
        task.0.abort().expect("nodes");
        task.record(0, 0);
        assert!(!task.processes(0));
        task.0.note_lag(1, 0);
        assert!(task.processes(0));
    }
}
