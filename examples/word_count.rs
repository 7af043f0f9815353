//! Counts the words of a text: the first program of every stream processor, and nothing in it is a toy.
//!
//! ```text
//! cargo run --release --example word_count                      # the words of the README, on a broker in this process
//! cargo run --release --example word_count -- --input FILE      # of any text; `-` is standard input
//! ```
//!
//! ```text
//! $ echo "to be or not to be" | cargo run --release --example word_count -- --input -
//! ──────────────
//!  word   count
//! ══════════════
//!  be     2
//! ──────────────
//!  to     2
//! ──────────────
//!  not    1
//! ──────────────
//!  or     1
//! ──────────────
//! 1 lines, 6 words, 4 distinct words, 0.01 seconds, 556 words a second
//! ```
//!
//! Lines go to the topic `lines`. The topology splits them into words and groups these by word, which leads through a
//! repartition topic, since a word lives in one partition whatever line it came from; it counts them in the store
//! `word-counts` and writes each new count to the topic `counts`.

#![allow(
    clippy::disallowed_methods,
    reason = "a program of a user's: its files, threads and clock are its own"
)]

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anabranch::prelude::*;
use anyhow::{Context, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

const LINES: Topic<Option<String>, String> = Topic::new("lines");
const COUNTS: Topic<String, i64> = Topic::new("counts");
const WORD_COUNTS: Store<KeyValue<String, i64>> = Store::named("word-counts");

/// How many words the table shows.
const MOST_FREQUENT: usize = 20;

fn topology() -> anabranch::Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream(LINES)
        .flat_map_values(|line| words(&line).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(WORD_COUNTS)
        .updates()
        .to(COUNTS);
    builder.build()
}

/// A word is a maximal run of letters and digits, in lower case.
fn words(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Counts the words of a text, on a broker in this process or on a running one.
#[derive(Parser)]
#[command(name = "word_count")]
struct Arguments {
    /// The text: a file, or `-` for standard input. Without it, the README.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print every `word<TAB>count`, sorted by word, and nothing else.
    #[arg(long)]
    all: bool,
    /// Keep broker and state here: the next run goes on counting where this one ends.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A setting by Kafka Streams' key, `processing.guarantee=exactly_once_v2` say; may be given many times.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Use this broker, ours or Apache Kafka, instead of one in this process.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap_server: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("word_count: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut text = Text::open(arguments)?;
    let mut streams =
        Streams::new("word-count", topology()?).create_topics(1).config("commit.interval.ms", 100);
    for setting in &arguments.config {
        let (key, value) = setting.split_once('=').with_context(|| format!("{setting} is not KEY=VALUE"))?;
        streams = streams.config(key, value);
    }
    if let Some(server) = &arguments.bootstrap_server {
        streams = streams.bootstrap_server(server);
    }
    if let Some(directory) = &arguments.data_dir {
        streams = streams.data_dir(directory);
    }
    let bar = restore_bar();
    let app = streams.on_restore(show(&bar)).start().await?;
    bar.finish_and_clear();
    let started = Instant::now();
    let counted = if text.is_interactive() && !arguments.all {
        count_while_typed(&app, text).await
    } else {
        count_all(&app, &mut text).await
    };
    let report = match counted {
        Ok(read) => report(&app, arguments, &read, started.elapsed()).await,
        Err(error) => Err(error),
    };
    // A clean stop even after an error: what was counted is kept.
    app.close().await?;
    report
}

/// How far the counts of an earlier run have come back, where somebody watches.
fn restore_bar() -> ProgressBar {
    match ProgressStyle::with_template("{bar:40} {pos}/{len} restoring") {
        Ok(style) if std::io::stderr().is_terminal() => ProgressBar::new(0).with_style(style),
        _ => ProgressBar::hidden(),
    }
}

/// Moves the bar by what is told of changelogs. Compacted ones have fewer records than offsets.
fn show(bar: &ProgressBar) -> impl Fn(&RestoreEvent) + Send + Sync + 'static {
    let bar = bar.clone();
    move |event| match event {
        RestoreEvent::Start { from, to, .. } => bar.inc_length(u64::try_from(to - from).unwrap_or(0)),
        RestoreEvent::Batch { records, .. } => bar.inc(*records),
        RestoreEvent::End { .. } | RestoreEvent::Suspended { .. } => {}
    }
}

/// What was read.
#[derive(Default)]
struct Read {
    lines: u64,
    words: u64,
}

/// Sends the whole text, then waits until it is counted. Ctrl-c ends it early, and cleanly.
async fn count_all(app: &RunningStreams, text: &mut Text) -> anyhow::Result<Read> {
    let lines = app.producer(LINES)?;
    let mut read = Read::default();
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let bar = text.progress_bar();
    while let Some(line) = text.next_line()? {
        read.lines += 1;
        read.words += words(&line).count() as u64;
        bar.inc(line.len() as u64 + 1);
        lines.send(None, line).await?;
        if read.lines % 1024 == 0 && futures_ready(stop.as_mut()).await {
            break;
        }
    }
    lines.flush().await?;
    bar.set_message("counting");
    tokio::select! {
        biased;
        drained = app.drain() => drained?,
        _ = stop => {}
    }
    bar.finish_and_clear();
    Ok(read)
}

/// Whether a future is ready by now.
async fn futures_ready(future: impl Future<Output = std::io::Result<()>>) -> bool {
    tokio::time::timeout(Duration::ZERO, future).await.is_ok()
}

/// Shows each count as it changes, until ctrl-d or ctrl-c.
async fn count_while_typed(app: &RunningStreams, mut text: Text) -> anyhow::Result<Read> {
    eprintln!("Type lines; ctrl-d ends.");
    let mut counts = app.consumer(COUNTS).await?;
    let (sender, mut typed) = tokio::sync::mpsc::unbounded_channel();
    // Reading a terminal blocks, so it has a thread of its own; it ends with the process.
    std::thread::spawn(move || {
        while let Ok(Some(line)) = text.next_line() {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let lines = app.producer(LINES)?;
    let mut read = Read::default();
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            biased;
            _ = &mut stop => break,
            changed = counts.next() => {
                let changed = changed?;
                println!("{}\t{}", changed.key, changed.value);
            }
            line = typed.recv() => {
                let Some(line) = line else { break };
                read.lines += 1;
                read.words += words(&line).count() as u64;
                lines.send(None, line).await?;
                lines.flush().await?;
            }
        }
    }
    app.drain().await?;
    Ok(read)
}

async fn report(
    app: &RunningStreams,
    arguments: &Arguments,
    read: &Read,
    took: Duration,
) -> anyhow::Result<()> {
    // In the order of the words.
    let mut counts = app.store(WORD_COUNTS)?.all().await?;
    let mut out = std::io::stdout().lock();
    if arguments.all {
        for (word, count) in counts {
            writeln!(out, "{word}\t{count}")?;
        }
        return Ok(());
    }
    let distinct = counts.len();
    counts.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(["word", "count"]);
    for (word, count) in counts.iter().take(MOST_FREQUENT) {
        table.add_row([word.clone(), count.to_string()]);
    }
    writeln!(out, "{table}")?;
    let seconds = took.as_secs_f64();
    let (lines, words) = (read.lines, read.words);
    let rate = words as f64 / seconds.max(1e-9);
    writeln!(
        out,
        "{lines} lines, {words} words, {distinct} distinct words, {seconds:.2} seconds, {rate:.0} words a second"
    )?;
    Ok(())
}

/// The text, line by line.
struct Text {
    reader: Box<dyn BufRead + Send>,
    name: String,
    bytes: Option<u64>,
    interactive: bool,
}

impl Text {
    fn open(arguments: &Arguments) -> anyhow::Result<Text> {
        let readme = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"));
        let path = arguments.input.as_ref().unwrap_or(&readme);
        if path.as_os_str() == "-" {
            let interactive = std::io::stdin().is_terminal();
            let reader = Box::new(std::io::BufReader::new(std::io::stdin()));
            return Ok(Text { reader, name: "standard input".to_string(), bytes: None, interactive });
        }
        let name = path.display().to_string();
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
        let metadata = file.metadata().with_context(|| format!("cannot read {name}"))?;
        if metadata.is_dir() {
            bail!("cannot read {name}: it is a directory, give a text file");
        }
        if metadata.is_file() && metadata.len() == 0 {
            bail!("{name} is empty: there is nothing to count");
        }
        let reader = Box::new(std::io::BufReader::with_capacity(1 << 16, file));
        Ok(Text { reader, name, bytes: Some(metadata.len()), interactive: false })
    }

    fn is_interactive(&self) -> bool {
        self.interactive
    }

    fn next_line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = Vec::new();
        let count =
            self.reader.read_until(b'\n', &mut line).with_context(|| format!("cannot read {}", self.name))?;
        if count == 0 {
            return Ok(None);
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        match String::from_utf8(line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => bail!("{} is no UTF-8 text: convert it first, with `iconv` say", self.name),
        }
    }

    fn progress_bar(&self) -> ProgressBar {
        let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg}");
        match (self.bytes, style) {
            (Some(bytes), Ok(style)) if std::io::stderr().is_terminal() => {
                ProgressBar::new(bytes).with_style(style).with_message("sending")
            }
            _ => ProgressBar::hidden(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let check =
            |line: &str, expected: &[&str]| assert_eq!(words(line).collect::<Vec<_>>(), expected, "{line}");
        check("", &[]);
        check("To be, or NOT to be!", &["to", "be", "or", "not", "to", "be"]);
        check("--x2--3y", &["x2", "3y"]);
        check("Grüße aus Łódź, 東京", &["grüße", "aus", "łódź", "東京"]);
    }

    #[test]
    fn counts_are_updated_word_by_word() -> anyhow::Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        driver.input(LINES).pipe(None, "to be or not to be");
        let counts = driver.output(COUNTS).read_key_values();
        assert_eq!(counts.last(), Some(&("be".to_string(), 2)));
        let kept: Vec<_> = driver.store(WORD_COUNTS)?.all()?.collect();
        let expected = [("be", 2), ("not", 1), ("or", 1), ("to", 2)];
        assert_eq!(kept, expected.map(|(word, count)| (word.to_string(), count)));
        Ok(())
    }
}
