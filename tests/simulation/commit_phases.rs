//! Whether a run has met every phase of a commit: what the instances log of their transactions is counted.
//!
//! A phase that has begun and not ended was cut off: its instance was killed, or its worker let go of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::dispatcher::with_default;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Where the phases are logged.
const TARGET: &str = "anabranch::runtime::transaction";
/// So many seeds meet all of them.
const ENOUGH_SEEDS: u64 = 100;

/// Counts phases by how they end.
#[derive(Clone, Default)]
pub(crate) struct CommitPhases {
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl CommitPhases {
    /// Counts what happens meanwhile; not if `RUST_LOG` asks for the log itself.
    pub(crate) fn watch(&self, work: impl FnOnce()) {
        if std::env::var("RUST_LOG").is_ok() {
            return work();
        }
        // A place that logs is asked once whether anybody listens, by the thread that comes there first; and if there is one
        // listener alone, that is the thread's own, which other tests do not have. So there are two.
        let listeners = [Dispatch::new(self.clone()), Dispatch::new(self.clone())];
        with_default(&listeners[0], work);
    }

    fn count(&self, what: &str) -> u64 {
        self.seen.lock().expect("no panic").get(what).copied().unwrap_or(0)
    }

    /// Fails if a phase was never cut off or has never failed, unless there were too few seeds to tell.
    pub(crate) fn all_met(&self, seeds: u64) {
        println!("in {seeds} seeds: {:?}", self.seen.lock().expect("no panic"));
        if seeds < ENOUGH_SEEDS || std::env::var("RUST_LOG").is_ok() {
            return;
        }
        for phase in ["offsets", "end"] {
            let ends = ["done", "failed", "unknown"].map(|outcome| self.count(&format!("{phase} {outcome}")));
            assert!(
                self.count(&format!("{phase} begins")) > ends.iter().sum(),
                "`{phase}` was never cut off"
            );
            assert!(ends[0] > 0 && ends[1] + ends[2] > 0, "`{phase}` has never failed: {ends:?}");
        }
        for found in ["end unknown", "outcome committed", "outcome not committed"] {
            assert!(self.count(found) > 0, "never met: {found}");
        }
    }
}

/// The two fields of an event.
#[derive(Default)]
struct Fields {
    phase: String,
    outcome: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "phase" => self.phase = value.to_string(),
            "outcome" => self.outcome = value.to_string(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Subscriber for CommitPhases {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if !fields.phase.is_empty() {
            let what = format!("{} {}", fields.phase, fields.outcome);
            *self.seen.lock().expect("no panic").entry(what).or_default() += 1;
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
