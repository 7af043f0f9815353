//! The rows of a global store at one moment, in the order of their keys.

use std::cmp::Ordering;
use std::sync::Arc;

use anabranch_state_store::{Kept, KeyRange, Order, Row, Sorting};

use super::global_rows::{Shard, shard_of};

/// Rows of a range. They are brought into order by who reads them.
pub(crate) struct FrozenGlobal {
    shards: Vec<Arc<Kept<Shard>>>,
    range: KeyRange<'static>,
    order: Order,
    keys: Sorting<Arc<[u8]>>,
    /// Shards before this one were looked at.
    looked_at: usize,
}

impl FrozenGlobal {
    pub(super) fn new(shards: Vec<Arc<Kept<Shard>>>, range: &KeyRange<'_>, order: Order) -> Self {
        FrozenGlobal { shards, range: range.owned(), order, keys: Sorting::new(), looked_at: 0 }
    }

    /// Brings some more of the rows into order, and says whether this is to be called again; `next` does all of it.
    pub(crate) fn prepare(&mut self) -> bool {
        let Some(shard) = self.shards.get(self.looked_at) else { return false };
        self.keys.add(shard.keys().filter(|key| self.range.contains(key)).cloned());
        self.keys.end_run(|left, right| compare(self.order, left, right));
        self.looked_at += 1;
        self.looked_at < self.shards.len()
    }

    /// The next key and its row.
    pub(crate) fn next(&mut self) -> Option<(&[u8], Row<'_>)> {
        while self.prepare() {}
        let key = self.keys.head()?.clone();
        self.keys.advance(|left, right| compare(self.order, left, right));
        let shard = &self.shards[shard_of(&key, self.shards.len())];
        shard.get_key_value(&key).map(|(key, row)| (&**key, row.row()))
    }
}

fn compare(order: Order, left: &[u8], right: &[u8]) -> Ordering {
    match order {
        Order::Forward => left.cmp(right),
        Order::Reverse => right.cmp(left),
    }
}
