//! What processors, and tests, see of a store: typed reads and writes with Kafka Streams' semantics.
//!
//! A face lasts for one call or a few; it borrows the task. What it gives, iterators included, is a snapshot that borrows
//! nothing, so that a processor may forward, and write to the store, while it goes through one.
//!
//! Reading order: `access` (how a face is made), `entries` (the iterator), `time_range`, then the faces: `key_value`,
//! `window`, `session`, `versioned`, `global`, `custom`.

mod access;
mod custom;
mod entries;
mod global;
mod key_value;
mod session;
mod time_range;
mod versioned;
mod window;

pub use access::StoreAccess;
pub use custom::CustomRows;
pub use entries::Entries;
pub use global::GlobalStore;
pub use key_value::{KeyValueStore, ValueAndTimestamp};
pub use session::SessionStore;
pub use versioned::{PutOutcome, VersionedRecord, VersionedStore};
pub use window::WindowStore;

pub(crate) use time_range::first_and_last;
