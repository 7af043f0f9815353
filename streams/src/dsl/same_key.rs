//! When two sides may be joined: their keys are of one type, up to null.

use crate::data::Item;

/// `Self` keys a stream or table that may be joined with one keyed by `K`.
#[diagnostic::on_unimplemented(
    message = "cannot join: this side is keyed by `{K}`, the other by `{Self}`",
    label = "keyed by `{Self}`",
    note = "re-key one side first, e.g. `.select_key(|_, value| value.user_id.clone())`; for a key inside the value use `foreign_key_join` (tables) or `join_global`"
)]
pub trait SameKey<K> {}

impl<T: Item> SameKey<T> for T {}
impl<T: Item> SameKey<Option<T>> for T {}
impl<T: Item> SameKey<T> for Option<T> {}
