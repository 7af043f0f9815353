//! What an instance counts, as Prometheus reads it.
//!
//! Names are those of Kafka Streams' metrics in snake case, with `kafka_streams_` before them and units behind them:
//! `process-total` of `stream-thread-metrics` is `kafka_streams_thread_process_total`. Rates and averages are left to who
//! reads: there are counters for both of their sides. Nothing is counted per record but in plain numbers of the task; the
//! shared counters move once for each turn of a worker.
//!
//! Which of them those are, which are not here, and why: `docs/metrics.md`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anabranch_host::HashMap;
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Labels, Seconds, in_unit, register};
use super::iterator_metrics::IteratorFamilies;
use super::maxima::{Largest, Maxima, MaximaFamilies};
use super::node_metrics::{NodeFamilies, NodeMetrics};
use super::state::State;
use super::task_status::TaskStatus;
use crate::processor::{DropReason, Drops};

/// The bounds of latencies in seconds: from what memory takes to what a rebalance takes.
const LATENCY_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Everything that an instance counts.
pub(crate) struct Metrics {
    registry: Registry,
    application_id: String,
    info: Family<Labels, Gauge>,
    state: Family<Labels, Gauge>,
    alive_threads: Gauge,
    failed_threads: Counter,
    rebalances: Counter,
    polls: Counter,
    nodes: NodeFamilies,
    iterators: IteratorFamilies,
    threads: ThreadFamilies,
    maxima: MaximaFamilies,
    tasks: TaskFamilies,
    topics: TopicFamilies,
}

struct ThreadFamilies {
    processed: Family<Labels, Counter>,
    processing: Family<Labels, Seconds>,
    punctuated: Family<Labels, Counter>,
    punctuating: Family<Labels, Seconds>,
    idle: Family<Labels, Seconds>,
    blocked: Family<Labels, Seconds>,
    waiting: Family<Labels, Gauge>,
    polled: Family<Labels, Counter>,
    started: Family<Labels, Gauge<f64, AtomicU64>>,
    committing: Family<Labels, Histogram>,
    created: Family<Labels, Counter>,
    closed: Family<Labels, Counter>,
}

struct TaskFamilies {
    assigned: Family<Labels, Gauge>,
    processing: Family<Labels, Seconds>,
    dropped: Family<Labels, Counter>,
    restored: Family<Labels, Counter>,
    remaining: Family<Labels, Gauge>,
    ages: Family<Labels, Histogram>,
}

struct TopicFamilies {
    consumed: Family<Labels, Counter>,
    consumed_bytes: Family<Labels, Counter>,
    produced: Family<Labels, Counter>,
    produced_bytes: Family<Labels, Counter>,
}

/// What a worker counts of itself.
pub(crate) struct ThreadMetrics {
    /// Records processed, and the time in it.
    pub(crate) processed: Counter,
    processing: Seconds,
    /// Turns in which something was punctuated.
    punctuated: Counter,
    punctuating: Seconds,
    idle: Seconds,
    blocked: Seconds,
    /// Bytes that were fetched for it and wait.
    pub(crate) waiting: Gauge,
    polled: Counter,
    committing: Histogram,
    largest: Arc<Maxima>,
    pub(crate) created: Counter,
    pub(crate) closed: Counter,
    instance: Arc<Metrics>,
    topics: Mutex<HashMap<Arc<str>, TopicMetrics>>,
}

/// What a worker counts of a task.
pub(crate) struct TaskMetrics {
    processing: Seconds,
    dropped: [Counter; DropReason::ALL.len()],
    restored: Counter,
    ages: Histogram,
    pub(crate) nodes: NodeMetrics,
}

#[derive(Clone)]
struct TopicMetrics {
    consumed: Counter,
    consumed_bytes: Counter,
    produced: Counter,
    produced_bytes: Counter,
}

impl Metrics {
    pub(crate) fn new(application_id: &str) -> Self {
        let mut registry = Registry::with_prefix("kafka_streams");
        let latencies = || Family::new_with_constructor(latency as fn() -> Histogram);
        let r = &mut registry;
        Metrics {
            application_id: application_id.to_owned(),
            info: register(
                r,
                "build",
                "1 for the application and the version of this library.",
                Family::default(),
            ),
            state: register(r, "client_state", "1 for what the instance is doing.", Family::default()),
            alive_threads: register(r, "alive_stream_threads", "Workers that run.", Gauge::default()),
            failed_threads: register(r, "failed_stream_threads", "Workers that failed.", Counter::default()),
            rebalances: register(r, "rebalances", "Assignments taken over.", Counter::default()),
            polls: register(r, "poll", "Polls that brought records.", Counter::default()),
            nodes: NodeFamilies::new(r),
            iterators: IteratorFamilies::new(r),
            maxima: MaximaFamilies::new(r),
            threads: ThreadFamilies {
                processed: register(r, "thread_process", "Records processed.", Family::default()),
                processing: in_unit(
                    r,
                    "thread_process_time",
                    "Time in it.",
                    Unit::Seconds,
                    Family::default(),
                ),
                punctuated: register(r, "thread_punctuate", "Turns that punctuated.", Family::default()),
                punctuating: in_unit(
                    r,
                    "thread_punctuate_time",
                    "Time in it.",
                    Unit::Seconds,
                    Family::default(),
                ),
                idle: in_unit(
                    r,
                    "thread_idle_time",
                    "Time in which there was nothing to do.",
                    Unit::Seconds,
                    Family::default(),
                ),
                blocked: in_unit(
                    r,
                    "thread_blocked_time",
                    "Time in which it waited for Kafka while there was something to do.",
                    Unit::Seconds,
                    Family::default(),
                ),
                waiting: in_unit(
                    r,
                    "thread_input_buffer",
                    "Fetched, and not processed yet.",
                    Unit::Bytes,
                    Family::default(),
                ),
                polled: register(r, "thread_poll_records", "Records that polls brought.", Family::default()),
                started: in_unit(
                    r,
                    "thread_start_time",
                    "When the worker was started, since 1970.",
                    Unit::Seconds,
                    Family::default(),
                ),
                committing: in_unit(
                    r,
                    "thread_commit_latency",
                    "From a commit's beginning until it is safe.",
                    Unit::Seconds,
                    latencies(),
                ),
                created: register(r, "thread_task_created", "Tasks taken over.", Family::default()),
                closed: register(r, "thread_task_closed", "Tasks given away.", Family::default()),
            },
            tasks: TaskFamilies {
                assigned: register(
                    r,
                    "tasks",
                    "Tasks of this instance: active that run or are restored, standbys.",
                    Family::default(),
                ),
                processing: in_unit(
                    r,
                    "task_process_time",
                    "Time in processing its records.",
                    Unit::Seconds,
                    Family::default(),
                ),
                dropped: register(
                    r,
                    "task_dropped_records",
                    "Records dropped, by reason.",
                    Family::default(),
                ),
                restored: register(
                    r,
                    "task_restored_records",
                    "Changelog records applied.",
                    Family::default(),
                ),
                remaining: register(
                    r,
                    "task_restore_remaining_records",
                    "Changelog records that are still to be applied.",
                    Family::default(),
                ),
                ages: in_unit(
                    r,
                    "task_record_e2e_latency_max",
                    "From a record's time until it was processed: the longest of each turn.",
                    Unit::Seconds,
                    latencies(),
                ),
            },
            topics: TopicFamilies {
                consumed: register(r, "topic_records_consumed", "Records fetched.", Family::default()),
                consumed_bytes: in_unit(
                    r,
                    "topic_consumed",
                    "Bytes of batches fetched.",
                    Unit::Bytes,
                    Family::default(),
                ),
                produced: register(r, "topic_records_produced", "Records sent.", Family::default()),
                produced_bytes: in_unit(
                    r,
                    "topic_produced",
                    "Bytes of batches sent.",
                    Unit::Bytes,
                    Family::default(),
                ),
            },
            registry,
        }
    }

    /// A worker has failed.
    pub(crate) fn thread_failed(&self) {
        self.failed_threads.inc();
    }

    /// An assignment has been taken over.
    pub(crate) fn rebalanced(&self) {
        self.rebalances.inc();
    }

    /// A poll has brought records.
    pub(crate) fn polled(&self) {
        self.polls.inc();
    }

    /// The iterators over stores that are open.
    pub(crate) fn iterators(&self) -> &IteratorFamilies {
        &self.iterators
    }

    /// The counters of a worker that is started now.
    pub(crate) fn of_thread(self: &Arc<Self>, number: usize, wall_clock_ms: i64) -> ThreadMetrics {
        let labels = vec![("thread_id", format!("{}-StreamThread-{number}", self.application_id))];
        let ThreadFamilies { processed, processing, punctuated, punctuating, .. } = &self.threads;
        let ThreadFamilies { idle, blocked, waiting, polled, started, committing, created, closed, .. } =
            &self.threads;
        started.get_or_create_owned(&labels).set(wall_clock_ms as f64 / 1e3);
        ThreadMetrics {
            processed: processed.get_or_create_owned(&labels),
            processing: processing.get_or_create_owned(&labels),
            punctuated: punctuated.get_or_create_owned(&labels),
            punctuating: punctuating.get_or_create_owned(&labels),
            idle: idle.get_or_create_owned(&labels),
            blocked: blocked.get_or_create_owned(&labels),
            waiting: waiting.get_or_create_owned(&labels),
            polled: polled.get_or_create_owned(&labels),
            committing: committing.get_or_create_owned(&labels),
            largest: self.maxima.of_thread(&labels),
            created: created.get_or_create_owned(&labels),
            closed: closed.get_or_create_owned(&labels),
            instance: Arc::clone(self),
            topics: Mutex::default(),
        }
    }

    /// The counters of a task.
    pub(crate) fn of_task(&self, task: &str) -> TaskMetrics {
        let labels = vec![("task_id", task.to_owned())];
        let dropped = DropReason::ALL.map(|reason| {
            let labels = [&labels[..], &[("reason", reason.name().to_owned())]].concat();
            self.tasks.dropped.get_or_create_owned(&labels)
        });
        TaskMetrics {
            processing: self.tasks.processing.get_or_create_owned(&labels),
            dropped,
            restored: self.tasks.restored.get_or_create_owned(&labels),
            ages: self.tasks.ages.get_or_create_owned(&labels),
            nodes: self.nodes.of_task(task),
        }
    }

    fn of_topic(&self, topic: &str) -> TopicMetrics {
        let labels = vec![("topic", topic.to_owned())];
        TopicMetrics {
            consumed: self.topics.consumed.get_or_create_owned(&labels),
            consumed_bytes: self.topics.consumed_bytes.get_or_create_owned(&labels),
            produced: self.topics.produced.get_or_create_owned(&labels),
            produced_bytes: self.topics.produced_bytes.get_or_create_owned(&labels),
        }
    }

    /// All of it as text, with what the instance is right now.
    pub(crate) fn expose(&self, state: State, workers: usize, tasks: &[TaskStatus]) -> String {
        self.state.clear();
        self.state.get_or_create_owned(&vec![("state", state.to_string())]).set(1);
        self.maxima.show();
        self.iterators.show();
        self.alive_threads.set(i64::try_from(workers).unwrap_or(i64::MAX));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let labels = vec![("application_id", self.application_id.clone()), ("version", version)];
        self.info.get_or_create_owned(&labels).set(1);
        for (kind, is_standby, is_running) in
            [("running", false, true), ("restoring", false, false), ("standby", true, false)]
        {
            let of_kind = |status: &&TaskStatus| {
                status.is_standby == is_standby && (is_standby || status.is_running == is_running)
            };
            let count = i64::try_from(tasks.iter().filter(of_kind).count()).unwrap_or(i64::MAX);
            self.tasks.assigned.get_or_create_owned(&vec![("kind", kind.to_owned())]).set(count);
        }
        self.tasks.remaining.clear();
        for status in tasks {
            if let Some(behind) = status.records_behind {
                let labels = vec![("task_id", status.task.to_string())];
                let behind = i64::try_from(behind).unwrap_or(i64::MAX);
                self.tasks.remaining.get_or_create_owned(&labels).set(behind);
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing into a string cannot fail");
        text
    }
}

impl ThreadMetrics {
    /// So many records of a task were processed in so long.
    pub(crate) fn processed(&self, records: usize, took: Duration) {
        self.processed.inc_by(records as u64);
        self.processing.inc_by(took.as_secs_f64());
        self.largest.number(Largest::ProcessRecords, records);
        let each = took / u32::try_from(records.max(1)).unwrap_or(u32::MAX);
        self.largest.time(Largest::ProcessLatency, each);
    }

    /// Something was punctuated, which took so long.
    pub(crate) fn punctuated(&self, took: Duration) {
        self.punctuated.inc();
        self.punctuating.inc_by(took.as_secs_f64());
        self.largest.time(Largest::PunctuateLatency, took);
    }

    /// There was nothing to do for so long.
    pub(crate) fn idled(&self, waited: Duration) {
        self.idle.inc_by(waited.as_secs_f64());
    }

    /// It waited so long for Kafka, and could not work meanwhile.
    pub(crate) fn blocked(&self, waited: Duration) {
        self.blocked.inc_by(waited.as_secs_f64());
    }

    /// A commit took so long.
    pub(crate) fn committed(&self, took: Duration) {
        self.committing.observe(took.as_secs_f64());
        self.largest.time(Largest::CommitLatency, took);
    }

    /// Records of a topic were fetched.
    pub(crate) fn consumed(&self, topic: &Arc<str>, records: usize, bytes: usize) {
        self.polled.inc_by(records as u64);
        self.largest.number(Largest::PollRecords, records);
        let topic = self.topic(topic);
        topic.consumed.inc_by(records as u64);
        topic.consumed_bytes.inc_by(bytes as u64);
    }

    /// Records of a topic were sent.
    pub(crate) fn produced(&self, topic: &Arc<str>, records: usize, bytes: usize) {
        let topic = self.topic(topic);
        topic.produced.inc_by(records as u64);
        topic.produced_bytes.inc_by(bytes as u64);
    }

    fn topic(&self, topic: &Arc<str>) -> TopicMetrics {
        let mut topics = self.topics.lock();
        topics.entry(Arc::clone(topic)).or_insert_with(|| self.instance.of_topic(topic)).clone()
    }
}

impl TaskMetrics {
    /// These records were dropped.
    pub(crate) fn dropped(&self, drops: &Drops) {
        for (counter, reason) in self.dropped.iter().zip(DropReason::ALL) {
            counter.inc_by(drops.of(reason));
        }
    }

    /// So many changelog records were applied.
    pub(crate) fn restored(&self, records: u64) {
        self.restored.inc_by(records);
    }

    /// Processing records took so long.
    pub(crate) fn processed(&self, took: Duration) {
        self.processing.inc_by(took.as_secs_f64());
    }

    /// The oldest record of a turn was so old.
    pub(crate) fn processed_after(&self, oldest: Duration) {
        self.ages.observe(oldest.as_secs_f64());
    }
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::TaskId;

    #[test]
    fn what_was_told_is_in_the_text() {
        let metrics = Arc::new(Metrics::new("app"));
        let (thread, task) = (metrics.of_thread(1, 1_500), metrics.of_task("0_1"));
        thread.processed(7, Duration::from_millis(250));
        thread.processed(1, Duration::from_millis(0));
        thread.punctuated(Duration::from_millis(500));
        thread.idled(Duration::from_millis(125));
        thread.blocked(Duration::from_millis(375));
        thread.consumed(&"lines".into(), 4, 100);
        metrics.polled();
        task.processed(Duration::from_millis(250));
        let status = |partition, is_standby, is_running| TaskStatus {
            task: TaskId { subtopology: 0, partition },
            is_standby,
            is_running,
            records_behind: Some(3),
        };
        let tasks = [status(1, false, true), status(2, false, false), status(3, true, false)];
        thread.committed(Duration::from_millis(750));
        let text = metrics.expose(State::Running, 2, &tasks);
        let again = metrics.expose(State::Running, 2, &tasks);
        let thread = "{thread_id=\"app-StreamThread-1\"}";
        for expected in [
            format!(
                "kafka_streams_build{{application_id=\"app\",version=\"{}\"}} 1",
                env!("CARGO_PKG_VERSION")
            ),
            "kafka_streams_alive_stream_threads 2".to_owned(),
            format!("kafka_streams_thread_process_total{thread} 8"),
            format!("kafka_streams_thread_process_time_seconds_total{thread} 0.25"),
            format!("kafka_streams_thread_punctuate_total{thread} 1"),
            format!("kafka_streams_thread_punctuate_time_seconds_total{thread} 0.5"),
            format!("kafka_streams_thread_idle_time_seconds_total{thread} 0.125"),
            format!("kafka_streams_thread_blocked_time_seconds_total{thread} 0.375"),
            format!("kafka_streams_thread_poll_records_total{thread} 4"),
            "kafka_streams_poll_total 1".to_owned(),
            format!("kafka_streams_thread_start_time_seconds{thread} 1.5"),
            "kafka_streams_task_process_time_seconds_total{task_id=\"0_1\"} 0.25".to_owned(),
            "kafka_streams_tasks{kind=\"running\"} 1".to_owned(),
            "kafka_streams_tasks{kind=\"restoring\"} 1".to_owned(),
            "kafka_streams_tasks{kind=\"standby\"} 1".to_owned(),
            "kafka_streams_task_restore_remaining_records{task_id=\"0_2\"} 3".to_owned(),
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} in\n{text}");
        }
        for (name, largest) in [
            ("process_records_max", "7.0"),
            ("poll_records_max", "4.0"),
            ("punctuate_latency_max_seconds", "0.5"),
            ("commit_latency_max_seconds", "0.75"),
        ] {
            let line = |value: &str| format!("kafka_streams_thread_{name}{thread} {value}");
            assert!(text.contains(&line(largest)), "{} in\n{text}", line(largest));
            assert!(again.contains(&line("0.0")), "{} in\n{again}", line("0.0"));
        }
    }
}
