//! Nulls as `None`.

use std::any::Any;
use std::sync::Arc;

use super::{Serde, SerdeContext, SerdeError};

/// `Option<T>` with null for `None`, and the inner serde for the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullableSerde<S>(pub S);

/// `Option` of what `inner` reads and writes.
#[must_use]
pub const fn nullable<S>(inner: S) -> NullableSerde<S> {
    NullableSerde(inner)
}

impl<T: 'static, S: Serde<T>> Serde<Option<T>> for NullableSerde<S> {
    fn serialize(
        &self,
        at: &SerdeContext<'_>,
        value: &Option<T>,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        match value {
            Some(value) => self.0.serialize(at, value, out),
            None => Ok(()),
        }
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Option<T>, SerdeError> {
        self.0.deserialize(at, bytes).map(Some)
    }

    fn deserialize_into(
        &self,
        at: &SerdeContext<'_>,
        bytes: &[u8],
        slot: &mut Option<Option<T>>,
    ) -> Result<(), SerdeError> {
        let mut inner = slot.take().flatten();
        self.0.deserialize_into(at, bytes, &mut inner)?;
        *slot = Some(inner);
        Ok(())
    }

    fn deserialize_null(&self, _: &SerdeContext<'_>) -> Result<Option<T>, SerdeError> {
        Ok(None)
    }

    fn is_null(&self, value: &Option<T>) -> bool {
        value.is_none()
    }

    fn inside(self: Arc<Self>) -> Option<Box<dyn Any>> {
        let inside: Arc<dyn Serde<T>> = Arc::new(Inside(self));
        Some(Box::new(inside))
    }
}

/// The inner serde of a shared nullable one.
struct Inside<S>(Arc<NullableSerde<S>>);

impl<T: 'static, S: Serde<T>> Serde<T> for Inside<S> {
    fn serialize(&self, at: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.0.serialize(at, value, out)
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        self.0.0.deserialize(at, bytes)
    }

    fn deserialize_into(
        &self,
        at: &SerdeContext<'_>,
        bytes: &[u8],
        slot: &mut Option<T>,
    ) -> Result<(), SerdeError> {
        self.0.0.deserialize_into(at, bytes, slot)
    }

    fn is_null(&self, value: &T) -> bool {
        self.0.0.is_null(value)
    }
}

/// The serde of what a nullable serde holds when it holds something.
pub(crate) fn present<T: Clone + 'static>(serde: Arc<dyn Serde<Option<T>>>) -> Arc<dyn Serde<T>> {
    match Arc::clone(&serde).inside().map(|inside| inside.downcast::<Arc<dyn Serde<T>>>()) {
        Some(Ok(inside)) => *inside,
        _ => Arc::new(PresentOf(serde)),
    }
}

/// `T` through a user's own serde of `Option<T>`, which shows no serde of `T`: writing clones.
struct PresentOf<T>(Arc<dyn Serde<Option<T>>>);

impl<T: Clone + 'static> Serde<T> for PresentOf<T> {
    fn serialize(&self, at: &SerdeContext<'_>, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        self.0.serialize(at, &Some(value.clone()), out)
    }

    fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        self.0.deserialize(at, bytes)?.ok_or_else(|| SerdeError::new(format_args!("null in `{}`", at.topic)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check, text};
    use super::*;

    struct Own;
    impl Serde<Option<String>> for Own {
        fn serialize(
            &self,
            at: &SerdeContext<'_>,
            v: &Option<String>,
            out: &mut Vec<u8>,
        ) -> Result<(), SerdeError> {
            nullable(text()).serialize(at, v, out)
        }
        fn deserialize(&self, at: &SerdeContext<'_>, bytes: &[u8]) -> Result<Option<String>, SerdeError> {
            nullable(text()).deserialize(at, bytes)
        }
    }

    #[test]
    fn null_is_none() {
        check(nullable(text()), Some("a".to_string()), b"a");
        let at = SerdeContext::value("t");
        assert_eq!(Serde::<Option<String>>::deserialize_null(&nullable(text()), &at).unwrap(), None);
        assert!(nullable(text()).is_null(&None::<String>));
        let error = Serde::<String>::deserialize_null(&text(), &SerdeContext::key("clicks")).unwrap_err();
        assert_eq!(error.to_string(), "null key in `clicks`, declared `alloc::string::String`");
    }

    #[test]
    fn what_is_inside_can_be_reached() {
        check(present(Arc::new(nullable(text()))), "a".to_string(), b"a");
        check(present(Arc::new(Own)), "a".to_string(), b"a");
    }
}
