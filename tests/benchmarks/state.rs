//! How fast state comes back: from the changelog, from the disk after a clean stop and after kill -9, and on a standby.
//!
//! ```text
//! cargo build --release -p anabranch-cli && cargo bench -p anabranch-tests --bench state
//! cargo bench -p anabranch-tests --bench state -- --keys 10000000
//! cargo bench -p anabranch-tests --bench state -- --windowed --retention-minutes 2
//! tests/benchmarks/beside_kafka_streams    # Kafka Streams restores from the same changelog
//! ```
//!
//! The application is the word count of `word_count.rs` over words that all differ; each instance is this program in a process of
//! its own (`--instance`), which says what happens in it. One partition, at least once, commits every 100 ms, no cache. "Ready" is
//! the state RUNNING; CPU is that of the instance's process until then. `--bootstrap-server` uses a broker that runs already and
//! leaves the changelog there, for others to restore from. `--windowed` counts by windows of a minute; the words come over an hour,
//! and the store keeps them for as long as it is told: an hour has three segments of half an hour each, two minutes have sixty of
//! a minute, which have expired where they were counted and come back from the changelog. Nothing here decides whether a test
//! passes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program that measures the world it runs in"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anabranch::prelude::*;
use anabranch_client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::{Host, RealRuntime};
use anabranch_tests::arguments::Arguments;
use anabranch_tests::server::{Server, cpu_seconds};

const APPLICATION: &str = "benchmark-state";
const LINES: Topic<Option<String>, String> = Topic::new("benchmark-state-lines");
const COUNTS: Topic<String, i64> = Topic::new("benchmark-state-counts");
const WORDS_PER_LINE: usize = 10;
/// The words come over so long a time.
const SPAN_MS: usize = 3_600_000;

fn main() {
    let arguments = Arguments::of_this_program();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(directory) = arguments.value("--instance") {
        let server = arguments.value("--bootstrap-server").unwrap();
        let in_memory = arguments.has("--in-memory");
        let retention =
            arguments.has("--windowed").then(|| minutes(arguments.number("--retention-minutes", 60)));
        runtime.block_on(instance(&server, &directory, in_memory, retention)).unwrap();
        return;
    }
    let keys = arguments.number("--keys", 4_000_000) as usize;
    let server = arguments
        .value("--bootstrap-server")
        .map_or_else(Server::start, |address| Server::running(address, None));
    let directories = tempfile::tempdir().unwrap();
    let (first, second) = (directories.path().join("first"), directories.path().join("second"));
    let retention = arguments.number("--retention-minutes", 60).to_string();
    let windowed = ["--windowed", "--retention-minutes", &retention];
    let windowed = if arguments.has("--windowed") { &windowed[..] } else { &[] };
    let start = |directory: &Path, more: &[&str]| {
        Instance::start(&server.address, directory, &[windowed, more].concat())
    };
    // It makes the topic of the lines, and does nothing else.
    let builder = StreamsBuilder::new();
    builder.stream(LINES).for_each(|_, _| {});
    let filler =
        Streams::new(format!("benchmark-state-fill-{}", std::process::id()), builder.build().unwrap());
    let _filler =
        runtime.block_on(filler.bootstrap_server(&server.address).create_topics(1).start()).unwrap();
    let lines = Lines::new(&runtime, &server.address, keys);
    let fill = |words| runtime.block_on(lines.send(words));

    fill(0..keys);
    let mut counting = start(&first, &[]);
    counting.ready();
    println!("counted                       {keys} keys, {}", counting.ask("drain"));
    counting.close();

    let mut again = start(&first, &[]);
    println!("ready after a clean stop      {}", again.ready());
    // Killed while it counts: words that are there already, so that their counts change; the last ones, which are not late.
    fill(keys - keys / 20..keys);
    std::thread::sleep(Duration::from_millis(300));
    again.kill();
    let mut again = start(&first, &[]);
    println!("ready after kill -9           {}", again.ready());
    again.ask("drain");
    again.close();

    for (what, more) in [("on disk", &[][..]), ("in memory", &["--in-memory"][..])] {
        runtime.block_on(lines.until_nobody_counts());
        let mut restored = start(&directories.path().join(what), more);
        println!("restored, {what:<20}{}", restored.ready());
        restored.close();
    }
    runtime.block_on(lines.until_nobody_counts());
    if arguments.has("--bootstrap-server") {
        return;
    }

    // The second follows what the first has; the first is killed.
    let mut active = start(&first, &[]);
    active.ready();
    let mut standby = start(&second, &[]);
    standby.ready();
    standby.ask("until-warm");
    fill(keys.saturating_sub(1000)..keys);
    active.ask("drain");
    active.kill();
    println!("the standby goes on           {}", standby.ask("until-taken-over"));
    standby.close();
}

/// Writes lines of words.
struct Lines {
    client: Client,
    producer: Producer,
    keys: usize,
    /// When the first word came.
    start_ms: i64,
    _threads: RealRuntime,
}

impl Lines {
    fn new(runtime: &tokio::runtime::Runtime, server: &str, keys: usize) -> Lines {
        let (host, threads) = Host::real(1).unwrap();
        let config = ClientConfig { bootstrap_servers: vec![server.to_owned()], ..ClientConfig::default() };
        let client = runtime.block_on(Client::connect(&host, host.dialer(), config)).unwrap();
        let producer = Producer::new(&client, ProducerConfig::default()).unwrap();
        let now_ms = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
        Lines { client, producer, keys, start_ms: now_ms - SPAN_MS as i64, _threads: threads }
    }

    async fn send(&self, words: std::ops::Range<usize>) {
        let (topic, mut line) = (LINES.name().to_owned(), String::new());
        for word in words.clone() {
            line.push_str(&format!("{}w{word}", if line.is_empty() { "" } else { " " }));
            if word % WORDS_PER_LINE == WORDS_PER_LINE - 1 || word + 1 == words.end {
                let timestamp = self.start_ms + (word * SPAN_MS / self.keys) as i64;
                let record = ProducerRecord::new(&topic).value(line.as_bytes()).timestamp(timestamp);
                // What becomes of it `flush` tells.
                drop(self.producer.send(record).await.unwrap());
                line.clear();
            }
        }
        self.producer.flush().await.unwrap();
    }

    /// Waits until the application's group has no member: those of lasting names are in it until they are missed, and who
    /// comes meanwhile waits for their tasks.
    async fn until_nobody_counts(&self) {
        while !self.client.admin().describe_group(APPLICATION).await.unwrap().members.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// An instance of the application in a process of its own.
struct Instance {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Instance {
    fn start(server: &str, directory: &Path, more: &[&str]) -> Instance {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--bootstrap-server", server, "--instance"])
            .arg(directory)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Instance { process, orders, answers: BufReader::new(answers) }
    }

    fn ready(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ask(&mut self, what: &str) -> String {
        writeln!(self.orders, "{what}").unwrap();
        self.ready()
    }

    fn close(mut self) {
        self.ask("close");
        self.process.wait().unwrap();
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// What such a process does.
async fn instance(server: &str, directory: &str, in_memory: bool, retention: Option<Duration>) -> Result<()> {
    let builder = StreamsBuilder::new();
    let words = builder
        .stream(LINES)
        .flat_map_values(|line| line.split(' ').map(str::to_string).collect::<Vec<_>>())
        .group_by(|_, word| word.clone());
    match retention {
        None => {
            let counts = Store::<KeyValue<String, i64>>::named("counts");
            words.count_with(if in_memory { counts.in_memory() } else { counts }).updates().to(COUNTS);
        }
        Some(retention) => {
            let counts = Store::<Windows<String, i64>>::named("counts");
            words
                .windowed_by(Tumbling::of(minutes(1)).grace(retention.saturating_sub(minutes(1))))
                .count_with(if in_memory { counts.in_memory() } else { counts })
                .updates()
                .map(|word, count| (word.key.clone(), count))
                .to(COUNTS);
        }
    }
    let (started, applied, changes) = (Instant::now(), Arc::new(AtomicU64::new(0)), Changes::default());
    let name = Path::new(directory).file_name().unwrap().to_string_lossy().into_owned();
    let app = Streams::new(APPLICATION, builder.build()?)
        .bootstrap_server(server)
        .create_topics(1)
        .state_dir(directory)
        .config("group.instance.id", name)
        .config("num.standby.replicas", if in_memory { 0 } else { 1 })
        .config("commit.interval.ms", 100)
        .config("statestore.cache.max.bytes", 0)
        .config("consumer.session.timeout.ms", 6000)
        .config("consumer.heartbeat.interval.ms", 500)
        .on_restore({
            let applied = Arc::clone(&applied);
            move |event| {
                if let RestoreEvent::Batch { records, .. } = event {
                    applied.fetch_add(*records, Ordering::Relaxed);
                }
            }
        })
        .on_state_change({
            let changes = changes.clone();
            move |_, to| changes.0.lock().unwrap().push((to, SystemTime::now()))
        })
        .start()
        .await?;
    while app.state() != State::Running {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds("self"));
    let restored = applied.load(Ordering::Relaxed);
    println!(
        "{seconds:.2} s, {cpu:.2} s of CPU; {restored} records read again: {:.2} M/s, {:.2} M per CPU second",
        restored as f64 / seconds / 1e6,
        restored as f64 / cpu / 1e6
    );
    for order in std::io::stdin().lines() {
        match order.unwrap().as_str() {
            "drain" => {
                app.drain().await?;
                println!("{:.2} s, {:.2} s of CPU", started.elapsed().as_secs_f64(), cpu_seconds("self"));
            }
            "until-warm" => {
                while !app.tasks().iter().any(|task| task.is_standby && task.records_behind == Some(0)) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                println!("warm");
            }
            "until-taken-over" => {
                changes.0.lock().unwrap().clear();
                while !app.tasks().iter().all(|task| task.is_running) || app.state() != State::Running {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                println!("{}", changes.told());
            }
            _ => break,
        }
    }
    app.close().await?;
    println!("closed");
    Ok(())
}

/// The states an instance went through, and when.
#[derive(Clone, Default)]
struct Changes(Arc<std::sync::Mutex<Vec<(State, SystemTime)>>>);

impl Changes {
    /// How long it took from the first change to the last.
    fn told(&self) -> String {
        let changes = self.0.lock().unwrap();
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return "at once".into() };
        let took = last.1.duration_since(first.1).unwrap_or_default();
        format!("{:.3} s after its new assignment ({:?} to {:?})", took.as_secs_f64(), first.0, last.0)
    }
}
