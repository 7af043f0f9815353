//! Word count from topic to topic, and what the server under it takes.
//!
//! ```text
//! cargo build --release -p anabranch-cli && cargo bench -p anabranch-tests --bench word_count
//! cargo bench -p anabranch-tests --bench word_count -- --bootstrap-server HOST:PORT --lines 500000
//! tests/benchmarks/beside_kafka_streams    # in turns with Kafka Streams, on Apache Kafka
//! ```
//!
//! `--guarantee`, `--commit-ms` and `--cache-bytes` say under which settings, `--fill-only` and `--no-fill` part the work; state is
//! in memory.
//!
//! Lines of ten words out of ten thousand, few of them frequent, the same in each run. The server is the binary that was
//! built, as a process of its own over TCP, or any broker that runs already. The application's seconds of CPU are this
//! process's; those of the server are its own. Nothing here decides whether a test passes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program that measures the world it runs in"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anabranch::prelude::*;

const LINES: Topic<Option<String>, String> = Topic::new("benchmark-lines");
const WORDS_PER_LINE: usize = 10;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    let flag = |name: &str| arguments.iter().any(|argument| argument == name);
    let lines: usize = value("--lines").map_or(200_000, |text| text.parse().unwrap());
    let caches: Vec<String> =
        value("--cache-bytes").map_or(vec!["0".into(), "10485760".into()], |one| vec![one]);
    let guarantee = value("--guarantee").unwrap_or("at_least_once".into());
    let commit_ms = value("--commit-ms").unwrap_or("100".into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut server = value("--bootstrap-server").is_none().then(Server::start);
    let address =
        value("--bootstrap-server").or(server.as_ref().map(|server| server.address.clone())).unwrap();
    if !flag("--no-fill") {
        runtime.block_on(fill(&address, lines)).unwrap();
    }
    for cache_bytes in caches.iter().filter(|_| !flag("--fill-only")) {
        let settings = [
            ("processing.guarantee", guarantee.as_str()),
            ("commit.interval.ms", &commit_ms),
            ("statestore.cache.max.bytes", cache_bytes),
        ];
        runtime.block_on(count(&address, lines * WORDS_PER_LINE, settings)).unwrap();
    }
    if let Some(server) = &mut server {
        println!("server                        {}", server.figures());
        server.stop();
    }
}

/// Counts all words that are there under these settings, and prints what it took.
async fn count(server: &str, words: usize, settings: [(&str, &str); 3]) -> Result<()> {
    let [(_, guarantee), (_, commit_ms), (_, cache_bytes)] = settings;
    let id = format!("benchmark-{}-{guarantee}-{cache_bytes}", std::process::id());
    let builder = StreamsBuilder::new();
    builder
        .stream(LINES)
        .flat_map_values(|line| line.split(' ').map(str::to_string).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count()
        .updates()
        .to(Topic::<String, i64>::named(format!("{id}-counts")));
    let (started, cpu) = (Instant::now(), cpu_seconds("self"));
    let app = Streams::new(&id, builder.build()?).bootstrap_server(server).create_topics(1);
    let app = settings.into_iter().fold(app, |app, (key, value)| app.config(key, value)).start().await?;
    app.drain().await?;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds("self") - cpu);
    println!(
        "Anabranch: {guarantee}, commit {commit_ms} ms, cache {cache_bytes} B: {words} words in {seconds:.2} s: {:.0} words/s, \
         {cpu:.2} s of CPU: {:.0} words per CPU second",
        words as f64 / seconds,
        words as f64 / cpu,
    );
    app.close().await
}

/// Writes the lines, if they are not there yet.
async fn fill(server: &str, lines: usize) -> Result<()> {
    let builder = StreamsBuilder::new();
    builder.stream(LINES).for_each(|_, _| {});
    let filler = Streams::new(format!("benchmark-fill-{}", std::process::id()), builder.build()?);
    let app = filler.bootstrap_server(server).create_topics(1).start().await?;
    let producer = app.producer(LINES)?;
    let mut state = 7u64;
    let started = Instant::now();
    for _ in 0..lines {
        let mut line = String::new();
        for _ in 0..WORDS_PER_LINE {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let fraction = (state >> 11) as f64 / (1u64 << 53) as f64;
            line.push_str(if line.is_empty() { "word" } else { " word" });
            line.push_str(&((10_000.0 * fraction.powi(3)) as u64).to_string());
        }
        producer.send(None, line).await?;
    }
    producer.flush().await?;
    println!("filled                        {lines} lines in {:.2} s", started.elapsed().as_secs_f64());
    app.close().await
}

/// The server that was built, as a process of its own.
struct Server {
    process: Child,
    address: String,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        let binary = binary();
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        let process = Command::new(&binary)
            .args(["server", "--listen", &address, "--data-dir"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let server = Server { process, address, _directory: directory };
        first_record(&server.address);
        println!("start to first record         {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        server
    }

    fn figures(&self) -> String {
        let id = self.process.id().to_string();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let cpu = cpu_seconds(&id);
        format!(
            "{cpu:.2} s of CPU, {} MiB resident, {} MiB at most",
            kib("VmRSS") / 1024,
            kib("VmHWM") / 1024
        )
    }

    fn stop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
    }
}

/// Writes one record with our client, as soon as the server takes it.
fn first_record(address: &str) {
    let (host, runtime) = anabranch_host::Host::real(1).unwrap();
    runtime.block_on(async {
        let pairs =
            [("bootstrap.servers", address), ("reconnect.backoff.ms", "1"), ("retry.backoff.ms", "1")];
        let config = anabranch_client::ClientConfig::from_pairs(pairs).unwrap();
        let client = anabranch_client::Client::connect(&host, host.dialer(), config).await.unwrap();
        let config = anabranch_client::ProducerConfig::from_pairs([("linger.ms", "0")]).unwrap();
        let producer = anabranch_client::Producer::new(&client, config).unwrap();
        let record = anabranch_client::ProducerRecord::new("first").value("record");
        producer.send(record).await.unwrap().await.unwrap();
    });
}

/// `target/release/anabranch`, beside this benchmark.
fn binary() -> PathBuf {
    let directory = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_path_buf();
    let binary = directory.join("anabranch");
    assert!(
        binary.exists(),
        "{} is not there: run `cargo build --release -p anabranch-cli` first",
        binary.display()
    );
    binary
}

/// User and system time of a process.
fn cpu_seconds(process: &str) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_SECOND
}
