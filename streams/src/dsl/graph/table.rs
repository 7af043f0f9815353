//! Tables in the plan: which are kept in a store, and which send old values.
//!
//! Both are decided in the order of the calls, by what later calls ask for, as in Kafka Streams; the nodes are written
//! when all is known.

use super::{PlanId, SerdeSlot, ViewSlot, Walk};
use crate::topology::{StoreDefinition, StoreShape};

/// A table's place in the plan.
pub(crate) type TableId = usize;

/// A table.
pub(crate) struct TablePlan {
    pub(crate) node: PlanId,
    pub(crate) origin: TableOrigin,
    /// Where it is kept, if it is.
    pub(crate) store: Option<StoreDefinition>,
    /// How it is read by others.
    pub(crate) view: ViewSlot,
    /// Somebody below needs the value that an update replaces.
    pub(crate) sends_old: bool,
    pub(crate) key_serde: SerdeSlot,
    pub(crate) value_serde: SerdeSlot,
    /// The topics it comes from, back to the last repartition.
    pub(crate) topics: Vec<String>,
}

/// A global table.
#[derive(Clone)]
pub(crate) struct GlobalPlan {
    /// The name of its store.
    pub(crate) store: String,
}

/// What a table is made of.
pub(crate) enum TableOrigin {
    /// A topic or a stream; the store is what it is kept in if somebody needs it.
    Source { reserved: StoreDefinition },
    /// An aggregation, always kept.
    Aggregate,
    /// Another table, row by row.
    Rows { parent: TableId },
    /// A join of two others.
    Join { left: TableId, right: TableId },
}

/// Whether a table tells of updates that come late as what they are, because it is kept in a versioned store, or is made
/// row by row of one that is.
pub(crate) fn is_versioned(tables: &[TablePlan], id: TableId) -> bool {
    match (&tables[id].store, &tables[id].origin) {
        (Some(store), _) => matches!(store.shape, StoreShape::Versioned { .. }),
        (None, &TableOrigin::Rows { parent }) => is_versioned(tables, parent),
        (None, _) => false,
    }
}

impl Walk {
    pub(crate) fn add_table(&mut self, table: TablePlan) -> TableId {
        self.tables.push(table);
        self.tables.len() - 1
    }

    /// The id that the next table will get, for the node that is written before it is known.
    pub(crate) fn next_table(&self) -> TableId {
        self.tables.len()
    }

    /// Lets a table send old values. Without `force` a table that is kept nowhere may refuse.
    pub(crate) fn send_old(&mut self, id: TableId, force: bool) -> bool {
        let table = &mut self.tables[id];
        if table.sends_old {
            return true;
        }
        match &table.origin {
            TableOrigin::Source { reserved } => {
                if table.store.is_none() && !force {
                    return false;
                }
                table.store.get_or_insert_with(|| reserved.clone());
            }
            TableOrigin::Aggregate => {}
            &TableOrigin::Join { left, right } => {
                self.send_old(left, true);
                self.send_old(right, true);
            }
            &TableOrigin::Rows { parent } => {
                if table.store.is_none() && !self.send_old(parent, force) {
                    return false;
                }
            }
        }
        self.tables[id].sends_old = true;
        true
    }
}
