//! The kinds of store.

use std::any::Any;
use std::marker::PhantomData;

use super::declaration::{self, StoreDeclaration};
use super::faces::{CustomRows, KeyValueStore, SessionStore, StoreAccess, VersionedStore, WindowStore};
use super::{CustomState, CustomStore, KeyValueState, SessionState, Store, VersionedState, WindowState};
use crate::data::Data;
use crate::error::Result;

/// One value for a key.
pub struct KeyValue<K, V>(PhantomData<fn() -> (K, V)>);

/// One value for a key and a window of time.
pub struct Windows<K, V>(PhantomData<fn() -> (K, V)>);

/// One value for a key and a session.
pub struct Sessions<K, V>(PhantomData<fn() -> (K, V)>);

/// The values of a key over time.
pub struct Versioned<K, V>(PhantomData<fn() -> (K, V)>);

/// A type of the user's own, and the rows that it is made of.
pub struct Custom<S>(PhantomData<fn() -> S>);

/// A kind of store and the types in it. Sealed.
pub trait StoreKind: 'static + sealed::Sealed {
    /// The type of its keys.
    type Key: Data;
    /// The type of its values.
    type Value: Data;
}

/// A kind of store that processors can use and tests can read. Sealed.
pub trait ReadableStore: StoreKind + Sized {
    /// What they see of it.
    type Store<'a>;

    /// What a topology needs to make one.
    #[doc(hidden)]
    fn declare(store: &Store<Self>) -> StoreDeclaration;

    /// Whether a store of a task is of this kind and these types.
    #[doc(hidden)]
    fn is_kind_of(store: &dyn Any) -> bool;

    /// Makes that of a store of a task.
    #[doc(hidden)]
    fn face(access: StoreAccess<'_>) -> Result<Self::Store<'_>>;
}

macro_rules! kinds {
    ($($kind:ident: $face:ident, $state:ident, $declare:ident);* $(;)?) => { $(
        impl<K: Data, V: Data> StoreKind for $kind<K, V> {
            type Key = K;
            type Value = V;
        }

        impl<K: Data, V: Data> ReadableStore for $kind<K, V> {
            type Store<'a> = $face<'a, K, V>;

            fn declare(store: &Store<Self>) -> StoreDeclaration {
                declaration::$declare::<K, V>(&store.settings)
            }

            fn is_kind_of(store: &dyn Any) -> bool {
                store.is::<$state<K, V>>()
            }

            fn face(access: StoreAccess<'_>) -> Result<$face<'_, K, V>> {
                $face::of(access)
            }
        }
    )* };
}
kinds! {
    KeyValue: KeyValueStore, KeyValueState, key_value;
    Windows: WindowStore, WindowState, windows;
    Sessions: SessionStore, SessionState, sessions;
    Versioned: VersionedStore, VersionedState, versioned;
}

impl<S: CustomStore> StoreKind for Custom<S> {
    type Key = S::Key;
    type Value = S::Value;
}

impl<S: CustomStore> ReadableStore for Custom<S> {
    type Store<'a> = CustomRows<'a, S>;

    fn declare(store: &Store<Self>) -> StoreDeclaration {
        declaration::custom::<S>(&store.settings)
    }

    fn is_kind_of(store: &dyn Any) -> bool {
        store.is::<CustomState<S>>()
    }

    fn face(access: StoreAccess<'_>) -> Result<CustomRows<'_, S>> {
        CustomRows::of(access)
    }
}

mod sealed {
    pub trait Sealed {}
    impl<K, V> Sealed for super::KeyValue<K, V> {}
    impl<K, V> Sealed for super::Windows<K, V> {}
    impl<K, V> Sealed for super::Sessions<K, V> {}
    impl<K, V> Sealed for super::Versioned<K, V> {}
    impl<S> Sealed for super::Custom<S> {}
}
