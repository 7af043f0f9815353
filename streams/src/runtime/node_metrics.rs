//! What is counted of single nodes and stores of a task.
//!
//! Kafka Streams tells averages, lowest and highest values of a moving window. Here the average is left to who reads, by the
//! counters of both of its sides; lowest and highest are those of the last half to whole minute in which records came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Labels, Seconds, in_unit, register};
use crate::processor::Latencies;

/// Half of the time that lowest and highest values are kept for.
const WINDOW_MS: i64 = 30_000;

type SecondsNow = Gauge<f64, AtomicU64>;

/// What all tasks count of their nodes and stores. Cheap to clone.
#[derive(Clone)]
pub(crate) struct NodeFamilies {
    records: Family<Labels, Counter>,
    ages: Family<Labels, Seconds>,
    lowest: Family<Labels, SecondsNow>,
    highest: Family<Labels, SecondsNow>,
    held_records: Family<Labels, Gauge>,
    held_bytes: Family<Labels, Gauge>,
    num_keys: Family<Labels, Gauge>,
}

impl NodeFamilies {
    pub(crate) fn new(r: &mut Registry) -> Self {
        let ages = "processor_node_record_e2e_latency";
        NodeFamilies {
            records: register(
                r,
                &format!("{ages}_records"),
                "Records that a source has read, or that have come to a node without children.",
                Family::default(),
            ),
            ages: in_unit(
                r,
                ages,
                "From a record's time until it was there, of all of them together.",
                Unit::Seconds,
                Family::default(),
            ),
            lowest: in_unit(
                r,
                &format!("{ages}_min"),
                "The same of the youngest of late.",
                Unit::Seconds,
                Family::default(),
            ),
            highest: in_unit(
                r,
                &format!("{ages}_max"),
                "The same of the oldest of late.",
                Unit::Seconds,
                Family::default(),
            ),
            held_records: register(
                r,
                "state_suppression_buffer_count",
                "Records that a suppression holds back.",
                Family::default(),
            ),
            held_bytes: in_unit(
                r,
                "state_suppression_buffer_size",
                "What it counts for them.",
                Unit::Bytes,
                Family::default(),
            ),
            num_keys: register(r, "state_num_keys", "Keys of a store in memory.", Family::default()),
        }
    }

    /// Those of a task.
    pub(crate) fn of_task(&self, task: &str) -> NodeMetrics {
        let families = self.clone();
        let (held, keys) = (BTreeMap::new(), BTreeMap::new());
        NodeMetrics { families, task: task.to_owned(), nodes: Vec::new(), held, keys }
    }
}

/// What a worker counts of the nodes and stores of a task.
pub(crate) struct NodeMetrics {
    families: NodeFamilies,
    task: String,
    /// By the node's place; only of those that have counted something.
    nodes: Vec<Option<NodeAges>>,
    /// By store.
    held: BTreeMap<String, (Gauge, Gauge)>,
    /// By store.
    keys: BTreeMap<String, Gauge>,
}

/// How old the records of one node are.
struct NodeAges {
    records: Counter,
    ages: Seconds,
    lowest: SecondsNow,
    highest: SecondsNow,
    /// Since this time, and what was before that.
    since_ms: i64,
    now: Latencies,
    before: Latencies,
}

impl NodeMetrics {
    /// A node has had these records.
    pub(crate) fn aged(&mut self, place: usize, node: &Arc<str>, ages: &Latencies, wall_clock_ms: i64) {
        if self.nodes.len() <= place {
            self.nodes.resize_with(place + 1, || None);
        }
        let (families, task) = (&self.families, &self.task);
        let ages_of = self.nodes[place].get_or_insert_with(|| {
            let labels = vec![("task_id", task.clone()), ("processor_node_id", node.to_string())];
            NodeAges {
                records: families.records.get_or_create_owned(&labels),
                ages: families.ages.get_or_create_owned(&labels),
                lowest: families.lowest.get_or_create_owned(&labels),
                highest: families.highest.get_or_create_owned(&labels),
                since_ms: wall_clock_ms,
                now: Latencies::default(),
                before: Latencies::default(),
            }
        });
        ages_of.note(ages, wall_clock_ms);
    }

    /// A store in memory has so many keys.
    pub(crate) fn num_keys(&mut self, store: &str, keys: usize) {
        if !self.keys.contains_key(store) {
            let gauge = self.families.num_keys.get_or_create_owned(&self.of_store(store));
            self.keys.insert(store.to_owned(), gauge);
        }
        if let Some(gauge) = self.keys.get(store) {
            gauge.set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
    }

    /// The task has left: its stores hold nothing here any more.
    pub(crate) fn gone(&self) {
        let held = self.held.values().flat_map(|(records, bytes)| [records, bytes]);
        for gauge in held.chain(self.keys.values()) {
            gauge.set(0);
        }
    }

    fn of_store(&self, store: &str) -> Labels {
        vec![("task_id", self.task.clone()), ("store", store.to_owned())]
    }

    /// A suppression holds so much back.
    pub(crate) fn held_back(&mut self, store: &str, records: u64, bytes: u64) {
        if !self.held.contains_key(store) {
            let labels = self.of_store(store);
            let records = self.families.held_records.get_or_create_owned(&labels);
            self.held
                .insert(store.to_owned(), (records, self.families.held_bytes.get_or_create_owned(&labels)));
        }
        if let Some((held_records, held_bytes)) = self.held.get(store) {
            held_records.set(i64::try_from(records).unwrap_or(i64::MAX));
            held_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}

impl NodeAges {
    fn note(&mut self, ages: &Latencies, wall_clock_ms: i64) {
        let in_seconds = |ms: u64| ms as f64 / 1e3;
        let age_of_window = wall_clock_ms.saturating_sub(self.since_ms);
        if age_of_window >= WINDOW_MS {
            let ended = std::mem::take(&mut self.now);
            self.before = if age_of_window < 2 * WINDOW_MS { ended } else { Latencies::default() };
            self.since_ms = wall_clock_ms;
        }
        self.now.merge(ages);
        self.records.inc_by(ages.count);
        self.ages.inc_by(in_seconds(ages.sum_ms));
        self.lowest.set(in_seconds(self.now.min_ms.min(self.before.min_ms)));
        self.highest.set(in_seconds(self.now.max_ms.max(self.before.max_ms)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_and_highest_are_of_late() {
        let families = NodeFamilies::new(&mut Registry::default());
        let mut task = families.of_task("0_1");
        let node: Arc<str> = "out".into();
        let labels = vec![("task_id", "0_1".to_owned()), ("processor_node_id", "out".to_owned())];
        let check = |(lowest, highest): (f64, f64), records: u64, seconds: f64| {
            assert_eq!(families.lowest.get_or_create_owned(&labels).get(), lowest);
            assert_eq!(families.highest.get_or_create_owned(&labels).get(), highest);
            assert_eq!(families.records.get_or_create_owned(&labels).get(), records);
            assert_eq!(families.ages.get_or_create_owned(&labels).get(), seconds);
        };
        let mut come = |at_ms: i64, timestamps: &[i64]| {
            let mut ages = Latencies::default();
            timestamps.iter().for_each(|timestamp| ages.note(at_ms, *timestamp));
            task.aged(3, &node, &ages, at_ms);
        };
        // Without a time; of the future.
        come(10_000, &[8_000, 9_500, -1, 11_000]);
        check((0.0, 2.0), 3, 2.5);
        come(41_000, &[40_000]);
        check((0.0, 2.0), 4, 3.5);
        come(72_000, &[68_000]);
        check((1.0, 4.0), 5, 7.5);
        // Nothing came for long.
        come(200_000, &[199_500]);
        check((0.5, 0.5), 6, 8.0);
    }

    #[test]
    fn what_a_store_has_is_told() {
        let families = NodeFamilies::new(&mut Registry::default());
        let mut task = families.of_task("0_1");
        task.held_back("windows", 7, 700);
        task.held_back("windows", 2, 200);
        task.num_keys("windows", 5);
        task.num_keys("windows", 4);
        let labels = vec![("task_id", "0_1".to_owned()), ("store", "windows".to_owned())];
        assert_eq!(families.held_records.get_or_create_owned(&labels).get(), 2);
        assert_eq!(families.held_bytes.get_or_create_owned(&labels).get(), 200);
        assert_eq!(families.num_keys.get_or_create_owned(&labels).get(), 4);
    }
}
