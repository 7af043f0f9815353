//! What flows between tables: an update of a row.

/// The new value of a row and, if somebody below asked for it, the old one. `None`: there is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change<V> {
    pub(crate) new: Option<V>,
    /// `None` as well if nobody asked.
    pub(crate) old: Option<V>,
    /// False: a versioned store already holds a later version.
    pub(crate) is_latest: bool,
}

impl<V> Change<V> {
    /// An update of the latest value.
    pub(crate) fn new(new: Option<V>, old: Option<V>) -> Self {
        Change { new, old, is_latest: true }
    }
}
