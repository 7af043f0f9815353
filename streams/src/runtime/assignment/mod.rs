//! Which instance runs which task, and which keeps a copy of its state.
//!
//! Reading order: [`placement`] decides (pure), over `balance` (how loads are levelled); [`user_data`] is how members tell
//! the leader what they have and how the leader answers; [`holdings`] is what this instance has; [`assignor`] ties all to
//! the group protocol.

pub(crate) mod assignor;
mod balance;
pub(crate) mod holdings;
pub(crate) mod placement;
pub(crate) mod user_data;
