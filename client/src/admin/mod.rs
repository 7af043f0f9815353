//! Administration: topics, offsets. Every call retries what may pass for `default.api.timeout.ms`; what a broker says
//! of one topic or partition is that one's own result.
//!
//! Reading order: [`topics`], [`offsets`].

pub mod offsets;
pub mod topics;

use crate::cluster::Client;

/// Administers a cluster; made by [`Client::admin`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Client {
    /// The means to administer the cluster.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin { client: self.clone() }
    }
}
