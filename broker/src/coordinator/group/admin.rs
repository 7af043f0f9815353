//! DescribeGroups, ListGroups, DeleteGroups: looking at groups from outside.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use bytes::Bytes;
use tracing::info;

use super::GroupCoordinator;
use super::classic::{ClassicGroup, GroupState};
use super::effects::Effects;
use super::records::GroupRecord;
use crate::coordinator::Now;

/// The type ListGroups gives to classic groups (KIP-848).
pub(crate) const CLASSIC_GROUP_TYPE: &str = "classic";

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedGroup {
    pub(crate) state: GroupState,
    pub(crate) protocol_type: Arc<str>,
    /// The chosen protocol, once there is one.
    pub(crate) protocol_name: Arc<str>,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescribedMember {
    pub(crate) member_id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    /// Empty but in a stable group.
    pub(crate) metadata: Bytes,
    pub(crate) assignment: Bytes,
}

impl DescribedGroup {
    /// About as many bytes as it takes in an answer.
    pub(crate) fn bytes(&self) -> usize {
        let member = |member: &DescribedMember| {
            let names = member.member_id.len() + member.client_id.len() + member.client_host.len();
            names + member.metadata.len() + member.assignment.len()
        };
        self.members.iter().map(member).sum()
    }
}

/// A group as ListGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedGroup {
    pub(crate) group_id: Arc<str>,
    pub(crate) protocol_type: Arc<str>,
    pub(crate) state: GroupState,
}

impl GroupCoordinator {
    /// A group; `None` if there is none of this name.
    pub(crate) fn describe_group(&self, group_id: &str) -> Option<DescribedGroup> {
        let group = &self.groups.get(group_id)?.classic;
        let is_stable = group.state == GroupState::Stable;
        let protocol_name = group.protocol_name.clone().filter(|_| is_stable);
        let members = group.members().map(|member| DescribedMember {
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if is_stable { member.metadata(protocol_name.as_deref()) } else { Bytes::new() },
            assignment: member.assignment.clone(),
        });
        Some(DescribedGroup {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol_name: protocol_name.unwrap_or_default(),
        })
    }

    /// All groups, by name.
    pub(crate) fn list_groups(&self) -> Vec<ListedGroup> {
        let listed = |group: &ClassicGroup| ListedGroup {
            group_id: group.id.clone(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            state: group.state,
        };
        self.groups.values().map(|group| listed(&group.classic)).collect()
    }

    /// Deletes a group without members, with its offsets.
    pub(crate) fn delete_group(&mut self, now: Now, group_id: &str, effects: &mut Effects) -> ErrorCode {
        let Some(group) = self.groups.get(group_id) else { return ErrorCode::GROUP_ID_NOT_FOUND };
        if group.classic.state != GroupState::Empty {
            return ErrorCode::NON_EMPTY_GROUP;
        }
        info!(group = group_id, "deleting the group");
        let mut tombstones = group.offsets.tombstones(&group.classic.id, |_, _| true);
        tombstones.push(GroupRecord::GroupMetadata { group_id: group.classic.id.clone(), value: None });
        self.apply(now, &tombstones);
        effects.records.extend(tombstones);
        ErrorCode::NONE
    }
}
