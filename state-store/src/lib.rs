//! State stores: tables with epochs over an embedded engine.
//!
//! A [`KeyValueTable`] is one store of one task. It holds the newest rows in memory and is transaction and cache in one:
//! an undo list makes a commit free and an abort possible, a pending list merges what is emitted. This crate knows nothing
//! of Kafka or of streams: bytes in, bytes out.
//!
//! Reading order: [`Row`] and its companions, [`KeyValueTable`], the parts of a table.

mod error;
mod key_value;
mod row;
mod table;

pub use error::{Error, ErrorKind, Result};
pub use key_value::{Epoch, KeyValueTable, TableOptions};
pub use row::{Checkpoint, Context, Emission, EmissionBuffer, Row, RowBuffer, Update};
pub use table::ordered::{KeyRange, Order};
pub use table::rows::Rows;
