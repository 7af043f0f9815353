//! What a running broker is made of, as the handlers see it.
//!
//! [`Broker`](crate::broker) puts it together; each handler takes the parts it needs. Everything in here is shared by
//! all connections, and guards itself.

use std::fmt;

use anabranch_host::Host;

use crate::config::BrokerConfig;

/// The parts of a running broker.
pub(crate) struct Node {
    /// The world it runs in.
    pub(crate) host: Host,
    /// What its file says.
    pub(crate) config: BrokerConfig,
    /// The cluster it is: 22 characters that nobody else has.
    pub(crate) cluster_id: String,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("cluster_id", &self.cluster_id).finish_non_exhaustive()
    }
}
