//! State stores: how they are declared, and their typed faces.
//!
//! Reading order: `store` (the typed constants), `kinds` (what a store may be), `task_store` (what a task does with its
//! stores), `write` (what a write is told), `key_value`.

mod key_value;
mod kinds;
mod store;
mod task_store;
mod write;

pub use kinds::{KeyValue, Sessions, StoreKind, Versioned, Windows};
pub use store::{Store, StoreFor, TableStore};

pub(crate) use key_value::{Emitted, KeyValueState, Updated};
pub(crate) use store::{StoreSettings, TableStoreSettings};
pub(crate) use task_store::{KeyBounds, StoreInit, StoreSupplier, Stores, TaskStore};
pub(crate) use write::WriteContext;
