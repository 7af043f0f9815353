//! An application that writes by the clock alone, so that most of its transactions move no offset, while everything fails.
//!
//! Each task counts its ticks in a store and writes each number; most of them never read a record. Exactly once, the numbers of a
//! task are 1, 2, 3 and so on, whoever has run it, and its store has the last one.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::{all, newest, number};
use crate::instances::{Instances, impatient, process_the_rest};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::trouble::Trouble;

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(20);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
const PARTITIONS: i32 = 2;

const TICKS: Store<KeyValue<String, i64>> = Store::named("ticks");

struct Clock {
    ticks: StoreRef<KeyValue<String, i64>>,
}

impl Clock {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        ctx.schedule(millis(50), WallClockTime, |this, time, ctx| this.tick(time, ctx));
        Clock { ticks: ctx.store(TICKS) }
    }

    fn tick(&self, time: i64, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        let task = ctx.task_id().to_string();
        let ticks = ctx.store(self.ticks).get(&task)?.unwrap_or_default() + 1;
        ctx.store(self.ticks).put(&task, &ticks)?;
        ctx.forward(Record::new(task, ticks, time));
        Ok(())
    }
}

impl Processor for Clock {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&mut self, record: Record<String, i64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        self.tick(record.timestamp, ctx)
    }
}

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream(Topic::<String, i64>::new("starts")).process(Clock::new).to("out");
    builder.build().expect("a valid topology")
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    instances: Instances,
    has_directory: bool,
    /// How many records come, each of which is a tick too.
    records: u64,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            instances: Instances { guarantee: ExactlyOnce, ..Instances::draw(host) },
            has_directory: host.random_below(2) == 0,
            records: one_of(host, &[0, 0, 3]),
        }
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = self.instances.streams("ticks", topology(), host);
        let streams = if self.has_directory { streams.state_dir("/var/lib/app") } else { streams };
        impatient(streams)
    }
}

/// Writes records now and then, if anybody takes them.
async fn write(host: Host, records: u64) {
    let producer = Producer::new(&connect(&host).await, ProducerConfig::default()).expect("sound");
    for _ in 0..records {
        host.sleep(TROUBLE.mul_f64(host.random_below(100) as f64 / 200.0)).await;
        let partition = host.random_below(PARTITIONS as u64) as i32;
        let record = ProducerRecord::new("starts").key(&b"start"[..]).value(&[0; 8][..]).partition(partition);
        // It may be lost: nobody counts them.
        let _ = producer.send(record).await;
    }
}

/// A whole run, judged. Gives how many ticks were counted.
fn run(sim: &Sim, options: &SimOptions) -> i64 {
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let operator = sim.node("last");
            create_topic(&operator, "starts", PARTITIONS).await;
            create_topic(&operator, "out", 1).await;
            let trouble = Trouble::new(sim, options, &broker, &setting.instances, TROUBLE);
            let work = write(sim.node("writer"), setting.records);
            trouble.while_they_run(&[], |host| setting.streams(host), work).await;
            setting.instances.kill(sim);
            Box::pin(process_the_rest(&operator, |host| setting.streams(host), async |_| Ok(()))).await;
            let out = all(&operator, "out", 1).await;
            (out, newest(&operator, "ticks-ticks-changelog", PARTITIONS).await)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let (out, stored) = come_to_rest(sim, TROUBLE + REST, work);
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for tick in &out {
        let last = last.entry(tick.key.clone()).or_default();
        assert_eq!(number(&tick.value), *last + 1, "task {}: each number once, in order", tick.key);
        *last += 1;
    }
    assert_eq!(stored, last, "the changelog (left) has the last that was written (right)");
    last.values().sum()
}

#[test]
fn each_tick_counts_once() {
    let mut counted = 0;
    for_each_chaos("each_tick_counts_once", |sim, options| counted += run(sim, options));
    assert!(counted > 0, "no clock ticks");
}
