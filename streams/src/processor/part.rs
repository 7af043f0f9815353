//! Half of a record on its way between two nodes: its key or its value.
//!
//! A key or value lies in a slot on the stack of the node that made it and is passed on by reference. Only the last
//! child of a node may take it (`Owned`); earlier children look at it (`Shared`) and clone only what they replace. So a
//! linear topology moves nothing and clones nothing.

use crate::data::Nullable;

/// A key or value in flight.
pub(crate) enum Part<'a, T> {
    /// Nobody else needs it: it may be taken, or replaced where it lies. The slot is full until then.
    Owned(&'a mut Option<T>),
    /// Others look at it later.
    Shared(&'a T),
}

const FULL: &str = "an owned part is full until it is taken, and taking it consumes the part";

impl<'a, T> Part<'a, T> {
    /// Looks at it.
    #[inline]
    pub(crate) fn get(&self) -> &T {
        match self {
            Part::Owned(slot) => slot.as_ref().expect(FULL),
            Part::Shared(value) => value,
        }
    }

    /// Lends it.
    #[inline]
    pub(crate) fn shared(&self) -> Part<'_, T> {
        Part::Shared(self.get())
    }

    /// Takes it, or a copy if others need it.
    #[inline]
    pub(crate) fn take(self) -> T
    where
        T: Clone,
    {
        match self {
            Part::Owned(slot) => slot.take().expect(FULL),
            Part::Shared(value) => value.clone(),
        }
    }
}

impl<'a, T: Nullable> Part<'a, T> {
    /// The part without its null; `None` if it is one. Nothing moves.
    #[inline]
    pub(crate) fn present(self) -> Option<Part<'a, T::Present>> {
        match self {
            Part::Owned(slot) => T::narrow_slot(slot).map(Part::Owned),
            Part::Shared(value) => value.as_present().map(Part::Shared),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owned_is_taken_and_what_is_shared_is_cloned() {
        let mut slot = Some("a".to_string());
        let part = Part::Owned(&mut slot);
        assert_eq!(part.shared().take(), "a");
        assert_eq!(part.take(), "a");
        assert_eq!(slot, None);
    }

    #[test]
    fn a_nullable_part_narrows_in_place() {
        let mut slot = Some(Some("a".to_string()));
        assert_eq!(Part::Owned(&mut slot).present().unwrap().take(), "a");
        assert_eq!(slot, Some(None));
        assert!(Part::Owned(&mut slot).present().is_none());
        let mut plain = Some(7i64);
        assert_eq!(*Part::Owned(&mut plain).present().unwrap().get(), 7);
        assert!(Part::Shared(&None::<i64>).present().is_none());
    }
}
