//! The handle of what ends a stream.

use super::handle::Handle;
use crate::policy::OnError;

/// The end of a stream, to be named or given an error policy.
#[derive(Clone)]
pub struct Named {
    pub(super) handle: Handle,
}

impl Named {
    /// Names the node.
    pub fn named(self, name: &str) -> Self {
        self.handle.graph.name(self.handle.operation, name);
        self
    }

    /// What happens to records that fail at the node; without it the application's policy answers.
    pub fn on_error(self, answer: OnError) -> Self {
        self.handle.graph.on_error(self.handle.operation, answer);
        self
    }
}
