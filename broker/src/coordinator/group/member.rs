//! A member of a classic group, and the names members get.

use std::sync::Arc;

use bytes::Bytes;

use crate::coordinator::ReplyTo;

/// One way to assign partitions which a member knows, with what the member says about itself in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Protocol {
    /// Such as `range` or `cooperative-sticky`.
    pub(crate) name: Arc<str>,
    /// The member's subscription, in the assignor's own format: opaque bytes to us.
    pub(crate) metadata: Bytes,
}

/// A member of a classic group (Kafka's `ClassicGroupMember`).
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: Arc<str>,
    /// `group.instance.id`: such a member is *static*, it keeps its place while it restarts (KIP-345).
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) session_timeout_ms: i32,
    /// In the member's order of preference, names unique.
    pub(crate) protocols: Vec<Protocol>,
    /// What the leader gave it: opaque bytes, empty until then.
    pub(crate) assignment: Bytes,
    /// Has not learnt its member id yet, and so cannot send heartbeats.
    pub(crate) is_new: bool,
    // The requests it has parked. The group counts them, so only the group sets them.
    pub(super) awaiting_join: Option<ReplyTo>,
    pub(super) awaiting_sync: Option<ReplyTo>,
}

impl Member {
    /// Its metadata for the protocol `name`; empty if it does not know it.
    pub(crate) fn metadata(&self, name: Option<&str>) -> Bytes {
        let found = self.protocols.iter().find(|protocol| Some(&*protocol.name) == name);
        found.map_or_else(Bytes::new, |protocol| protocol.metadata.clone())
    }

    /// Whether its JoinGroup is parked.
    pub(crate) fn is_awaiting_join(&self) -> bool {
        self.awaiting_join.is_some()
    }

    /// A member whose request is parked is alive without heartbeats. A new one is not excused: a client that gave up
    /// on its JoinGroup and asked anew leaves a member behind that nobody speaks for.
    pub(crate) fn is_excused_from_heartbeats(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// As much of a client id as a member id can hold, a string being at most 32767 bytes on the wire.
const MAX_MEMBER_ID_PREFIX_BYTES: usize = 32_000;

/// A new member's id: its client or instance id, a dash, and a random uuid.
pub(crate) fn new_member_id(prefix: &str, uuid: [u8; 16]) -> Arc<str> {
    let prefix = &prefix[..prefix.floor_char_boundary(MAX_MEMBER_ID_PREFIX_BYTES)];
    let mut id = String::with_capacity(prefix.len() + 37);
    id.push_str(prefix);
    for (index, byte) in uuid.into_iter().enumerate() {
        if matches!(index, 0 | 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for nibble in [byte >> 4, byte & 0xf] {
            id.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    id.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_id_is_the_prefix_and_a_uuid() {
        let uuid = std::array::from_fn(|index| index as u8 * 0x11);
        assert_eq!(&*new_member_id("app", uuid), "app-00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!(new_member_id(&"ö".repeat(16_383), uuid).len(), MAX_MEMBER_ID_PREFIX_BYTES + 37);
    }
}
