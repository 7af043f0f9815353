//! The parts of a table.

pub(crate) mod clusters;
pub(crate) mod entry;
pub(crate) mod frozen;
pub(crate) mod index;
pub(crate) mod kept;
pub(crate) mod ordered;
pub(crate) mod pending;
pub(crate) mod row_map;
pub(crate) mod rows;
pub(crate) mod segments;
pub(crate) mod selection;
pub(crate) mod share;
pub(crate) mod slab;
pub(crate) mod sorting;
pub(crate) mod timed;
pub(crate) mod undo;
