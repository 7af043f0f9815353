//! Which instance runs which task.
//!
//! Reading order: [`sticky`] decides (pure), [`user_data`] is how members tell the leader what they had and how the leader
//! answers, [`assignor`] ties both to the group protocol.

pub(crate) mod assignor;
pub(crate) mod sticky;
pub(crate) mod user_data;
