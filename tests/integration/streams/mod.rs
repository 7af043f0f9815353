//! Applications as a user runs them: on a broker in the process, and on Apache Kafka when `ANABRANCH_KAFKA=host:port`
//! names one. Nothing sleeps: `drain` says when everything written is counted.

mod bad_input;
mod beginnings;
mod chosen_topics;
mod consistent;
mod control;
mod engines;
mod errors;
mod exactly_once;
mod foreign_keys;
mod global_stores;
mod global_tables;
mod growth;
mod idling;
mod instances;
mod iterators;
mod killed;
mod memory;
mod metrics;
mod optimized;
mod outside;
mod patterns;
mod place;
mod positions;
mod processors;
mod production;
mod purge;
mod queries;
mod restart;
mod stale;
mod standbys;
mod state_dir;
mod stuck;
mod told;
mod uncaught;
mod windows;
mod word_count;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch::prelude::*;

/// An application of a test: its own topics and id, so that tests share a broker and runs share a Kafka.
pub(crate) struct App {
    name: String,
}

pub(crate) const COUNTS: Store<KeyValue<String, i64>> = Store::named("word-counts");

impl App {
    pub(crate) fn new(test: &str) -> App {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let process = std::process::id();
        App { name: format!("{test}-{process}-{}", NEXT.fetch_add(1, Ordering::Relaxed)) }
    }

    pub(crate) fn id(&self) -> &str {
        &self.name
    }

    pub(crate) fn lines(&self) -> Topic<Option<String>, String> {
        Topic::named(format!("{}-lines", self.name))
    }

    pub(crate) fn counts(&self) -> Topic<String, i64> {
        Topic::named(format!("{}-counts", self.name))
    }

    /// Word count over this application's topics.
    pub(crate) fn word_count(&self) -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream(self.lines())
            .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
            .group_by(|_, word| word.clone())
            .count_with(COUNTS)
            .updates()
            .to(self.counts());
        builder.build().expect("a valid topology")
    }

    /// The topology, ready to start where the tests run.
    pub(crate) fn streams(&self, topology: Topology) -> Streams {
        let streams = Streams::new(self.id(), topology).create_topics(3).config("commit.interval.ms", 100);
        match std::env::var("ANABRANCH_KAFKA") {
            Ok(server) => streams.bootstrap_server(server),
            Err(_) => streams,
        }
    }
}

/// Word count, in which `look` sees every line before it is counted.
pub(crate) fn watched(app: &App, look: impl Fn(&str) + Send + Sync + 'static) -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream(app.lines())
        .peek(move |_, line| look(line))
        .flat_map_values(|line| line.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count_with(COUNTS)
        .updates()
        .to(app.counts());
    builder.build()
}

/// Whether the tests run on Apache Kafka, where what concerns our broker alone is left out.
pub(crate) fn on_kafka() -> bool {
    std::env::var("ANABRANCH_KAFKA").is_ok()
}

/// Keeps in a directory what the next run needs: state, and the broker where it is in the process.
pub(crate) fn keep(streams: Streams, directory: &Path) -> Streams {
    if on_kafka() { streams.state_dir(directory) } else { streams.data_dir(directory) }
}

/// Writes lines and waits until they are counted.
pub(crate) async fn count(
    app: &RunningStreams,
    lines: Topic<Option<String>, String>,
    text: &[&str],
) -> Result<()> {
    let producer = app.producer(lines)?;
    for line in text {
        producer.send(None, (*line).to_string()).await?;
    }
    producer.flush().await?;
    app.drain().await
}

/// The store, word by word.
pub(crate) async fn counted(app: &RunningStreams) -> Result<BTreeMap<String, i64>> {
    Ok(app.store(COUNTS)?.all().await?.into_iter().collect())
}

pub(crate) fn expected(pairs: &[(&str, i64)]) -> BTreeMap<String, i64> {
    pairs.iter().map(|(word, count)| ((*word).to_string(), *count)).collect()
}
