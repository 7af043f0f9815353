//! How much each logger of this process says, and how that changes while it runs.
//!
//! A logger is a target of `tracing`, a path like `anabranch_broker::groups`; it says as much as the nearest above it that
//! was told, in the end as much as the root. `RUST_LOG` tells them first (`warn,anabranch_broker::groups=debug`). Like a logger
//! of Java's, one exists once its part of the program has run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anabranch_broker::loggers::{Loggers, ROOT};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber, callsite};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::Context;

/// The levels of this process.
#[derive(Clone, Debug)]
pub(crate) struct Levels(Arc<RwLock<State>>);

#[derive(Debug)]
struct State {
    root: LevelFilter,
    /// Those that were told.
    told: BTreeMap<String, LevelFilter>,
    /// Those that exist.
    known: BTreeSet<String>,
}

impl Levels {
    /// As a text like that of `RUST_LOG` says.
    ///
    /// # Errors
    /// If it says nothing.
    pub(crate) fn parse(text: &str) -> Result<Levels, ParseError> {
        let targets: Targets = text.parse()?;
        let told = targets.iter().map(|(target, level)| (target.to_string(), level)).collect();
        let root = targets.default_level().unwrap_or(LevelFilter::ERROR);
        Ok(Levels(Arc::new(RwLock::new(State { root, told, known: BTreeSet::new() }))))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A logger and all above it, from the nearest, but for the root.
fn upwards(logger: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(logger), |logger| Some(logger.rsplit_once("::")?.0))
}

impl State {
    fn level_of(&self, logger: &str) -> LevelFilter {
        upwards(logger).find_map(|logger| self.told.get(logger)).copied().unwrap_or(self.root)
    }
}

impl Loggers for Levels {
    fn levels(&self) -> BTreeMap<String, LevelFilter> {
        let state = self.read();
        let known = state.known.iter().chain(state.told.keys());
        let mut levels: BTreeMap<_, _> =
            known.map(|logger| (logger.clone(), state.level_of(logger))).collect();
        levels.insert(ROOT.to_string(), state.root);
        levels
    }

    fn set(&self, logger: &str, level: Option<Level>) {
        {
            let mut state = self.write();
            match level {
                Some(level) if logger == ROOT => state.root = LevelFilter::from_level(level),
                Some(level) => drop(state.told.insert(logger.to_string(), LevelFilter::from_level(level))),
                None => drop(state.told.remove(logger)),
            }
        }
        // What each place in the program has been answered is remembered there.
        callsite::rebuild_interest_cache();
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let target = metadata.target();
        if !self.read().known.contains(target) {
            self.write().known.extend(upwards(target).map(str::to_string));
        }
        match *metadata.level() <= self.read().level_of(target) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        *metadata.level() <= self.read().level_of(metadata.target())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let state = self.read();
        state.told.values().copied().chain([state.root]).max()
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::logging::Lines;

    fn say() {
        tracing::info!(target: "a::b::c", "deep");
        tracing::info!(target: "a", "high");
        tracing::debug!(target: "a::b", "quiet");
    }

    #[test]
    fn a_logger_says_as_much_as_the_nearest_that_was_told() {
        let levels = Levels::parse("warn,a::b=info").unwrap();
        let lines = Lines::default();
        let writer = lines.clone();
        let told = tracing_subscriber::fmt::layer().with_target(true).with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(levels.clone()).with(told);
        tracing::subscriber::with_default(subscriber, || {
            let check = |changes: &[(&str, Option<Level>)], expected: &[&str]| {
                changes.iter().for_each(|(logger, level)| levels.set(logger, *level));
                say();
                let text = lines.take();
                let said: Vec<&str> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
                assert_eq!(said, expected, "{changes:?}: {text}");
            };
            check(&[], &["deep"]);
            check(&[("a", Some(Level::INFO))], &["deep", "high"]);
            check(&[("a::b::c", Some(Level::ERROR)), ("a::b", Some(Level::DEBUG))], &["high", "quiet"]);
            check(&[("a", None), ("a::b", None), ("a::b::c", None)], &[]);
            check(&[(ROOT, Some(Level::TRACE))], &["deep", "high", "quiet"]);
        });
        let expected = ["a", "a::b", "a::b::c", ROOT].map(|name| (name.to_string(), LevelFilter::TRACE));
        // Whatever other tests of this process say meanwhile has its loggers too.
        let mut found = levels.levels();
        found.retain(|name, _| name == ROOT || name == "a" || name.starts_with("a::"));
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for text in ["a=loud", "a=b=c"] {
            assert!(Levels::parse(text).is_err(), "{text}");
        }
    }
}
