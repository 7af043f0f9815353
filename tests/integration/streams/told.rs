//! What the library logs, and which spans it enters, for tests of what it tells: one collector for the whole test binary.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, Once};

use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static SPANS: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

struct Collector;

impl io::Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Spans;

impl<S: Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, span: &Attributes<'_>, _id: &Id, _context: Context<'_, S>) {
        if span.metadata().target().starts_with("anabranch::") {
            SPANS.lock().expect("not poisoned").insert(span.metadata().name());
        }
    }
}

/// Collects from now on.
pub(crate) fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines =
            tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(|| Collector);
        let registry =
            tracing_subscriber::registry().with(lines.with_filter(EnvFilter::new("anabranch=info")));
        registry.with(Spans.with_filter(LevelFilter::TRACE)).init();
    });
}

/// Which spans were made.
pub(crate) fn spans() -> BTreeSet<&'static str> {
    SPANS.lock().expect("not poisoned").clone()
}

/// The lines that have all of these words.
pub(crate) fn lines(words: &[&str]) -> Vec<String> {
    let text = String::from_utf8_lossy(&LINES.lock().expect("not poisoned")).into_owned();
    let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
    text.lines().filter(has_all).map(str::to_string).collect()
}
