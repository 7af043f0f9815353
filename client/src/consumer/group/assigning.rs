//! What a leader does between the answer to its join and its sync: it looks at all topics that members want, and its
//! assignor chooses who gets what. A task of its own, however long it takes: the member's heartbeats go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Client;
use crate::consumer::assignor::{Assignor, GroupView, MemberAssignment, MemberSubscription};
use crate::error::{ClientError, Result};

/// The leader's choice.
pub(super) struct Assigned {
    /// The topics that it has seen for that, and their partitions.
    pub(super) topics: BTreeMap<Arc<str>, Option<i32>>,
    pub(super) assignments: BTreeMap<String, MemberAssignment>,
}

/// Chooses, over fresh metadata of all topics that members want.
pub(super) async fn assign(
    client: &Client,
    create_topics: bool,
    assignor: &dyn Assignor,
    members: &BTreeMap<String, MemberSubscription>,
) -> Result<Assigned> {
    let host = client.host();
    let wanted: BTreeSet<_> = members.values().flat_map(|member| member.topics.iter().cloned()).collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    let timeout = Duration::from_millis(client.config().request_timeout_ms);
    let asked = client.refresh_topics(&wanted, host.now(), create_topics);
    let metadata = host.timeout(timeout, asked).await;
    let metadata =
        metadata.unwrap_or_else(|_| Err(ClientError::timed_out("asking for metadata", timeout)))?;
    let seen = |topic: &Arc<str>| (Arc::clone(topic), metadata.partition_count(topic));
    let topics = wanted.iter().map(seen).collect();
    assignor.prepare(GroupView { metadata: &metadata, members }).await?;
    // What was prepared may have made topics.
    let assignments = assignor.assign(GroupView { metadata: &client.metadata(), members })?;
    Ok(Assigned { topics, assignments })
}
