//! Word count from topic to topic, and what the server under it takes.
//!
//! ```text
//! cargo build --release -p anabranch-cli && cargo bench -p anabranch-tests --bench word_count
//! cargo bench -p anabranch-tests --bench word_count -- --bootstrap-server HOST:PORT --lines 500000
//! tests/benchmarks/beside_kafka_streams    # in turns with Kafka Streams, on Apache Kafka
//! ```
//!
//! `--guarantee`, `--commit-ms` and `--cache-bytes` say under which settings, `--partitions` over how many tasks (two for each
//! partition), `--fill-only` and `--no-fill` part the work; state is in memory.
//!
//! Lines of ten words out of ten thousand, few of them frequent, the same in each run. The server is the binary that was
//! built, as a process of its own over TCP, or any broker that runs already. The application's seconds of CPU are this
//! process's; those of the server are its own. Nothing here decides whether a test passes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a program that measures the world it runs in"
)]

use std::time::Instant;

use anabranch::prelude::*;
use anabranch_tests::arguments::Arguments;
use anabranch_tests::server::{Server, cpu_seconds};

const LINES: Topic<Option<String>, String> = Topic::new("benchmark-lines");
const WORDS_PER_LINE: usize = 10;

fn main() {
    let arguments = Arguments::of_this_program();
    let lines = arguments.number("--lines", 200_000) as usize;
    let caches: Vec<String> =
        arguments.value("--cache-bytes").map_or(vec!["0".into(), "10485760".into()], |one| vec![one]);
    let guarantee = arguments.value("--guarantee").unwrap_or("at_least_once".into());
    let commit_ms = arguments.value("--commit-ms").unwrap_or("100".into());
    let partitions = arguments.number("--partitions", 1) as i32;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = arguments
        .value("--bootstrap-server")
        .map_or_else(Server::start, |address| Server::running(address, arguments.value("--server-pid")));
    if !arguments.has("--no-fill") {
        runtime.block_on(fill(&server.address, partitions, lines)).unwrap();
    }
    for cache_bytes in caches.iter().filter(|_| !arguments.has("--fill-only")) {
        let settings = [
            ("processing.guarantee", guarantee.as_str()),
            ("commit.interval.ms", &commit_ms),
            ("statestore.cache.max.bytes", cache_bytes),
        ];
        runtime.block_on(count(&server.address, partitions, lines * WORDS_PER_LINE, settings)).unwrap();
    }
    if server.process_id.is_some() {
        println!("server                        {}", server.figures());
    }
}

/// Counts all words that are there under these settings, and prints what it took.
async fn count(server: &str, partitions: i32, words: usize, settings: [(&str, &str); 3]) -> Result<()> {
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
    let app = Streams::new(&id, builder.build()?).bootstrap_server(server).create_topics(partitions);
    let app = settings.into_iter().fold(app, |app, (key, value)| app.config(key, value)).start().await?;
    app.drain().await?;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds("self") - cpu);
    println!(
        "Anabranch: {guarantee}, commit {commit_ms} ms, cache {cache_bytes} B, {partitions} partitions: {words} words in {seconds:.2} s: {:.0} words/s, \
         {cpu:.2} s of CPU: {:.0} words per CPU second",
        words as f64 / seconds,
        words as f64 / cpu,
    );
    app.close().await
}

/// Writes the lines, if they are not there yet.
async fn fill(server: &str, partitions: i32, lines: usize) -> Result<()> {
    let builder = StreamsBuilder::new();
    builder.stream(LINES).for_each(|_, _| {});
    let filler = Streams::new(format!("benchmark-fill-{}", std::process::id()), builder.build()?);
    let app = filler.bootstrap_server(server).create_topics(partitions).start().await?;
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
