//! The application under test, and the process that runs an instance of it.
//!
//! The process is this test binary once more: [`INSTANCE`] in its environment makes it an instance, which obeys lines on its
//! standard input and answers most of them with a line on its standard output. It ends when its standard input does.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch::prelude::*;
use tokio::sync::mpsc;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::judge::Rows;

/// The settings of the instance that this process is to run, a `key=value` a line. Two are not Kafka Streams':
/// `application.id` and `bootstrap.servers`.
pub(crate) const INSTANCE: &str = "ANABRANCH_INSTANCE";
/// Every topic has so many.
pub(crate) const PARTITIONS: i32 = 3;
/// Records meet whose times are no farther apart; windows are as long.
pub(crate) const WINDOW_MS: i64 = 1000;
/// Records of a session are no farther apart.
pub(crate) const GAP_MS: i64 = 100;
/// How long windows take late records whose results come once: longer than any is late.
pub(crate) const GRACE_MS: i64 = 10_000;
/// What opens each answer; before it may stand what the test's runner has to say.
pub(crate) const ANSWER: &str = "answer: ";

const SUMS: Store<KeyValue<String, String>> = Store::named("sums");
const COUNTS: Store<Windows<String, i64>> = Store::named("counts");

/// The sum after this number: how many there were, and a hash of them in their order.
pub(crate) fn add(sum: &str, number: i64) -> String {
    let (count, hash) = sum.split_once(' ').unwrap_or(("0", "0"));
    let (count, hash): (u64, u64) = (count.parse().expect("a count"), hash.parse().expect("a hash"));
    let hash = (hash ^ number as u64).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    format!("{} {hash}", count + 1)
}

/// What the left record is counted as.
pub(crate) fn group(key: &str, number: i64) -> String {
    format!("{key} {}", number % 3)
}

/// A key and its window as the output has them.
fn windowed(key: &Windowed<String>) -> String {
    format!("{} {}", key.key, key.window.start_ms)
}

/// An aggregation that depends on the order, a join of two streams, a windowed count behind a repartition, sessions, results
/// that wait until their window closes, a global table and versions of rows. Values are numbers that no other record has.
pub(crate) fn topology(id: &str) -> Topology {
    let builder = StreamsBuilder::new();
    let name = |name: &str| format!("{id}-{name}");
    let stream = |topic: &str| builder.stream(Topic::<String, i64>::named(name(topic)));
    let numbers = stream("numbers");
    numbers
        .group_by_key()
        .aggregate_with(String::new, |_, number, sum| add(&sum, number), SUMS)
        .updates()
        .to(name("sums"));
    let (left, right) = (stream("left"), stream("right"));
    let within = JoinWindows::of(millis(WINDOW_MS as u64)).grace(hours(24));
    left.join(&right, within, |left, right| format!("{left} {right}")).to(name("pairs"));
    left.group_by(|key, number| group(key, *number))
        .windowed_by(Tumbling::of(millis(WINDOW_MS as u64)).grace(hours(24)))
        .count_with(COUNTS)
        .updates()
        .map(|key, count| (windowed(&key), count))
        .to(name("counts"));
    let sessions = left.group_by_key().windowed_by(Session::gap(millis(GAP_MS as u64)).grace(hours(24)));
    let sessions = sessions.count_with(Store::named("sessions"));
    // What is deleted has no records.
    let of_session = |key: Windowed<String, SessionWindow>, count: Option<i64>| {
        let SessionWindow { start_ms, end_ms } = key.window;
        (format!("{} {start_ms} {end_ms}", key.key), count.unwrap_or(0))
    };
    sessions.to_stream().map(of_session).to(name("sessions"));
    let closing = Tumbling::of(millis(WINDOW_MS as u64)).grace(millis(GRACE_MS as u64));
    // So long that records which are read again are not too old for it.
    let closing =
        left.group_by_key().windowed_by(closing).count_with(Store::named("closing").retention(hours(24)));
    let finals = closing.suppress(until_window_closes()).named("finals");
    finals.updates().map(|key, count| (windowed(&key), count)).to(name("finals"));
    let places = builder.global_table(Topic::<String, i64>::named(name("places")));
    right
        .left_join_global(&places, |key, _| key.clone(), |right, place| format!("{right} {place:?}"))
        .to(name("placed"));
    let rows = Store::<Versioned<String, i64>>::named("rows").history(hours(24));
    let rows = builder.table_with(Topic::<String, i64>::named(name("rows")), rows);
    numbers.left_join_table(&rows, |number, row| format!("{number} {row:?}")).to(name("answers"));
    builder.build().expect("a valid topology")
}

/// Runs the instance that these settings describe, until it is told to stop or fails.
pub(crate) fn run(settings: &str) {
    let targets: Targets = "warn,anabranch=debug".parse().expect("targets");
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines).with(targets).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let ended = runtime.block_on(serve(settings));
    if let Err(error) = ended {
        eprintln!("the instance has ended: {}", in_full(&error));
        std::process::exit(1);
    }
    answer("closed");
    std::process::exit(0);
}

fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_full(source)),
        None => error.to_string(),
    }
}

fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever does not hear it is gone.
    let _ = writeln!(out, "\n{ANSWER}{text}").and_then(|()| out.flush());
}

/// What is asked on standard input. Its end ends this process: nobody is left to end it.
#[allow(clippy::disallowed_methods, reason = "standard input is read by a thread")]
fn questions() -> mpsc::UnboundedReceiver<String> {
    let (sender, questions) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                return;
            }
        }
        std::process::exit(2);
    });
    questions
}

async fn serve(settings: &str) -> Result<()> {
    let mut questions = questions();
    let pairs = || settings.lines().filter_map(|line| line.split_once('='));
    let of =
        |wanted: &str| pairs().find(|(key, _)| *key == wanted).map(|(_, value)| value).expect("a setting");
    let (restored, counted) = (Arc::new(AtomicU64::new(0)), |event: &RestoreEvent| match event {
        RestoreEvent::Batch { records, .. } => *records,
        _ => 0,
    });
    let (failed, mut failure) = mpsc::unbounded_channel();
    let id = of("application.id");
    let mut streams = Streams::new(id, topology(id))
        .bootstrap_server(of("bootstrap.servers"))
        .create_topics(PARTITIONS)
        .on_deserialization_error(fail())
        .on_processing_error(fail())
        .on_production_error(fail())
        .on_state_change(move |state, _| {
            if state == State::Error {
                let _ = failed.send(());
            }
        })
        .on_restore({
            let restored = Arc::clone(&restored);
            move |event| {
                restored.fetch_add(counted(event), Ordering::Relaxed);
            }
        });
    for (key, value) in pairs().filter(|(key, _)| !["application.id", "bootstrap.servers"].contains(key)) {
        streams = streams.config(key, value);
    }
    let running = streams.start().await?;
    answer("started");
    loop {
        let question = tokio::select! {
            biased;
            _ = failure.recv() => return running.close().await,
            question = questions.recv() => question,
        };
        match question.as_deref() {
            Some("drain") => {
                running.drain().await?;
                answer("drained");
            }
            Some("stores") => {
                let sums: Rows<String> = running.store(SUMS)?.all().await?.into_iter().collect();
                let counts = running.store(COUNTS)?.all().await?.into_iter();
                let counts: Rows<i64> = counts.map(|(key, count)| (windowed(&key), count)).collect();
                answer(&serde_json::to_string(&(sums, counts)).expect("text and numbers"));
            }
            Some("tasks") => {
                let running: Vec<_> = running.tasks();
                let active = running.iter().filter(|task| !task.is_standby && task.is_running);
                let active: Vec<String> = active.map(|task| task.task.to_string()).collect();
                answer(&active.join(" "));
            }
            // Nobody waits for these, and there may be nothing to take away.
            Some("more") => drop(running.add_thread().await),
            Some("fewer") => drop(running.remove_thread().await),
            Some("restored") => answer(&restored.load(Ordering::Relaxed).to_string()),
            Some("close") | None => return running.close().await,
            Some(other) => panic!("{other} is no question"),
        }
    }
}
