//! Questions to the stores of a running application, typed.
//!
//! The worker that owns a task answers between two records, from committed rows: what an abort could still undo is not
//! shown. Of many rows it gives a view of one moment, which is read elsewhere. Answers come from the tasks of this instance;
//! a key that another instance has is not found here.
//!
//! Reading order: `bound` (what it must reflect to answer), `stored` (bytes), `iterator` and `scan` (many rows), `asked` (how a
//! task is reached), then what users hold, by the kind of the store: `key_value`, `window`,
//! `session`, `versioned`; and `location` (which instance has what).

mod asked;
mod bound;
mod iterator;
mod key_value;
pub(crate) mod location;
mod scan;
mod session;
mod stored;
mod versioned;
mod window;

pub use asked::AskedInstance;
pub use iterator::KeyValueIterator;
pub(crate) use iterator::OpenIterators;
pub use key_value::ReadOnlyKeyValueStore;
pub use location::{KeyQueryMetadata, StreamsMetadata};
pub use scan::Scan;
pub use session::ReadOnlySessionStore;
pub use versioned::ReadOnlyVersionedStore;
pub use window::ReadOnlyWindowStore;

use std::time::Duration;

use asked::Asked;

use crate::data::Data;
use crate::error::Result;
use crate::runtime::position::Position;
use crate::state::{KeyValue, Sessions, Store, StoreKind, Versioned, Windows};

/// A kind of store that can be queried while the application runs. Sealed, as [`StoreKind`] is.
pub trait QueryableStore: StoreKind + Sized {
    /// What is asked.
    type ReadOnly;

    /// Makes it.
    #[doc(hidden)]
    fn read_only(instance: AskedInstance, store: &Store<Self>) -> Result<Self::ReadOnly>;
}

macro_rules! queryable {
    ($($kind:ident: $reader:ident),* $(,)?) => { $(
        impl<K: Data, V: Data> QueryableStore for $kind<K, V> {
            type ReadOnly = $reader<K, V>;

            fn read_only(instance: AskedInstance, store: &Store<Self>) -> Result<$reader<K, V>> {
                Asked::new(instance.0, store).map($reader)
            }
        }

        impl<K: Data, V: Data> $reader<K, V> {
            /// Also asks standby tasks, and tasks that are being restored: their rows may be older than those of the
            /// instance that processes ([`tasks`](crate::prelude::RunningStreams::tasks) says how far they are behind).
            #[must_use]
            pub fn with_stale(self) -> Self {
                $reader(self.0.with_stale())
            }

            /// Answers only from tasks that reflect at least this of the topics that they read ([`Position`]): one's own
            /// write, or what an earlier answer has shown. A task is held to what the bound has of its own partition. One
            /// that is behind is asked to commit soon, and the answer is an error of the kind
            /// [`NotUpToBound`](crate::prelude::ErrorKind::NotUpToBound): ask again.
            #[must_use]
            pub fn at_least(self, bound: &Position) -> Self {
                $reader(self.0.at_least(bound))
            }

            /// Waits for so long for a task that is behind the bound.
            #[must_use]
            pub fn wait_up_to(self, time: Duration) -> Self {
                $reader(self.0.wait_up_to(time))
            }

            /// What the answers reflect that this reader has given, all together. As a bound for another reader it lets
            /// that one see nothing older, in whatever store of these tasks, on whatever instance.
            #[must_use]
            pub fn position(&self) -> Position {
                self.0.position()
            }
        }
    )* };
}
queryable! {
    KeyValue: ReadOnlyKeyValueStore,
    Windows: ReadOnlyWindowStore,
    Sessions: ReadOnlySessionStore,
    Versioned: ReadOnlyVersionedStore,
}
