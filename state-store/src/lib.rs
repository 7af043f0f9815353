//! State stores: tables with epochs over an embedded engine.
//!
//! A [`KeyValueTable`] is one store of one task. It holds the newest rows in memory and is transaction and cache in one:
//! an undo list makes a commit free and an abort possible, a pending list merges what is emitted. An [`Engine`] behind it
//! keeps committed rows on disk, with the changelog offset that they reflect. This crate knows nothing of Kafka or of
//! streams: bytes in, bytes out.
//!
//! Reading order: [`Row`] and its companions, [`KeyValueTable`], the parts of a table, the engines.

mod engine;
mod error;
mod key_value;
#[cfg(test)]
mod random;
mod row;
mod table;

pub use engine::fjall::{FjallEngine, FjallOptions};
pub use engine::journal::JournalEngine;
pub use engine::loading::Loading;
pub use engine::memory::MemoryEngine;
pub use engine::runs::MergedRows;
pub use engine::scratch::ScratchFile;
pub use engine::segments::is_segment;
#[cfg(feature = "sled")]
pub use engine::sled::{SledEngine, SledOptions};
pub use engine::{ChunkRows, Engine, EngineScan, EngineSnapshot, EngineStore, open_engine};
pub use error::{Error, ErrorKind, Result};
pub use key_value::{Epoch, KeyValueTable, TableOptions};
pub use row::{Checkpoint, Context, Emission, Row, RowBuffer, Update};
pub use table::kept::{Kept, KeptBytes};
pub use table::ordered::{KeyRange, Order};
pub use table::rows::Rows;
pub use table::sorting::Sorting;
pub use table::timed::{Suffix, TimedKeys};
