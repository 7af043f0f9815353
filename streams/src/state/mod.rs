//! State stores: how they are declared, and their typed faces.
//!
//! Reading order: `store` (the typed constants), `kinds` (what a store may be), `task_store` (what a task does with its
//! stores), `write` (what a write is told), `epoched`, `expiry`, `global_rows`, `frozen_global` and `globals` (what workers
//! share), `rows`, `frozen_rows`, `typed` and `composite` (what stores are made of), then the stores: `key_value`, `window`,
//! `session`, `join_window`, `unjoined`, `versioned`, `buffered`, `suppress`, `grace` and `custom` (of the user's own type);
//! then what processors and tests have of them: `declaration` and `faces`.

mod buffered;
#[cfg(test)]
mod check;
mod composite;
mod custom;
mod declaration;
mod epoched;
mod expiry;
mod faces;
mod frozen_global;
mod frozen_rows;
mod global_rows;
mod globals;
mod grace;
mod join_window;
mod key_value;
mod kinds;
mod rows;
mod session;
mod store;
mod suppress;
mod task_store;
#[cfg(test)]
mod timed_tests;
mod typed;
mod unjoined;
mod versioned;
#[cfg(test)]
mod waiting_tests;
mod window;
mod write;

pub use custom::CustomStore;
pub use declaration::StoreDeclaration;
pub use faces::{
    CustomRows, Entries, GlobalStore, KeyValueStore, PutOutcome, SessionStore, StoreAccess,
    ValueAndTimestamp, VersionedRecord, VersionedStore, WindowStore,
};
pub use kinds::{Custom, KeyValue, ReadableStore, Sessions, StoreKind, Versioned, Windows};
pub use store::{Store, StoreEngine, StoreFor, TableStore};

pub(crate) use composite::{key_range, within};
pub(crate) use custom::CustomState;
pub(crate) use declaration::DeclaredKind;
pub(crate) use faces::first_and_last;
pub(crate) use frozen_rows::FrozenRows;
pub(crate) use global_rows::{GlobalRows, Reflected};
pub(crate) use globals::Globals;
pub(crate) use grace::GraceState;
pub(crate) use join_window::JoinWindowState;
pub(crate) use key_value::KeyValueState;
pub(crate) use session::{SessionSettings, SessionState, session_of_row};
pub(crate) use store::{StoreSettings, TableStoreSettings};
pub(crate) use suppress::SuppressState;
pub(crate) use task_store::{
    EngineSlot, KeyBounds, ResultState, StoreInit, StoreSerdes, StoreSupplier, Stores, TaskStore,
};
pub(crate) use typed::Updated;
pub(crate) use unjoined::{Side, Take, UnjoinedState};
pub(crate) use versioned::{Version, VersionPut, VersionedState};
pub(crate) use window::{WindowSettings, WindowState, window_of_row};
pub(crate) use write::{WriteContext, store_error};
