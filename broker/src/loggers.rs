//! What the process of a broker says of itself, as clients may see and change it: broker loggers (KIP-412).
//!
//! A broker does not know where its process logs to. Who starts it and lets its log be changed says how
//! ([`Broker::set_loggers`](crate::Broker::set_loggers)); without that a broker has no loggers.

use std::collections::BTreeMap;
use std::fmt;

use tracing::Level;
use tracing::level_filters::LevelFilter;

/// The logger above all others.
pub const ROOT: &str = "root";

/// The loggers of a process, named like the targets of `tracing`: `anabranch_broker::groups` is above
/// `anabranch_broker::groups::shard`. A change lasts as long as the process.
pub trait Loggers: fmt::Debug + Send + Sync {
    /// Every logger that there is, [`ROOT`] among them, and how much it says.
    fn levels(&self) -> BTreeMap<String, LevelFilter>;

    /// Lets a logger, and those below it that have no level of their own, say so much; none: as much as the one above it.
    fn set(&self, logger: &str, level: Option<Level>);
}

/// The names that Kafka has for levels. Nothing here is fatal and goes on: that is an error.
pub(crate) const LEVELS: [(&str, Level); 6] = [
    ("FATAL", Level::ERROR),
    ("ERROR", Level::ERROR),
    ("WARN", Level::WARN),
    ("INFO", Level::INFO),
    ("DEBUG", Level::DEBUG),
    ("TRACE", Level::TRACE),
];

/// A level's name.
pub(crate) fn name(level: LevelFilter) -> &'static str {
    level.into_level().map_or("OFF", |level| level.as_str())
}
