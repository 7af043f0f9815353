//! All kinds of state on disks that fail: windows, sessions, results that wait for their window to close, both sides of a
//! join and what has not met yet, versions, records that wait for them, and a global table.
//!
//! What is written in the end is what the inputs hold (`kinds_judged`): no record is late. Windows close while things fail:
//! time goes on in eras. At least once, records are read anew when rows of later eras have come back.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Delivery, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::instances::{Instances, process_the_rest, while_they_run};
use crate::kinds_judged::{Topics, judge};
use crate::nemesis::{Fault, Nemesis};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::seeds::Witness;
use crate::state_faults::{STATE, StateFaults, names};

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(8);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
/// A killed instance is missed after its session's time, also by a broker that has just begun.
const MISSED: Duration = Duration::from_secs(15);

/// Windows are so long, and records of the inner join no farther apart.
pub(crate) const WINDOW_MS: i64 = 1000;
/// Records of a session are no farther apart.
pub(crate) const GAP_MS: i64 = 300;
/// Times of records lie within this, those of events within this of their era's beginning.
const SPAN_MS: u64 = 10_000;
/// They are multiples of this: some records of a key are of one time.
const STEP_MS: u64 = 100;
/// How long windows of events take late records: longer than an era's span.
const GRACE: Duration = seconds(20);
/// An era closes all windows of the one before.
const ERA_MS: i64 = 100_000;
/// How long an era of events lasts.
const ERA: Duration = Duration::from_secs(2);
/// How long joins wait: until all is read.
const JOIN_GRACE: Duration = hours(1);
/// Times of records begin some hours before the world's clock does: the broker takes none of the future...
const BEGIN_MS: i64 = 1_749_980_000_000;
/// ...and this one is past it by more than anything waits.
const END_MS: i64 = BEGIN_MS + 3 * 3_600_000;

/// The key of records that do nothing but close what is open.
pub(crate) const END: &str = "end";
/// Keys of the global table. The first ones are never deleted.
const PLACES: usize = 5;
const LASTING_PLACES: usize = 3;
/// Visits from this number on find the global table as it is in the end.
pub(crate) const LAST_VISITS: i64 = 1_000_000;

pub(crate) const INPUTS: [&str; 7] = ["events", "left", "right", "rows", "asks", "places", "visits"];
/// Those of a store whose rows are replaced. Of the others each record counts.
const CHANGELOGS: &[&str] = &[
    "kinds-windows-changelog",
    "kinds-closed-changelog",
    "kinds-sessions-changelog",
    "kinds-finals-store-changelog",
];

fn topology(optimization: Optimization) -> Topology {
    let builder = StreamsBuilder::new();
    let stream = |name: &'static str| builder.stream(Topic::<String, i64>::new(name));
    let events = stream("events").group_by_key();

    let windowed = || events.windowed_by(Tumbling::of(millis(WINDOW_MS as u64)).grace(GRACE));
    let windows = windowed().count_with(Store::named("windows"));
    let of_window =
        |key: Windowed<String>, count: i64| (format!("{} {}", key.key, key.window.start_ms), count);
    windows.updates().map(of_window).to("windows");
    windows.suppress(until_window_closes()).named("finals").updates().map(of_window).to("finals");
    let closed = windowed().emit_on_window_close().count_with(Store::named("closed"));
    closed.updates().map(of_window).to("closed");

    let sessions = events.windowed_by(Session::gap(millis(GAP_MS as u64)).grace(GRACE));
    let sessions = sessions.count_with(Store::named("sessions"));
    // What is deleted has no records.
    let of_session = |key: Windowed<String, SessionWindow>, count: Option<i64>| {
        let SessionWindow { start_ms, end_ms } = key.window;
        (format!("{} {start_ms} {end_ms}", key.key), count.unwrap_or(0))
    };
    sessions.to_stream().map(of_session).to("sessions");

    let (left, right) = (stream("left"), stream("right"));
    let within = JoinWindows::of(millis(WINDOW_MS as u64)).grace(JOIN_GRACE);
    left.join(&right, within, |left, right| format!("{left} {right}")).to("pairs");
    // As in Kafka Streams, a record that meets nothing only waits if it comes within the window of the newest one.
    let whenever = JoinWindows::of(millis(SPAN_MS)).grace(JOIN_GRACE);
    left.outer_join(&right, whenever, |left, right| format!("{} {}", or_none(left), or_none(right)))
        .to("mates");

    let rows = Store::<Versioned<String, i64>>::named("rows").history(JOIN_GRACE);
    let rows = builder.table_with(Topic::<String, i64>::new("rows"), rows);
    let late = Joined::new().grace(JOIN_GRACE);
    stream("asks")
        .left_join_table_with(&rows, |_, ask, row| format!("{ask} {}", or_none(row)), late)
        .to("answers");

    let places = builder.global_table(Topic::<String, i64>::new("places"));
    stream("visits")
        .left_join_global(&places, |place, _| place.clone(), |visit, row| format!("{visit} {}", or_none(row)))
        .to("visited");
    builder.build_with(optimization).expect("a valid topology")
}

/// A number as text, or a mark that there is none.
pub(crate) fn or_none(number: Option<&i64>) -> String {
    number.map_or_else(|| "-".to_string(), i64::to_string)
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    partitions: i32,
    instances: Instances,
    /// Whether the topic of rows serves as their changelog.
    optimized: bool,
    cache_max_bytes: usize,
    memory_max_bytes: u64,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            partitions: one_of(host, &[1, 2]),
            instances: Instances::draw(host),
            optimized: host.random_below(2) == 0,
            cache_max_bytes: one_of(host, &[0, 10_000_000]),
            memory_max_bytes: one_of(host, &[0, 2000, 64_000_000]),
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let optimization = if self.optimized { Optimization::ALL } else { Optimization::NONE };
        let streams = self.instances.streams("kinds", topology(optimization), host);
        streams
            .create_topics(1)
            .state_dir(STATE)
            .config("statestore.cache.max.bytes", self.cache_max_bytes)
            .config("statestore.memory.max.bytes", self.memory_max_bytes)
            // Records of a topic that is only compacted cannot be deleted.
            .config("topic.cleanup.policy", "compact,delete")
    }
}

/// Writes the inputs.
struct Writer {
    host: Host,
    partitions: i32,
    /// No two records have the same.
    next: Cell<i64>,
    fates: RefCell<Vec<Delivery>>,
    producer: Producer,
}

impl Writer {
    async fn new(host: Host, setting: &Setting) -> Writer {
        let partitions = setting.partitions;
        let client = connect(&host).await;
        let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
        Writer { host, partitions, next: Cell::new(0), fates: RefCell::default(), producer }
    }

    async fn send(&self, record: ProducerRecord<'_>, value: Option<i64>, timestamp: i64) {
        let value = value.map(i64::to_be_bytes);
        let record = match &value {
            Some(value) => record.value(&value[..]),
            None => record,
        };
        // What the producer does not take, for want of room or time, never leaves.
        if let Ok(delivery) = self.producer.send(record.timestamp(timestamp)).await {
            self.fates.borrow_mut().push(delivery);
        }
    }

    /// Waits until the fate of all is known.
    async fn settle(&self) {
        let fates = std::mem::take(&mut *self.fates.borrow_mut());
        futures::future::join_all(fates).await;
    }

    fn number(&self) -> i64 {
        self.next.replace(self.next.get() + 1)
    }

    /// Gives each place a row.
    async fn found_places(&self) {
        for place in 0..PLACES {
            let key = format!("p{place}");
            self.send(ProducerRecord::new("places").key(key.as_bytes()), Some(self.number()), BEGIN_MS).await;
        }
        self.settle().await;
    }

    /// Sends records to all topics until the trouble is over.
    async fn write(&self) {
        let host = &self.host;
        while host.now().since_start() < TROUBLE {
            let topic = one_of(host, &INPUTS);
            let mut key = format!("k{}", host.random_below(4));
            let mut value = Some(self.number());
            let mut timestamp = BEGIN_MS + (host.random_below(SPAN_MS / STEP_MS) * STEP_MS) as i64;
            match topic {
                "left" | "right" => key = format!("k{}", host.random_below(40)),
                "events" => {
                    let era = host.now().since_start().as_millis() / ERA.as_millis();
                    timestamp += era as i64 * ERA_MS;
                }
                "rows" if host.random_below(5) == 0 => value = None,
                "places" | "visits" => {
                    let place = host.random_below(PLACES as u64) as usize;
                    key = format!("p{place}");
                    if topic == "places" && place >= LASTING_PLACES && host.random_below(2) == 0 {
                        value = None;
                    }
                }
                _ => {}
            }
            self.send(ProducerRecord::new(topic).key(key.as_bytes()), value, timestamp).await;
            host.sleep(Duration::from_millis(host.random_below(80))).await;
        }
        self.settle().await;
    }

    /// Closes all that is open, and visits all places once more.
    async fn close(&self) {
        for partition in 0..self.partitions {
            for topic in ["events", "left", "asks"] {
                let record = ProducerRecord::new(topic).key(END.as_bytes()).partition(partition);
                self.send(record, Some(self.number()), END_MS).await;
            }
            for place in 0..PLACES {
                let key = format!("p{place}");
                let record = ProducerRecord::new("visits").key(key.as_bytes()).partition(partition);
                self.send(record, Some(LAST_VISITS + self.number()), END_MS).await;
            }
        }
        self.settle().await;
    }
}

/// A whole run, judged.
fn run(sim: &Sim, options: &SimOptions, witness: &RefCell<Witness>) {
    witness.borrow_mut().begin_seed();
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let operator = sim.node("operator of topics");
            for topic in INPUTS {
                create_topic(&operator, topic, setting.partitions).await;
            }
            let writer = Writer::new(sim.node("writer"), &setting).await;
            writer.found_places().await;
            let nodes = setting.instances.nodes();
            let known = [Fault::Kill, Fault::Reset];
            let nemesis = Nemesis::new(sim, &broker, &nodes, &known, options.disk.clone());
            let faults = StateFaults {
                sim,
                application_id: "kinds",
                instances: setting.instances.count,
                changelogs: CHANGELOGS,
                partitions: setting.partitions,
                pause_ms: 1200,
                calm: &options.disk,
            };
            let work = async {
                tokio::join!(
                    Box::pin(writer.write()),
                    nemesis.run(TROUBLE),
                    Box::pin(faults.run(TROUBLE, witness)),
                )
            };
            while_they_run(sim, &nodes, |host| setting.streams(host), work).await;
            nodes.iter().for_each(|node| sim.kill(node));
            // Static members: until they are missed, those that do not come back keep their tasks.
            sim.sleep(MISSED).await;
            // All that waits may only be let go once all that it waits for is there.
            let host = sim.node("app0");
            Box::pin(process_the_rest(&host, |host| setting.streams(host), async |_| Ok(()))).await;
            writer.close().await;
            Box::pin(process_the_rest(&host, |host| setting.streams(host), async |_| Ok(()))).await;
            Topics::read(&sim.node("last"), setting.partitions).await
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let topics = come_to_rest(sim, TROUBLE + REST, work);
    judge(&topics, setting.instances.guarantee);
}

#[test]
fn all_kinds_of_state_are_brought_back() {
    let witness = RefCell::default();
    for_each_chaos("all_kinds_of_state_are_brought_back", |sim, options| {
        run(sim, options, &witness);
    });
    witness.borrow().must_have_seen(names());
}
