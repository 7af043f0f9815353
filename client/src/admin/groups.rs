//! Groups: list, describe, delete, remove members, and delete their offsets.

use std::collections::BTreeMap;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
use anabranch_protocol::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use anabranch_protocol::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use anabranch_protocol::messages::list_groups::{ListGroupsRequest, ListGroupsResponse};
use anabranch_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic, OffsetDeleteResponse,
};

use super::{Admin, outcome};
use crate::cluster::CoordinatorKind;
use crate::connection::Connection;
use crate::consumer::assignor::MemberAssignment;
use crate::error::{ClientError, Result};
use crate::topic_partition::TopicPartition;

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// The group.
    pub group_id: String,
    /// The kind of members: `consumer`, `connect`, ..., empty for offsets without members.
    pub protocol_type: String,
    /// `Stable`, `Empty`, ...; empty if the broker does not tell.
    pub state: String,
    /// `classic`, `consumer`, ...; empty if the broker does not tell.
    pub group_type: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group_id: String,
    /// `Stable`, `Empty`, `Dead` (it does not exist), ...
    pub state: String,
    /// The kind of members.
    pub protocol_type: String,
    /// The assignor.
    pub protocol: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its member id.
    pub member_id: String,
    /// Its lasting name, if it has one.
    pub group_instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is.
    pub client_host: String,
    /// Its partitions, if it is a consumer.
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    /// All groups of the cluster, by name.
    ///
    /// # Errors
    /// Retriable, if a broker does not answer in time.
    pub async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let mut retry = self.client.retry();
        loop {
            match retry.attempt(self.ask_for_groups()).await {
                Ok(groups) => return Ok(groups.into_values().collect()),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Every broker knows the groups that it coordinates.
    async fn ask_for_groups(&self) -> Result<BTreeMap<String, GroupListing>> {
        let metadata = self.client.refresh_topics(&[], self.client.host().now(), false).await?;
        let mut groups = BTreeMap::new();
        for broker in metadata.brokers() {
            let connection = self.client.connection(broker.id).await?;
            let answer = connection.call(&ListGroupsRequest::default()).await?;
            let response: ListGroupsResponse<'_> = answer.decode()?;
            outcome("listing groups", response.error_code, None, ())?;
            for group in &response.groups {
                let listing = GroupListing {
                    group_id: group.group_id.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                    state: group.group_state.to_string(),
                    group_type: group.group_type.to_string(),
                };
                groups.insert(listing.group_id.clone(), listing);
            }
        }
        Ok(groups)
    }

    /// A group with its members.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if there is no such group or it is of another kind.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let connection = self.group_connection(group).await?;
                let request = DescribeGroupsRequest { groups: vec![group], ..Default::default() };
                let answer = connection.call(&request).await?;
                let response: DescribeGroupsResponse<'_> = answer.decode()?;
                let found = response.groups.iter().find(|found| found.group_id == group);
                describe(found.ok_or_else(|| no_answer(group))?)
            };
            match retry.attempt(attempt).await {
                Ok(description) => return Ok(description),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Deletes a group without members, with its offsets.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if there is no such group or it has members.
    pub async fn delete_group(&self, group: &str) -> Result<()> {
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let connection = self.group_connection(group).await?;
                let answer = connection.call(&DeleteGroupsRequest { groups_names: vec![group] }).await?;
                let response: DeleteGroupsResponse<'_> = answer.decode()?;
                let found = response.results.iter().find(|found| found.group_id == group);
                let code = found.ok_or_else(|| no_answer(group))?.error_code;
                outcome(&format!("deleting group {group}"), code, None, ())
            };
            match retry.attempt(attempt).await {
                Ok(()) => return Ok(()),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Removes static members by their lasting names; answers for each.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if there is no such group.
    pub async fn remove_members(
        &self,
        group: &str,
        instance_ids: &[&str],
        reason: &str,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let members = instance_ids.iter().map(|id| MemberIdentity {
            group_instance_id: Some(*id),
            reason: (!reason.is_empty()).then_some(reason),
            ..Default::default()
        });
        self.remove(group, members.collect()).await
    }

    /// Removes all members of a group, static ones or not; answers for each by its lasting name or its member id.
    ///
    /// # Errors
    /// As [`Admin::remove_members`].
    pub async fn remove_all_members(
        &self,
        group: &str,
        reason: &str,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let described = self.describe_group(group).await?;
        let member =
            |member: &'_ MemberDescription| (member.member_id.clone(), member.group_instance_id.clone());
        let known: Vec<_> = described.members.iter().map(member).collect();
        let members = known.iter().map(|(member_id, instance_id)| MemberIdentity {
            // A static member is removed by its name, whoever has it now.
            member_id: if instance_id.is_some() { "" } else { member_id },
            group_instance_id: instance_id.as_deref(),
            reason: (!reason.is_empty()).then_some(reason),
        });
        self.remove(group, members.collect()).await
    }

    async fn remove(
        &self,
        group: &str,
        members: Vec<MemberIdentity<'_>>,
    ) -> Result<BTreeMap<String, Result<()>>> {
        if members.is_empty() {
            return Ok(BTreeMap::new());
        }
        let request = LeaveGroupRequest { group_id: group, member_id: "", members };
        let what = format!("removing members of group {group}");
        self.until_done(|| async {
            let connection = self.group_connection(group).await?;
            if connection.version::<LeaveGroupRequest<'_>>(i16::MAX)? < 3 {
                return Err(ClientError::invalid(format!("{what}: the broker is too old")));
            }
            let answer = connection.call(&request).await?;
            let response: LeaveGroupResponse<'_> = answer.decode()?;
            outcome(&what, response.error_code, None, ())?;
            let mut results = BTreeMap::new();
            for member in &response.members {
                let name = member.group_instance_id.unwrap_or(member.member_id).to_string();
                let result = outcome(&format!("{what}: {name}"), member.error_code, None, ());
                results.insert(name, result);
            }
            Ok(results)
        })
        .await
    }

    /// Deletes committed offsets of topics that no member of the group subscribes to; answers for each partition.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Invalid, if there is no such group.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, Result<()>>> {
        let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for name in partitions {
            let partition = OffsetDeleteRequestPartition { partition_index: name.partition };
            topics.entry(&name.topic).or_default().push(partition);
        }
        let topics =
            topics.into_iter().map(|(name, partitions)| OffsetDeleteRequestTopic { name, partitions });
        let request = OffsetDeleteRequest { group_id: group, topics: topics.collect() };
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let connection = self.group_connection(group).await?;
                let answer = connection.call(&request).await?;
                let response: OffsetDeleteResponse<'_> = answer.decode()?;
                let what = format!("deleting offsets of group {group}");
                outcome(&what, response.error_code, None, ())?;
                let mut results = BTreeMap::new();
                for topic in &response.topics {
                    for partition in &topic.partitions {
                        let name = TopicPartition::new(topic.name, partition.partition_index);
                        let result = outcome(&format!("{what}: {name}"), partition.error_code, None, ());
                        results.insert(name, result);
                    }
                }
                Ok::<_, ClientError>(results)
            };
            match retry.attempt(attempt).await {
                Ok(results) => return Ok(results),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// The address of the broker that coordinates a group.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time.
    pub async fn group_coordinator(&self, group: &str) -> Result<String> {
        let mut retry = self.client.retry();
        loop {
            match retry.attempt(self.client.find_coordinator(CoordinatorKind::Group, group)).await {
                Ok(address) => return Ok(address),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// A connection to a group's coordinator.
    pub(super) async fn group_connection(&self, group: &str) -> Result<Connection> {
        let address = self.client.find_coordinator(CoordinatorKind::Group, group).await?;
        self.client.shared_lane().connection(&address).await
    }
}

fn no_answer(group: &str) -> ClientError {
    ClientError::corrupt(format!("the coordinator of group {group} did not answer for it"))
}

fn describe(group: &DescribedGroup<'_>) -> Result<GroupDescription> {
    let what = format!("describing group {}", group.group_id);
    outcome(&what, group.error_code, group.error_message, ())?;
    let is_consumer = group.protocol_type == "consumer";
    let member = |member: &DescribedGroupMember<'_>| {
        let assignment = if is_consumer {
            MemberAssignment::decode(&member.member_assignment)?
        } else {
            Default::default()
        };
        Ok::<_, ClientError>(MemberDescription {
            member_id: member.member_id.to_string(),
            group_instance_id: member.group_instance_id.map(str::to_string),
            client_id: member.client_id.to_string(),
            client_host: member.client_host.to_string(),
            partitions: assignment.partitions,
        })
    };
    // Of a group that does not exist, older brokers say only that it is dead.
    if group.group_state == "Dead" {
        return Err(ClientError::from_code(&what, ErrorCode::GROUP_ID_NOT_FOUND));
    }
    Ok(GroupDescription {
        group_id: group.group_id.to_string(),
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
        protocol: group.protocol_data.to_string(),
        members: group.members.iter().map(member).collect::<Result<_>>()?,
    })
}
