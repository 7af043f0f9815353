//! The largest of what a worker has met since the metrics were last asked for: Kafka Streams' `*-max`, over the time from one
//! scrape to the next. Who scrapes twice, halves it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Labels, in_unit, register};

/// What is the largest of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Largest {
    /// Nanoseconds in processing a record, on an average of a turn.
    ProcessLatency,
    /// Nanoseconds in punctuating a task.
    PunctuateLatency,
    /// Nanoseconds in a commit.
    CommitLatency,
    /// Records processed in a turn of a task.
    ProcessRecords,
    /// Records that a poll has brought of one partition.
    PollRecords,
}

impl Largest {
    const ALL: [(Largest, &str, &str); 5] = [
        (
            Largest::ProcessLatency,
            "thread_process_latency_max",
            "The longest time for a record, on an average of a turn.",
        ),
        (
            Largest::PunctuateLatency,
            "thread_punctuate_latency_max",
            "The longest time in punctuating a task.",
        ),
        (Largest::CommitLatency, "thread_commit_latency_max", "The longest commit."),
        (Largest::ProcessRecords, "thread_process_records_max", "The most records of a turn of a task."),
        (
            Largest::PollRecords,
            "thread_poll_records_max",
            "The most records of a partition that a poll has brought.",
        ),
    ];

    fn is_time(self) -> bool {
        !matches!(self, Largest::ProcessRecords | Largest::PollRecords)
    }
}

/// Those of one worker.
#[derive(Default)]
pub(super) struct Maxima([AtomicU64; Largest::ALL.len()]);

impl Maxima {
    pub(super) fn number(&self, of: Largest, number: usize) {
        self.0[of as usize].fetch_max(number as u64, Ordering::Relaxed);
    }

    pub(super) fn time(&self, of: Largest, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0[of as usize].fetch_max(nanos, Ordering::Relaxed);
    }
}

type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// Those of all workers.
pub(super) struct MaximaFamilies {
    gauges: [Gauges; Largest::ALL.len()],
    workers: Mutex<Vec<(Labels, Weak<Maxima>)>>,
}

impl MaximaFamilies {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let gauges = Largest::ALL.map(|(of, name, help)| match of.is_time() {
            true => in_unit(registry, name, help, Unit::Seconds, Gauges::default()),
            false => register(registry, name, help, Gauges::default()),
        });
        MaximaFamilies { gauges, workers: Mutex::default() }
    }

    /// Those of a worker that is started now.
    pub(super) fn of_thread(&self, labels: &Labels) -> Arc<Maxima> {
        let maxima = Arc::default();
        self.workers.lock().push((labels.clone(), Arc::downgrade(&maxima)));
        maxima
    }

    /// Shows what there was since this was last called, of the workers that are there.
    pub(super) fn show(&self) {
        self.gauges.iter().for_each(Family::clear);
        self.workers.lock().retain(|(labels, maxima)| {
            let Some(maxima) = maxima.upgrade() else { return false };
            for (of, ..) in Largest::ALL {
                let largest = maxima.0[of as usize].swap(0, Ordering::Relaxed) as f64;
                let shown = if of.is_time() { largest / 1e9 } else { largest };
                self.gauges[of as usize].get_or_create_owned(labels).set(shown);
            }
            true
        });
    }
}
