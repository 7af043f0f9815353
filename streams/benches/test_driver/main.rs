//! Records a second through the test driver on one core, piping and reading included, and what a hop costs.
//!
//! ```text
//! cargo bench -p anabranch                            # all
//! cargo bench -p anabranch -- keyed_count             # those whose name holds the words
//! ```
//!
//! To compare two states of the code, keep the program of the one and run both in turn, several times. To count
//! instructions instead, which no neighbour disturbs, start the program itself under a profiler with `--rounds=200` and
//! again with `--rounds=100`, and take the difference: of so many rounds of a thousand records, all stores warm.
//!
//! Times are CPU time of the measuring thread: they hold on a machine that others use as well. All stores are in memory;
//! what they log is read and thrown away. The goals, in records a second: `filter_map_values` 5 M, `keyed_count` 3 M,
//! `tumbling_count` and `stream_stream_join` 1 M. A hop is a sixteenth of the difference between `hop/17` and `hop/1`:
//! at most 10 ns above what the closure takes.
#![allow(clippy::unwrap_used, reason = "a benchmark: what fails ends it")]

mod cpu_time;

use std::hint::black_box;

use anabranch::prelude::*;
use cpu_time::measure;

const CLICKS: Topic<String, i64> = Topic::new("clicks");
const VIEWS: Topic<String, i64> = Topic::new("views");
const OUT: Topic<String, i64> = Topic::new("out");
const LINES: Topic<Option<String>, String> = Topic::new("lines");

/// Records piped an iteration.
const RECORDS: usize = 1_000;
const KEYS: usize = 1_000;

/// What is to be measured.
struct Bench {
    /// Parts of names; none for all.
    words: Vec<String>,
    measures: bool,
    /// Rounds to run where nothing is measured.
    rounds: usize,
}

impl Bench {
    /// Measures what pipes [`RECORDS`] records.
    fn run(&self, name: &str, mut run: impl FnMut()) {
        if !self.words.is_empty() && !self.words.iter().any(|word| name.contains(word)) {
            return;
        }
        if !self.measures {
            return (0..self.rounds).for_each(|_| run());
        }
        let (low, median) = measure(run);
        let nanos = |time: std::time::Duration| time.as_nanos() as f64 / RECORDS as f64;
        let rate = 1e3 / nanos(median);
        println!("{name:<20} {rate:7.2} M records/s   {:7.1} ns (low {:.1})", nanos(median), nanos(low));
    }
}

/// Keys of eleven bytes in an order of their own; the same ones in each run.
fn keys() -> Vec<String> {
    let mut state = 7u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("user-{:06}", (state >> 33) as usize % KEYS)
    };
    (0..RECORDS).map(|_| next()).collect()
}

fn drain<K: Item, V: Item>(output: &TestOutput<K, V>) -> usize {
    std::iter::from_fn(|| output.read()).map(black_box).count()
}

/// A driver that forgets what was read of changelogs, too.
fn driver(builder: &StreamsBuilder) -> TestDriver {
    TestDriver::with(&builder.build().unwrap(), TestConfig::new().keep_changelogs(false)).unwrap()
}

fn throw_away(driver: &TestDriver, topics: &[String]) {
    for topic in topics {
        while driver.read_raw(topic).is_some() {}
    }
}

/// Clicks in, one topic out; time goes on by a millisecond a record.
fn one_to_one<K: Item, V: Item>(bench: &Bench, name: &str, builder: &StreamsBuilder, out: &Topic<K, V>) {
    let driver = driver(builder);
    let (input, output, keys) = (driver.input(CLICKS), driver.output(out), keys());
    let mut time = 0;
    bench.run(name, || {
        for key in &keys {
            time += 1;
            input.pipe_at(time, key.as_str(), time);
            drain(&output);
        }
    });
}

fn filter_map_values(bench: &Bench) {
    let builder = StreamsBuilder::new();
    builder.stream(CLICKS).filter(|_, n| n % 8 != 0).map_values(|n| n * 3).to(OUT);
    one_to_one(bench, "filter_map_values", &builder, &OUT);
}

fn keyed_count(bench: &Bench) {
    let builder = StreamsBuilder::new();
    let counts: Store<KeyValue<String, i64>> = Store::named("counts").in_memory().logging(false);
    builder.stream(CLICKS).group_by_key().count_with(counts).updates().to(OUT);
    one_to_one(bench, "keyed_count", &builder, &OUT);
}

fn tumbling_count(bench: &Bench) {
    let builder = StreamsBuilder::new();
    let counts: Store<Windows<String, i64>> =
        Store::named("counts").in_memory().logging(false).retention(seconds(60));
    let windows = Tumbling::of(seconds(10)).grace(seconds(5));
    let out: Topic<Windowed<String>, i64> =
        Topic::with_serdes("out", windowed(text(), seconds(10)), big_endian());
    builder.stream(CLICKS).group_by_key().windowed_by(windows).count_with(counts).updates().to(&out);
    one_to_one(bench, "tumbling_count", &builder, &out);
}

/// Clicks and views in turn: each meets one record of the other side on average.
fn stream_stream_join(bench: &Bench) {
    let builder = StreamsBuilder::new();
    let (clicks, views) = (builder.stream(CLICKS), builder.stream(VIEWS));
    clicks.join(&views, JoinWindows::of(seconds(1)).grace(seconds(1)), |click, view| click + view).to(OUT);
    let driver = driver(&builder);
    let (clicks, views) = (driver.input(CLICKS), driver.input(VIEWS));
    let (output, keys) = (driver.output(OUT), keys());
    clicks.pipe("user-000000", 0);
    views.pipe("user-000000", 0);
    drain(&output);
    let changelogs = driver.produced_topics().into_iter().filter(|topic| topic.ends_with("changelog"));
    let changelogs: Vec<String> = changelogs.collect();
    let mut time = 0;
    bench.run("stream_stream_join", || {
        for (n, key) in keys.iter().enumerate() {
            time += 1;
            let input = if n % 2 == 0 { &clicks } else { &views };
            input.pipe_at(time, key.as_str(), time);
            drain(&output);
            throw_away(&driver, &changelogs);
        }
    });
}

/// Lines of ten words through a repartition topic. Figures are of words.
fn word_count(bench: &Bench) {
    let builder = StreamsBuilder::new();
    builder
        .stream(LINES)
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count()
        .updates()
        .to(OUT);
    let driver = driver(&builder);
    let (input, output, keys) = (driver.input(LINES), driver.output(OUT), keys());
    let lines: Vec<String> = keys.chunks(10).map(|words| words.join(" ")).collect();
    input.pipe(None, "first");
    let internal: Vec<String> =
        driver.produced_topics().into_iter().filter(|topic| topic.starts_with("app-")).collect();
    bench.run("word_count", || {
        for line in &lines {
            input.pipe(None, line.as_str());
            drain(&output);
            throw_away(&driver, &internal);
        }
    });
}

/// A filter that lets all pass, and a map of values, once and seventeen times.
fn hops(bench: &Bench) {
    for kind in ["filter", "map_values"] {
        for hops in [1, 17] {
            let builder = StreamsBuilder::new();
            let mut stream = builder.stream(CLICKS);
            for _ in 0..hops {
                stream = match kind {
                    "filter" => stream.filter(|_, n| *n >= 0),
                    _ => stream.map_values(|n| n ^ 1),
                };
            }
            stream.filter(|_, n| *n < 0).to(OUT);
            let driver = driver(&builder);
            let (input, keys) = (driver.input(CLICKS), keys());
            let name = format!("hop/{kind}/{hops}");
            bench.run(&name, || keys.iter().for_each(|key| input.pipe(key.as_str(), 1)));
        }
    }
}

fn main() {
    // Cargo says `--bench` when it benches; else, as in `cargo test --benches`, one round shows that all runs.
    let (options, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with('-'));
    let rounds = options.iter().find_map(|option| option.strip_prefix("--rounds=")?.parse().ok());
    let measures = options.iter().any(|option| option == "--bench") && rounds.is_none();
    let bench = Bench { words, measures, rounds: rounds.unwrap_or(1) };
    filter_map_values(&bench);
    keyed_count(&bench);
    tumbling_count(&bench);
    stream_stream_join(&bench);
    word_count(&bench);
    hops(&bench);
}
