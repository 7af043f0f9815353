//! A record on its way between two nodes, typed.

use std::any::Any;

use super::{Forward, Part};
use crate::data::Item;
use crate::error::Result;
use crate::headers::Headers;

/// A record between two nodes: a timestamp by value, the rest by reference.
pub(crate) struct InFlight<'a, K, V> {
    pub(crate) key: Part<'a, K>,
    pub(crate) value: Part<'a, V>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a Headers,
}

impl<'a, K, V> InFlight<'a, K, V> {
    /// Lends all of it, for a child that is not the last one.
    #[inline]
    pub(crate) fn shared(&self) -> InFlight<'_, K, V> {
        InFlight {
            key: self.key.shared(),
            value: self.value.shared(),
            timestamp: self.timestamp,
            headers: self.headers,
        }
    }
}

impl<'a, K: Item, V: Item> InFlight<'a, K, V> {
    /// Forwards the record with the value that `f` makes of its value. A value of the same type takes the place of the
    /// old one, which saves a move per node.
    #[inline]
    pub(crate) fn forward_mapped<V2: Item>(
        self,
        out: &mut Forward<'_, '_, K, V2>,
        f: impl FnOnce(&K, V) -> Result<V2>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = self;
        match value {
            Part::Owned(slot) => {
                let old = Part::Owned(&mut *slot).take();
                let new = f(key.get(), old)?;
                if let Some(place) = (slot as &mut dyn Any).downcast_mut::<Option<V2>>() {
                    *place = Some(new);
                    return out.forward(InFlight { key, value: Part::Owned(place), timestamp, headers });
                }
                out.forward(InFlight { key, value: Part::Owned(&mut Some(new)), timestamp, headers })
            }
            Part::Shared(value) => {
                let new = f(key.get(), value.clone())?;
                out.forward(InFlight { key, value: Part::Owned(&mut Some(new)), timestamp, headers })
            }
        }
    }
}
