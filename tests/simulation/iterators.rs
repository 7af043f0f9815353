//! Iterators over stores while records are processed, tasks move and instances end: what one shows of a task is its store at one
//! moment, in order and whole, however slowly it is read and whatever has become of the task (`iterators_judged`). It ends with
//! its application, and not before.

use std::cell::{Cell, RefCell};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Producer, ProducerConfig, ProducerRecord};
use anabranch_host::sim::{NetworkOptions, assert_same_trace};
use anabranch_host::{Host, Sim, SimOptions};

use crate::broker_process::BrokerProcess;
use crate::committed::all;
use crate::instances::Instances;
use crate::iterators_judged::{
    Answer, End, Keys, Kind, Log, Name, Question, RETENTION_MS, STEP_MS, deletes, judge, stamp,
};
use crate::producers::{connect, create_topic};
use crate::runs::{come_to_rest, for_each_chaos, one_of};
use crate::seeds::{Witness, for_some_seeds};
use crate::state_faults::STATE;
use crate::trouble::Trouble;

const ROWS: Store<KeyValue<String, i64>> = Store::named("rows");
const WINDOWS: Store<Windows<String, i64>> =
    Store::named("windows").window(millis(STEP_MS as u64)).retention(millis(RETENTION_MS as u64));
const SESSIONS: Store<Sessions<String, i64>> =
    Store::named("sessions").retention(millis(RETENTION_MS as u64));

/// Things fail for so long...
const TROUBLE: Duration = Duration::from_secs(20);
/// ...and when all is mended, the run must come to rest within this time.
const REST: Duration = Duration::from_secs(600);
/// Times of records begin some hours before the world's clock does: the broker takes none of the future.
const BEGIN_MS: i64 = 1_749_980_400_000;
/// Iterators of an instance that are read beside each other.
const OPEN: usize = 4;

/// Writes each record into the three stores.
struct Writes {
    rows: StoreRef<KeyValue<String, i64>>,
    windows: StoreRef<Windows<String, i64>>,
    sessions: StoreRef<Sessions<String, i64>>,
}

impl Processor for Writes {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(&mut self, record: Record<String, i64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        let place = ctx.record_metadata().expect("a record of a topic");
        let stamp = stamp(place.partition, place.offset);
        let value = (!deletes(record.value)).then_some(&stamp);
        ctx.store(self.rows).put(&record.key, value)?;
        let Name { key, start_ms, .. } = Kind::Windows.row(&record.key, record.timestamp);
        ctx.store(self.windows).put(&key, value, start_ms)?;
        let Name { key, start_ms, end_ms } = Kind::Sessions.row(&record.key, record.timestamp);
        let session = Windowed { key, window: SessionWindow { start_ms, end_ms } };
        ctx.store(self.sessions).put(&session, value)
    }
}

/// What a run is like; from the seed.
#[derive(Clone, Debug)]
struct Setting {
    partitions: i32,
    instances: Instances,
    in_memory: bool,
    caching: bool,
    memory_max_bytes: u64,
    keys: u64,
    /// Between two records of a writer lie at most so many microseconds.
    pause_us: u64,
    /// Whether anything fails.
    troubled: bool,
}

impl Setting {
    fn draw(host: &Host) -> Setting {
        Setting {
            partitions: one_of(host, &[1, 2, 3]),
            instances: Instances::draw(host),
            in_memory: host.random_below(3) == 0,
            caching: host.random_below(2) == 0,
            memory_max_bytes: one_of(host, &[0, 20_000, 64_000_000]),
            keys: one_of(host, &[5, 40, 400]),
            pause_us: one_of(host, &[5_000, 20_000, 200_000]),
            troubled: host.random_below(8) > 0,
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let (in_memory, caching) = (self.in_memory, self.caching);
        let writes = move |ctx: &mut InitContext<'_, Writes>| {
            let (rows, windows, sessions) =
                (ROWS.caching(caching), WINDOWS.caching(caching), SESSIONS.caching(caching));
            match in_memory {
                true => Writes {
                    rows: ctx.store(rows.in_memory()),
                    windows: ctx.store(windows.in_memory()),
                    sessions: ctx.store(sessions.in_memory()),
                },
                false => Writes {
                    rows: ctx.store(rows),
                    windows: ctx.store(windows),
                    sessions: ctx.store(sessions),
                },
            }
        };
        builder.stream(Topic::<String, i64>::new("records")).process(writes);
        builder.build().expect("a valid topology")
    }

    fn streams(&self, host: &Host) -> Streams {
        let streams = self.instances.streams("iterators", self.topology(), host);
        streams.state_dir(STATE).config("statestore.memory.max.bytes", self.memory_max_bytes)
    }

    fn key(&self, host: &Host) -> String {
        format!("k{}", host.random_below(self.keys))
    }
}

fn some_time(host: &Host) -> i64 {
    BEGIN_MS + host.random_below((RETENTION_MS / STEP_MS) as u64) as i64 * STEP_MS
}

/// Sends records until the trouble is over and the fate of each is known.
async fn write(host: Host, setting: Setting) {
    let client = connect(&host).await;
    let producer = Producer::new(&client, ProducerConfig::default()).expect("a valid configuration");
    let mut fates = Vec::new();
    while host.now().since_start() < TROUBLE {
        let (key, value) = (setting.key(&host), (host.random_below(1000) as i64).to_be_bytes());
        let partition = host.random_below(setting.partitions as u64) as i32;
        let record = ProducerRecord::new("records").partition(partition).key(key.as_bytes());
        // What the producer does not take, for want of room or time, never leaves.
        fates.extend(producer.send(record.value(&value[..]).timestamp(some_time(&host))).await.ok());
        host.sleep(Duration::from_micros(host.random_below(setting.pause_us))).await;
    }
    futures::future::join_all(fates).await;
}

/// Asks an instance's stores, and notes what they answer.
#[derive(Clone)]
struct Reader {
    host: Host,
    setting: Setting,
    /// Which of the instances that there have been.
    life: u64,
    /// Iterators that are being read.
    open: Arc<AtomicUsize>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Reader {
    fn now(&self) -> Duration {
        self.host.now().since_start()
    }

    fn draw_question(&self) -> Question {
        let host = &self.host;
        let kind = one_of(host, &[Kind::Rows, Kind::Rows, Kind::Windows, Kind::Sessions]);
        let (a, b) = (self.setting.key(host), self.setting.key(host));
        let keys = match host.random_below(4) {
            0 => Keys::Range(a.clone().min(b.clone()), a.max(b)),
            1 if kind == Kind::Rows => Keys::Prefix(a[..2].to_string()),
            _ => Keys::All,
        };
        let all_times = (0, i64::MAX);
        let (from, to) = (some_time(host), some_time(host));
        Question {
            kind,
            is_reverse: !matches!(keys, Keys::Prefix(_)) && host.random_below(2) == 0,
            keys,
            times: if host.random_below(2) == 0 { all_times } else { (from.min(to), from.max(to)) },
            at_once: host.random_below(4) == 0,
            stale: host.random_below(4) == 0,
        }
    }

    /// Asks one question after another until the instance is to stop, or has failed.
    async fn ask_until_interrupted(&self, running: &RunningStreams) {
        let questions = async {
            while !matches!(running.state(), State::Error | State::NotRunning) {
                if self.open.load(Ordering::Relaxed) < OPEN {
                    self.ask(running).await;
                }
                self.host.sleep(Duration::from_millis(self.host.random_below(300))).await;
            }
        };
        tokio::select! {
            biased;
            _ = self.host.interrupted() => {}
            () = questions => {}
        }
    }
}

impl Reader {
    async fn ask(&self, running: &RunningStreams) {
        let question = self.draw_question();
        let keys = match question.keys.clone() {
            Keys::Range(first, last) => (Bound::Included(first), Bound::Included(last)),
            _ => (Bound::Unbounded, Bound::Unbounded),
        };
        let (stale, times) = (question.stale, question.times.0..=question.times.1);
        match question.kind {
            Kind::Rows => {
                let store = running.store(ROWS).expect("it is there");
                let store = if stale { store.with_stale() } else { store };
                let scan = match (&question.keys, question.is_reverse) {
                    (Keys::Prefix(prefix), _) => store.prefix_scan(prefix),
                    (_, false) => store.range(keys),
                    (_, true) => store.reverse_range(keys),
                };
                self.read(question, scan, || store.position(), |key| Kind::Rows.row(&key, 0)).await;
            }
            Kind::Windows => {
                let store = running.store(WINDOWS).expect("it is there");
                let store = if stale { store.with_stale() } else { store };
                let scan = match question.is_reverse {
                    false => store.fetch_keys(keys, times),
                    true => store.backward_fetch_keys(keys, times),
                };
                let name = |of: Windowed<String>| Kind::Windows.row(&of.key, of.window.start_ms);
                self.read(question, scan, || store.position(), name).await;
            }
            Kind::Sessions => {
                let store = running.store(SESSIONS).expect("it is there");
                let store = if stale { store.with_stale() } else { store };
                let scan = match question.is_reverse {
                    false => store.find_sessions_of_keys(keys, times),
                    true => store.backward_find_sessions_of_keys(keys, times),
                };
                let name = |of: Windowed<String, SessionWindow>| {
                    let SessionWindow { start_ms, end_ms } = of.window;
                    Name { key: of.key, start_ms, end_ms }
                };
                self.read(question, scan, || store.position(), name).await;
            }
        }
    }

    /// Reads the rows, all at once, or one by one beside whatever else happens.
    async fn read<K: Send + 'static>(
        &self,
        question: Question,
        scan: Scan<'_, K, i64>,
        position: impl Fn() -> Position,
        name: fn(K) -> Name,
    ) {
        let (reader, opened, at_once) = (self.clone(), self.now(), question.at_once);
        let (iterator, rows) = match at_once {
            true => (None, scan.await),
            false => match scan.iter().await {
                Ok(iterator) => (Some(iterator), Ok(Vec::new())),
                Err(error) => (None, Err(error)),
            },
        };
        let rows = match rows {
            Ok(rows) => rows.into_iter().map(|(key, stamp)| (name(key), stamp)).collect(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Migrated, "{question:?}: {error}");
                return;
            }
        };
        let of_partition = |(_, partition, offset): (&str, i32, i64)| (partition, offset);
        let position = position().iter().map(of_partition).collect();
        let mut answer =
            Answer { question, life: self.life, opened, ended: opened, position, rows, end: End::Whole };
        let read = async move {
            if let Some(iterator) = iterator {
                answer.end = reader.read_one_by_one(iterator, name, &mut answer.rows).await;
            }
            answer.ended = reader.now();
            reader.answers.lock().expect("nobody panics").push(answer);
            reader.open.fetch_sub(1, Ordering::Relaxed);
        };
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(self.host.spawn(read));
    }

    async fn read_one_by_one<K>(
        &self,
        mut iterator: KeyValueIterator<K, i64>,
        name: fn(K) -> Name,
        rows: &mut Vec<(Name, i64)>,
    ) -> End {
        let host = &self.host;
        let pause_ms = one_of(host, &[0, 0, 1, 20, 500]);
        let (rest_after, gives_up_after) =
            (host.random_below(50), one_of(host, &[u64::MAX, u64::MAX, 1, 30]));
        for count in 0.. {
            if count == gives_up_after {
                return End::GivenUp;
            }
            if count == rest_after {
                host.sleep(Duration::from_millis(host.random_below(8000))).await;
            } else if pause_ms > 0 {
                host.sleep(Duration::from_millis(host.random_below(pause_ms))).await;
            }
            match iterator.next().await {
                Ok(Some((key, stamp))) => rows.push((name(key), stamp)),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Migrated, "{error}");
                    return End::Migrated;
                }
            }
        }
        End::Whole
    }
}

/// Notes what answers have met.
fn note(answers: &[Answer], witness: &mut Witness) {
    for answer in answers {
        witness.saw(match (answer.end, answer.question.kind) {
            (End::GivenUp, _) => "given up",
            (End::Migrated, _) => "ended with its application",
            (End::Whole, Kind::Rows) => "rows",
            (End::Whole, Kind::Windows) => "windows",
            (End::Whole, Kind::Sessions) => "sessions",
        });
        let later = answers.iter().filter(|later| {
            later.life == answer.life
                && later.opened > answer.opened
                && later.opened < answer.ended
                && !later.question.stale
        });
        for later in later {
            let goes_on =
                |(partition, last): (&i32, &i64)| later.position.get(partition).map(|now| now > last);
            for partition in answer.position.iter().filter(|_| !answer.question.stale) {
                match goes_on(partition) {
                    Some(true) => witness.saw("read while records were processed"),
                    None if answer.end == End::Whole => witness.saw("read while its task moved"),
                    _ => {}
                }
            }
        }
        let after = answers.iter().filter(|after| after.life == answer.life && after.opened > answer.ended);
        if answer.end == End::Migrated {
            for after in after {
                assert!(after.end == End::Migrated, "the application goes on after {answer:?}: {after:?}");
            }
        }
    }
}

/// A whole run, judged.
fn run(sim: &Sim, options: &SimOptions, witness: &RefCell<Witness>) {
    witness.borrow_mut().begin_seed();
    let setting = Setting::draw(&sim.node("setting"));
    println!("seed {}: {setting:?}", sim.seed());
    if !setting.troubled {
        sim.set_network(NetworkOptions::default());
    }
    let (answers, lives) = (Arc::new(Mutex::new(Vec::new())), Cell::new(0));
    let life = |host: &Host| {
        let reader = Reader {
            host: host.clone(),
            setting: setting.clone(),
            life: lives.replace(lives.get() + 1),
            open: Arc::default(),
            answers: Arc::clone(&answers),
        };
        async move {
            // Who comes late is given tasks that others have.
            let host = &reader.host;
            host.sleep(Duration::from_millis(host.random_below(one_of(host, &[1, 10_000])))).await;
            let running = reader.setting.streams(host).start().await?;
            reader.ask_until_interrupted(&running).await;
            let closed = running.close().await;
            while reader.open.load(Ordering::Relaxed) > 0 {
                host.sleep(Duration::from_millis(100)).await;
            }
            closed
        }
    };
    let work = async {
        let broker = BrokerProcess::start(sim, &[]);
        let trouble = async {
            let last = sim.node("last");
            create_topic(&last, "records", setting.partitions).await;
            let trouble = Trouble::new(sim, options, &broker, &setting.instances, TROUBLE);
            let trouble = trouble.only_if(setting.troubled);
            let writer = |node| write(sim.node(node), setting.clone());
            let work = async { tokio::join!(writer("writer0"), writer("writer1")) };
            trouble.while_they_live(&["writer0", "writer1"], life, work).await;
            setting.instances.kill(sim);
            Log::new(&all(&last, "records", setting.partitions).await)
        };
        broker.keep_running_while(Box::pin(trouble)).await
    };
    let log = come_to_rest(sim, TROUBLE + REST, work);
    let is_exact = setting.instances.guarantee == ExactlyOnce || !setting.troubled;
    let answers = answers.lock().expect("nobody panics");
    answers.iter().for_each(|answer| judge(&log, answer, is_exact));
    note(&answers, &mut witness.borrow_mut());
}

#[test]
fn iterators_show_one_moment() {
    let witness = RefCell::default();
    for_each_chaos("iterators_show_one_moment", |sim, options| run(sim, options, &witness));
    witness.borrow().must_have_seen([
        "rows",
        "windows",
        "sessions",
        "given up",
        "ended with its application",
        "read while records were processed",
        "read while its task moved",
    ]);
}

#[test]
fn two_runs_of_iterators_are_one() {
    for_some_seeds("two_runs_of_iterators_are_one", |seed| {
        let options = SimOptions::chaos(seed);
        assert_same_trace(seed, &options, |sim| run(sim, &options, &RefCell::default()));
    });
}
