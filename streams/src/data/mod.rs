//! What may travel through a stream, be sent and be stored.
//!
//! Reading order: [`Item`], [`Data`], [`Nullable`] here, then what closures return, `outcome`.

mod outcome;

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

pub use outcome::Outcome;

use crate::serdes::{BigEndian, NullableSerde, Raw, Serde, Text, Void, nullable};

/// Whatever may travel through a stream.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel through a stream",
    note = "what travels is `Clone + Send + 'static`: own the data instead of borrowing it"
)]
pub trait Item: Clone + Send + 'static {}
impl<T: Clone + Send + 'static> Item for T {}

/// A type with a default serde: it can be the key or value of a topic or of a store without naming a serde.
///
/// One line gives a type of yours its serde:
///
/// ```
/// use anabranch::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize)]
/// struct Click { url: String }
/// impl Data for Click { type Serde = Json; }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default serde",
    label = "this operator sends or stores `{Self}`",
    note = "give it one in a line: `impl Data for {Self} {{ type Serde = Json; }}`"
)]
pub trait Data: Item {
    /// The serde that is used where no other is named.
    type Serde: Serde<Self> + Default;
}

macro_rules! data {
    ($($type:ty => $serde:ty),* $(,)?) => { $( impl Data for $type { type Serde = $serde; } )* };
}
data! {
    String => Text, Bytes => Raw, Vec<u8> => Raw, () => Void, Uuid => Text, bool => BigEndian,
    i16 => BigEndian, i32 => BigEndian, i64 => BigEndian, u32 => BigEndian, u64 => BigEndian,
    f32 => BigEndian, f64 => BigEndian,
}

/// A type that may hold a null, `Option<T>`, or that never does, `T`, with `T: Data`.
///
/// Sealed: every `T: Data` and every `Option<T: Data>` is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default serde",
    label = "this operator sends or stores `{Self}`",
    note = "give it one in a line: `impl Data for {Self} {{ type Serde = Json; }}`"
)]
pub trait Nullable: Item + sealed::Sealed {
    /// The type without its null.
    type Present: Data;

    /// The value, unless it is null.
    fn as_present(&self) -> Option<&Self::Present>;

    /// The value itself, unless it is null.
    fn into_present(self) -> Option<Self::Present>;

    /// The value as one that may be null.
    #[doc(hidden)]
    fn from_present(present: Self::Present) -> Self;

    /// Where the value lies, seen as a place of the type without null; `None` for a null.
    #[doc(hidden)]
    fn narrow_slot(slot: &mut Option<Self>) -> Option<&mut Option<Self::Present>>;

    /// The default serde.
    #[doc(hidden)]
    fn default_serde() -> Arc<dyn Serde<Self>>;

    /// The serde of the type without null.
    #[doc(hidden)]
    fn present_serde(serde: Arc<dyn Serde<Self>>) -> Arc<dyn Serde<Self::Present>>;

    /// The serde of this type from that of the type without null.
    #[doc(hidden)]
    fn lift_serde(serde: Arc<dyn Serde<Self::Present>>) -> Arc<dyn Serde<Self>>;
}

/// `T` without its null.
pub type Present<T> = <T as Nullable>::Present;

impl<T: Data> Nullable for T {
    type Present = T;

    #[inline]
    fn as_present(&self) -> Option<&T> {
        Some(self)
    }

    #[inline]
    fn into_present(self) -> Option<T> {
        Some(self)
    }

    #[inline]
    fn from_present(present: T) -> T {
        present
    }

    #[inline]
    fn narrow_slot(slot: &mut Option<T>) -> Option<&mut Option<T>> {
        Some(slot)
    }

    fn default_serde() -> Arc<dyn Serde<T>> {
        Arc::new(T::Serde::default())
    }

    fn present_serde(serde: Arc<dyn Serde<T>>) -> Arc<dyn Serde<T>> {
        serde
    }

    fn lift_serde(serde: Arc<dyn Serde<T>>) -> Arc<dyn Serde<T>> {
        serde
    }
}

impl<T: Data> Nullable for Option<T> {
    type Present = T;

    #[inline]
    fn as_present(&self) -> Option<&T> {
        self.as_ref()
    }

    #[inline]
    fn into_present(self) -> Option<T> {
        self
    }

    #[inline]
    fn from_present(present: T) -> Option<T> {
        Some(present)
    }

    #[inline]
    fn narrow_slot(slot: &mut Option<Option<T>>) -> Option<&mut Option<T>> {
        // The inside of a nullable slot is a slot of the type without null: nothing moves.
        slot.as_mut().filter(|inner| inner.is_some())
    }

    fn default_serde() -> Arc<dyn Serde<Option<T>>> {
        Arc::new(NullableSerde(T::Serde::default()))
    }

    fn present_serde(serde: Arc<dyn Serde<Option<T>>>) -> Arc<dyn Serde<T>> {
        crate::serdes::present(serde)
    }

    fn lift_serde(serde: Arc<dyn Serde<T>>) -> Arc<dyn Serde<Option<T>>> {
        Arc::new(nullable(serde))
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T: super::Data> Sealed for T {}
    impl<T: super::Data> Sealed for Option<T> {}
}
