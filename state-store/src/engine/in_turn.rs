//! Snapshots that are read one after the other, each opened when it is its turn: on the thread of whoever reads.

use std::collections::VecDeque;
use std::fmt;

use super::{EngineScan, EngineSnapshot};
use crate::error::Result;
use crate::row::RowBuffer;
use crate::table::ordered::{KeyRange, Order};

/// The rows of a range of each snapshot.
pub(crate) struct InTurn {
    /// Those that are still to be read.
    snapshots: VecDeque<Box<dyn EngineSnapshot>>,
    range: KeyRange<'static>,
    order: Order,
    scan: Option<Box<dyn EngineScan>>,
}

impl InTurn {
    /// The snapshots come in the order of the smallest keys first; they are read from the other end if the order is reversed.
    pub(crate) fn new(
        snapshots: Vec<Box<dyn EngineSnapshot>>,
        range: KeyRange<'static>,
        order: Order,
    ) -> Self {
        InTurn { snapshots: snapshots.into(), range, order, scan: None }
    }
}

impl EngineScan for InTurn {
    fn next(&mut self, key: &mut Vec<u8>, row: &mut RowBuffer) -> Result<bool> {
        loop {
            if let Some(scan) = &mut self.scan
                && scan.next(key, row)?
            {
                return Ok(true);
            }
            let next = match self.order {
                Order::Forward => self.snapshots.pop_front(),
                Order::Reverse => self.snapshots.pop_back(),
            };
            let Some(snapshot) = next else {
                self.scan = None;
                return Ok(false);
            };
            self.scan = Some(snapshot.scan(&self.range, self.order)?);
        }
    }
}

impl fmt::Debug for InTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InTurn").field("snapshots", &self.snapshots.len()).finish_non_exhaustive()
    }
}
