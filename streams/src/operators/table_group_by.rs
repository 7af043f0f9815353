//! Gives the rows of a table other keys, for a table that aggregates them.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::data::{Data, Item, Nullable};
use crate::error::{Error, Result};
use crate::processor::{Change, Forward, InFlight, Operator, Part};
use crate::serdes::{Serde, SerdeContext};

/// Forwards how each row moves between groups: an update that stays in its group as one record, one that changes it as
/// two, first that the old row leaves its group, then that the new one enters another.
pub(crate) struct TableGroupBy<K, V, K2: Nullable, V2, F> {
    mapper: Arc<F>,
    /// Of the new keys: two are the same if their bytes are.
    key: Arc<dyn Serde<K2::Present>>,
    old_key: Vec<u8>,
    new_key: Vec<u8>,
    types: PhantomData<fn(K, V, V2)>,
}

impl<K, V, K2: Nullable, V2, F> TableGroupBy<K, V, K2, V2, F> {
    pub(crate) fn new(mapper: Arc<F>, key: Arc<dyn Serde<K2::Present>>) -> Self {
        TableGroupBy { mapper, key, old_key: Vec::new(), new_key: Vec::new(), types: PhantomData }
    }

    fn is_same(&mut self, old: &K2::Present, new: &K2::Present) -> Result<bool> {
        let at = SerdeContext::key("");
        self.old_key.clear();
        self.new_key.clear();
        self.key
            .serialize(&at, old, &mut self.old_key)
            .and_then(|()| self.key.serialize(&at, new, &mut self.new_key))
            .map_err(|error| Error::record(format_args!("cannot write the new key: {error}")))?;
        Ok(self.old_key == self.new_key)
    }
}

impl<K, V, K2, V2, F> Operator for TableGroupBy<K, V, K2, V2, F>
where
    K: Data,
    V: Item,
    K2: Nullable,
    V2: Nullable,
    F: Fn(&K, V) -> (K2, V2) + Send + Sync,
{
    type KeyIn = K;
    type ValueIn = Change<V>;
    type KeyOut = K2::Present;
    type ValueOut = Change<V2::Present>;

    fn process(
        &mut self,
        record: InFlight<'_, K, Change<V>>,
        out: &mut Forward<'_, '_, K2::Present, Change<V2::Present>>,
    ) -> Result<()> {
        let InFlight { key, value, timestamp, headers } = record;
        let Change { new, old, is_latest } = value.take();
        if !is_latest {
            // A versioned table has learnt of an earlier time: its latest row, which is in the group, is unchanged.
            return Ok(());
        }
        let pick = |row: Option<V>| {
            let (key, value) = (self.mapper)(key.get(), row?);
            Some((key.into_present()?, value.into_present()?))
        };
        let mut forward = |key: K2::Present, change: Change<V2::Present>| {
            let (key, value) = (&mut Some(key), &mut Some(change));
            out.forward(InFlight { key: Part::Owned(key), value: Part::Owned(value), timestamp, headers })
        };
        match (pick(new), pick(old)) {
            (None, None) => Ok(()),
            (Some((key, new)), None) => forward(key, Change::new(Some(new), None)),
            (None, Some((key, old))) => forward(key, Change::new(None, Some(old))),
            (Some((new_key, new)), Some((old_key, old))) => {
                if self.is_same(&old_key, &new_key)? {
                    return forward(new_key, Change::new(Some(new), Some(old)));
                }
                forward(old_key, Change::new(None, Some(old)))?;
                forward(new_key, Change::new(Some(new), None))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operators::check::check;
    use crate::serdes::text;

    type Row = (String, Change<String>, i64);

    fn row(key: &str, new: Option<&str>, old: Option<&str>) -> Row {
        (key.to_string(), Change::new(new.map(str::to_owned), old.map(str::to_owned)), 5)
    }

    /// By the first letter; what begins with `x` has no group, what ends with `x` no value.
    fn by_letter(_: &String, text: String) -> (Option<String>, Option<String>) {
        let letter = text[..1].to_string();
        ((letter != "x").then_some(letter), (!text.ends_with('x')).then_some(text))
    }

    #[test]
    fn rows_move_between_groups() {
        let late = (Change { is_latest: false, ..row("1", Some("d"), Some("e")).1 }, 5);
        let input = vec![
            row("1", Some("a1"), None),
            row("1", Some("a2"), Some("a1")),
            row("1", Some("b1"), Some("a2")),
            row("1", None, Some("b1")),
            row("1", None, None),
            row("1", Some("x1"), Some("c1")),
            row("1", Some("c2"), Some("x1")),
            row("1", Some("cx"), Some("c2")),
            ("1".to_string(), late.0, late.1),
        ];
        let output = vec![
            row("a", Some("a1"), None),
            row("a", Some("a2"), Some("a1")),
            row("a", None, Some("a2")),
            row("b", Some("b1"), None),
            row("b", None, Some("b1")),
            row("c", None, Some("c1")),
            row("c", Some("c2"), None),
            row("c", None, Some("c2")),
        ];
        let mapper = Arc::new(by_letter);
        check(TableGroupBy::<_, _, Option<String>, _, _>::new(mapper, Arc::new(text())), input, output);
    }
}
