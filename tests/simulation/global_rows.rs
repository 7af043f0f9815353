//! A topic of a global table that loses records before the instance has read them, as by `DeleteRecords` or retention: the
//! table becomes what the topic still has, and until then it can be read as it was.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Client, Producer, ProducerConfig, ProducerRecord, TopicPartition};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::{BrokerProcess, NODE};
use crate::instances::of_the_world;
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, one_of};
use crate::seeds::for_each_seed;
use crate::state_faults::STATE;

const PLACES: Store<KeyValue<String, i64>> = Store::named("places");
/// Keys of the table.
const KEYS: i64 = 60;

type Rows = BTreeMap<String, i64>;

fn topology() -> Topology {
    let builder = StreamsBuilder::new();
    let places = builder.global_table_with(Topic::<String, i64>::new("places"), PLACES);
    builder
        .stream(Topic::<String, i64>::new("visits"))
        .left_join_global(&places, |place, _| place.clone(), |visit, row| format!("{visit} {row:?}"))
        .to("visited");
    builder.build().expect("a valid topology")
}

/// Writes rows; those without a value are deletions.
async fn write(client: &Client, rows: impl Iterator<Item = (i64, Option<i64>)>) {
    let producer = Producer::new(client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    for (key, value) in rows {
        let (key, value) = (key.to_string(), value.map(i64::to_be_bytes));
        let record = ProducerRecord::new("places").key(key.as_bytes());
        let record = match &value {
            Some(value) => record.value(&value[..]),
            None => record,
        };
        fates.push(producer.send(record).await.expect("room"));
    }
    futures::future::try_join_all(fates).await.expect("nothing fails");
}

async fn rows_of(running: &RunningStreams) -> Rows {
    let all = async { running.store(PLACES)?.all().await };
    all.await.expect("it can be read").into_iter().collect()
}

/// Rows that change at one moment.
fn upper(rows: &Rows) -> Vec<(i64, i64)> {
    let rows = rows.iter().map(|(key, row)| (key.parse().expect("a number"), *row));
    rows.filter(|(key, _)| *key >= KEYS / 2).collect()
}

/// Whether what was told of each partition is in order, and each restoration has ended; how many there were.
fn restorations(told: &[RestoreEvent]) -> usize {
    let (mut under_way, mut ended) = (BTreeMap::new(), 0);
    for event in told {
        let (RestoreEvent::Start { place, .. }
        | RestoreEvent::Batch { place, .. }
        | RestoreEvent::End { place, .. }
        | RestoreEvent::Suspended { place, .. }) = event;
        assert_eq!((place.task, &*place.store, &*place.topic), (None, "places", "places"));
        match (event, under_way.remove(&place.partition)) {
            (RestoreEvent::Start { from, to, .. }, None) => {
                under_way.insert(place.partition, (*from, *to, 0));
            }
            (RestoreEvent::Batch { next, records, .. }, Some((at, to, before))) => {
                assert!(at <= *next, "{told:#?}");
                under_way.insert(place.partition, (*next, to, before + records));
            }
            (RestoreEvent::End { records, .. }, Some((at, to, before))) => {
                assert!(at >= to && *records == before, "{told:#?}");
                ended += 1;
            }
            _ => panic!("{event:?} in {told:#?}"),
        }
    }
    assert!(under_way.is_empty(), "{told:#?}");
    ended
}

fn run(sim: &Sim) {
    let setting = sim.node("setting");
    let partitions = one_of(&setting, &[1, 2, 3]);
    let on_disk = setting.random_below(2) == 0;
    let told = Arc::new(Mutex::new(Vec::new()));
    let streams = |host: &Host| {
        let told = Arc::clone(&told);
        let streams = of_the_world(Streams::new("global-rows", topology()), host).create_topics(1);
        let streams = streams
            .on_restore(move |event| told.lock().expect("nobody panics").push(event.clone()))
            .config("commit.interval.ms", one_of(host, &[10, 1000]));
        if on_disk { streams.state_dir(STATE) } else { streams }
    };
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let work = async {
            let operator = sim.node("operator");
            let client = connect(&operator).await;
            create_topic(&operator, "places", partitions).await;
            create_topic(&operator, "visits", 1).await;
            write(&client, (0..KEYS).map(|key| (key, Some(key)))).await;
            let app = sim.node("app");
            let running = streams(&app).start().await.expect("nothing fails");
            let before = rows_of(&running).await;
            assert_eq!(before.len() as i64, KEYS);

            // What it does not see: some rows are deleted, others change, and then all of that is gone.
            sim.partition(NODE, "app");
            // That is the answer to the fetch under way.
            write(&client, [(0, None)].into_iter()).await;
            write(&client, (0..KEYS / 2).map(|key| (key, (key % 2 == 0).then_some(-key)))).await;
            let all = (0..partitions).map(|partition| (TopicPartition::new("places", partition), -1));
            let deleted = client.admin().delete_records(&all.collect()).await.expect("it answers");
            assert!(deleted.values().all(Result::is_ok), "{deleted:?}");
            write(&client, (KEYS / 4..KEYS).map(|key| (key, Some(2 * key)))).await;
            let after: Rows = (KEYS / 4..KEYS).map(|key| (key.to_string(), 2 * key)).collect();

            let (is_over, watched) = (Cell::new(false), Cell::new(0));
            let watch = async {
                while !is_over.get() {
                    let rows = rows_of(&running).await;
                    let seen = upper(&rows);
                    assert!(
                        seen == upper(&before) || seen == upper(&after),
                        "neither before nor after: {seen:?}"
                    );
                    watched.set(watched.get() + 1);
                    operator.sleep(Duration::from_millis(10)).await;
                }
            };
            let mend = async {
                operator.sleep(Duration::from_millis(operator.random_below(2000))).await;
                sim.heal();
                running.drain().await.expect("nothing fails");
                is_over.set(true);
            };
            tokio::join!(watch, mend);
            assert_eq!(rows_of(&running).await, after);
            assert!(watched.get() > 0);

            // It goes on from there, and so does the next start.
            write(&client, [(0, Some(7)), (KEYS - 1, None)].into_iter()).await;
            running.drain().await.expect("nothing fails");
            let mut last = after;
            last.insert("0".to_string(), 7);
            last.remove(&(KEYS - 1).to_string());
            assert_eq!(rows_of(&running).await, last);
            running.close().await.expect("nothing fails");
            assert_eq!(restorations(&told.lock().expect("nobody panics")), 2 * partitions as usize);
            let running = streams(&app).start().await.expect("nothing fails");
            assert_eq!(rows_of(&running).await, last);
            running.close().await.expect("nothing fails");
        };
        broker.keep_running_while(Box::pin(work)).await
    };
    come_to_rest(sim, Duration::from_secs(120), work);
}

#[test]
fn a_global_table_is_what_its_topic_has() {
    for_each_seed("a_global_table_is_what_its_topic_has", |seed| run(&Sim::new(seed, SimOptions::default())));
}
