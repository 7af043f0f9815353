//! Stores rebuilt from their changelogs.
//!
//! A store is what its changelog says: what one driver, or a running application, has logged brings another driver's
//! store to the same rows. A test of it is a test that a restart loses nothing.
//!
//! ```
//! use anabranch::prelude::*;
//!
//! const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");
//!
//! let builder = StreamsBuilder::new();
//! builder.stream("clicks").group_by_key().count_with(COUNTS).to_stream().to("out");
//! let topology = builder.build()?;
//!
//! let driver = TestDriver::new(&topology)?;
//! driver.input("clicks").pipe("ada", "/");
//! driver.input("clicks").pipe("ada", "/help");
//!
//! let restarted = TestDriver::new(&topology)?;
//! restarted.restore(COUNTS, driver.changelog(COUNTS)?)?;
//! restarted.input("clicks").pipe("ada", "/home");
//! let out = restarted.output(Topic::<String, i64>::new("out"));
//! assert_eq!(out.read_key_value(), Some(("ada".to_string(), 3)));
//! # Ok::<(), anabranch::Error>(())
//! ```

use std::sync::Arc;

use super::TestDriver;
use super::written::raw;
use crate::error::{Error, Result};
use crate::record::RawRecord;
use crate::state::Store;

impl TestDriver {
    /// All that was written to the changelog of a store, oldest first, whether a test has read it or not.
    ///
    /// # Errors
    /// If the topology has no such store, or it is not logged.
    pub fn changelog<S>(&self, store: Store<S>) -> Result<Vec<RawRecord>> {
        let (_, changelog) = self.logged(store.name())?;
        let capture = &mut self.state.borrow_mut().capture;
        let written = capture.place(&changelog).map(|place| capture.written(place));
        Ok(written.map(|written| written.whole().map(raw).collect()).unwrap_or_default())
    }

    /// Takes records of a store's changelog into its rows, as a start does: nothing is forwarded and nothing is logged.
    /// They may be another driver's ([`TestDriver::changelog`]), a broker's
    /// ([`RunningStreams::changelog`](crate::runtime::application::RunningStreams::changelog)), or a test's own.
    ///
    /// # Errors
    /// If the topology has no such store, it is not logged, or it refuses a record: changelogs have keys, and bytes of a
    /// form of their own for some stores.
    pub fn restore<S>(&self, store: Store<S>, records: impl IntoIterator<Item = RawRecord>) -> Result<()> {
        let (index, changelog) = self.logged(store.name())?;
        let mut state = self.state.borrow_mut();
        for record in records {
            let Some(key) = &record.key else {
                return Err(Error::invalid(format_args!("a record for `{changelog}` has no key")));
            };
            let timestamp = record.timestamp.unwrap_or(state.wall_clock_ms);
            let (value, headers) = (record.value.as_deref(), record.headers.encoded());
            state.task.restore(index, key, value, timestamp, headers)?;
        }
        Ok(())
    }

    /// The index of a store, and its changelog.
    fn logged(&self, store: &str) -> Result<(usize, Arc<str>)> {
        let state = self.state.borrow();
        let index = state.task.find(store)?;
        match state.task.changelogs().swap_remove(index) {
            Some((changelog, _)) => Ok((index, changelog.name)),
            None => Err(Error::invalid(format_args!(
                "the store `{store}` has no changelog: its logging is off, or its source topic brings it back"
            ))),
        }
    }
}
