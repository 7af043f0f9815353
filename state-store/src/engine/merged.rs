//! Several stores of an engine read as one, by key. No key is in two of them.

use std::fmt;

use super::{EngineScan, EngineSnapshot};
use crate::error::Result;
use crate::row::RowBuffer;
use crate::table::ordered::{KeyRange, Order};

/// The stores as they were at some moment.
#[derive(Debug)]
pub(super) struct MergedSnapshot(pub(super) Vec<Box<dyn EngineSnapshot>>);

impl EngineSnapshot for MergedSnapshot {
    fn scan(&self, range: &KeyRange<'_>, order: Order) -> Result<Box<dyn EngineScan>> {
        let mut heads = Vec::with_capacity(self.0.len());
        for snapshot in &self.0 {
            let mut head =
                Head { scan: snapshot.scan(range, order)?, key: Vec::new(), row: RowBuffer::default() };
            if head.scan.next(&mut head.key, &mut head.row)? {
                heads.push(head);
            }
        }
        Ok(Box::new(MergedScan { heads, order }))
    }
}

/// A store with the row that it shows next.
struct Head {
    scan: Box<dyn EngineScan>,
    key: Vec<u8>,
    row: RowBuffer,
}

/// The rows of all stores. There are few of them: whose turn it is is looked for among all.
struct MergedScan {
    heads: Vec<Head>,
    order: Order,
}

impl EngineScan for MergedScan {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        let heads = self.heads.iter().enumerate();
        let next = match self.order {
            Order::Forward => heads.min_by(|(_, left), (_, right)| left.key.cmp(&right.key)),
            Order::Reverse => heads.max_by(|(_, left), (_, right)| left.key.cmp(&right.key)),
        };
        let Some((at, _)) = next else { return Ok(false) };
        let head = &mut self.heads[at];
        std::mem::swap(key, &mut head.key);
        std::mem::swap(row, &mut head.row);
        if !head.scan.next(&mut head.key, &mut head.row)? {
            self.heads.swap_remove(at);
        }
        Ok(true)
    }
}

impl fmt::Debug for MergedScan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MergedScan").field("stores", &self.heads.len()).finish_non_exhaustive()
    }
}
