//! State stores: how they are declared, and their typed faces.
//!
//! Reading order: `store` (the typed constants), `kinds` (what a store may be).

mod kinds;
mod store;

pub use kinds::{KeyValue, Sessions, StoreKind, Versioned, Windows};
pub use store::{Store, StoreFor, TableStore};
