//! The kinds of store.

use std::marker::PhantomData;

use crate::data::Data;

/// One value for a key.
pub struct KeyValue<K, V>(PhantomData<fn() -> (K, V)>);

/// One value for a key and a window of time.
pub struct Windows<K, V>(PhantomData<fn() -> (K, V)>);

/// One value for a key and a session.
pub struct Sessions<K, V>(PhantomData<fn() -> (K, V)>);

/// The values of a key over time.
pub struct Versioned<K, V>(PhantomData<fn() -> (K, V)>);

/// A kind of store and the types in it. Sealed.
pub trait StoreKind: 'static + sealed::Sealed {
    /// The type of its keys.
    type Key: Data;
    /// The type of its values.
    type Value: Data;
}

impl<K: Data, V: Data> StoreKind for KeyValue<K, V> {
    type Key = K;
    type Value = V;
}

impl<K: Data, V: Data> StoreKind for Windows<K, V> {
    type Key = K;
    type Value = V;
}

impl<K: Data, V: Data> StoreKind for Sessions<K, V> {
    type Key = K;
    type Value = V;
}

impl<K: Data, V: Data> StoreKind for Versioned<K, V> {
    type Key = K;
    type Value = V;
}

mod sealed {
    pub trait Sealed {}
    impl<K, V> Sealed for super::KeyValue<K, V> {}
    impl<K, V> Sealed for super::Windows<K, V> {}
    impl<K, V> Sealed for super::Sessions<K, V> {}
    impl<K, V> Sealed for super::Versioned<K, V> {}
}
