//! What a process says of itself on standard error: lines for people, or one JSON object a line for machines.
//!
//! `RUST_LOG` says how much (`info` for a server if unset, `error` for a tool). What clients send (names, ids) may stand in a line; it is escaped in both
//! forms, so that nobody can forge one.

use std::fmt::{self, Write};

use anyhow::{Context, Result};
use clap::ValueEnum;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::loggers::Levels;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// From here on, what is logged goes to standard error; how much, may change.
///
/// # Errors
/// If `RUST_LOG` says nothing.
pub(crate) fn start(format: LogFormat, level: &str) -> Result<Levels> {
    let text = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let text = text.as_deref().unwrap_or(level);
    let levels = Levels::parse(text).with_context(|| format!("RUST_LOG={text}"))?;
    let registry = tracing_subscriber::registry().with(levels.clone());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => registry.with(lines.with_target(false)).init(),
        LogFormat::Json => registry.with(lines.event_format(Json)).init(),
    }
    Ok(levels)
}

/// `{"timestamp":"...","level":"INFO","target":"...","message":"...","peer":"..."}`.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let mut object = Object { text: String::new() };
        object.string("timestamp", &time);
        object.string("level", metadata.level().as_str());
        object.string("target", metadata.target());
        event.record(&mut object);
        writeln!(writer, "{{{}}}", object.text)
    }
}

/// The members of a JSON object as they are told.
struct Object {
    text: String,
}

impl Object {
    fn member(&mut self, name: &str, value: impl fmt::Display) {
        let comma = if self.text.is_empty() { "" } else { "," };
        // The name of a field comes from our sources, and needs no escapes.
        write!(self.text, "{comma}\"{name}\":{value}").expect("a String takes all");
    }

    fn string(&mut self, name: &str, value: &str) {
        self.member(name, Quoted(value));
    }
}

impl Visit for Object {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.string(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.string(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), value);
    }
}

/// A JSON string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                control if control < ' ' => write!(f, "\\u{:04x}", control as u32)?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

/// Where the log of a test goes.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Lines {
    /// What has come since the last time.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

#[cfg(test)]
impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_is_in_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(Json).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(client = "a\"b\n{\\}\u{1}", count = 3, is_new = true, error = %io::ErrorKind::NotFound, "it is so");
        });
        let text = lines.take();
        let (_, rest) = text.split_once("\"level\"").unwrap();
        assert_eq!(
            rest,
            ":\"WARN\",\"target\":\"anabranch::logging::tests\",\"message\":\"it is so\",\
             \"client\":\"a\\\"b\\n{\\\\}\\u0001\",\"count\":3,\"is_new\":true,\"error\":\"entity not found\"}\n"
        );
        assert!(text.starts_with("{\"timestamp\":\"20"), "{text}");
    }
}
