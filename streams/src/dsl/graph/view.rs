//! How the tables of the plan are read by joins.

use std::any::Any;
use std::sync::Arc;

use super::{TableId, TableOrigin, TablePlan, Walk};
use crate::operators::TableView;

/// How a table is read, kept without its types: in its store if it is kept, else through what it is made of.
#[derive(Clone)]
pub(crate) struct ViewSlot(Arc<dyn Any>);

struct Views<K, V> {
    kept: fn(&str) -> TableView<K, V>,
    derived: Option<Box<Derived<K, V>>>,
}

type Derived<K, V> = dyn Fn(&[TablePlan]) -> TableView<K, V>;

impl ViewSlot {
    /// Of a table that is kept whenever it is read.
    pub(crate) fn kept<K: 'static, V: 'static>(kept: fn(&str) -> TableView<K, V>) -> Self {
        ViewSlot(Arc::new(Views { kept, derived: None }))
    }

    /// Of a table that may be read through others.
    pub(crate) fn derived<K: 'static, V: 'static>(
        kept: fn(&str) -> TableView<K, V>,
        derived: impl Fn(&[TablePlan]) -> TableView<K, V> + 'static,
    ) -> Self {
        ViewSlot(Arc::new(Views { kept, derived: Some(Box::new(derived)) }))
    }
}

/// How a table is read, when all is known.
pub(crate) fn view<K: 'static, V: 'static>(tables: &[TablePlan], id: TableId) -> TableView<K, V> {
    let table = &tables[id];
    let Some(views) = table.view.0.downcast_ref::<Views<K, V>>() else {
        unreachable!("a handle of a table has the types of its operation")
    };
    match (&table.store, &views.derived) {
        (Some(store), _) => (views.kept)(&store.name),
        (None, Some(derived)) => derived(tables),
        (None, None) => unreachable!("`need_view` has let the table be kept"),
    }
}

impl Walk {
    /// Makes sure that a table can be read: a table out of a topic or a stream must be kept for that, here or where it
    /// is made of others.
    pub(crate) fn need_view(&mut self, id: TableId) {
        let table = &mut self.tables[id];
        if table.store.is_some() {
            return;
        }
        match &table.origin {
            TableOrigin::Source { reserved } => table.store = Some(reserved.clone()),
            TableOrigin::Aggregate => {}
            &TableOrigin::Rows { parent } => self.need_view(parent),
            &TableOrigin::Join { left, right } => {
                self.need_view(left);
                self.need_view(right);
            }
        }
    }
}
