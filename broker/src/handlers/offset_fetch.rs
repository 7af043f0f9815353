//! OffsetFetch (9): how far groups have read. One group up to version 7, many from version 8 on; no topics, where that may
//! be said, means all that the group has offsets for.
//!
//! A partition without an offset is no error: its offset is -1, whether or not the partition, or the group, exists.
//!
//! What is named again is told again, at each place where it is named. But metadata of kilobytes may stand beside an offset,
//! and a request may name a partition a million times: who asks again is refused when a mebibyte of metadata, and of all
//! offsets of groups, has been told again.

use std::cell::OnceCell;
use std::sync::Arc;

use anabranch_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use anabranch_protocol::{ErrorCode, Uuid};

use super::repeated::Told;
use crate::coordinator::group::offset_fetch::FetchedOffset;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};
use crate::watermark::Durable;

/// The first version that can say what is wrong with the group.
const GROUP_ERROR_VERSION: i16 = 2;
/// The first version with many groups.
const MANY_GROUPS_VERSION: i16 = 8;
/// The first version that knows topics by id.
const TOPIC_ID_VERSION: i16 = 10;

/// A group's offsets, topic by topic.
struct FetchedGroup<'a> {
    group_id: &'a str,
    error_code: ErrorCode,
    topics: Vec<FetchedTopic>,
}

struct FetchedTopic {
    name: Arc<str>,
    id: Uuid,
    partitions: Vec<FetchedOffset>,
}

/// What was told of a group.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Offsets {
    All,
    Of(Arc<str>, i32),
}

impl FetchedTopic {
    /// Refuses the partitions whose metadata was told too often.
    fn refuse_again<'a>(&mut self, group_id: &'a str, told: &mut Told<(&'a str, Offsets)>) {
        for fetched in self.partitions.iter_mut().filter(|fetched| !fetched.metadata.is_empty()) {
            let asked = (group_id, Offsets::Of(self.name.clone(), fetched.partition));
            if told.may_tell(&asked) {
                told.tell(asked, fetched.metadata.len());
            } else {
                *fetched = FetchedOffset::refused(fetched.partition, ErrorCode::INVALID_REQUEST);
            }
        }
    }

    /// About as many bytes as it takes in an answer.
    fn bytes(&self) -> usize {
        let partition = |fetched: &FetchedOffset| size_of::<FetchedOffset>() + fetched.metadata.len();
        self.name.len() + self.partitions.iter().map(partition).sum::<usize>()
    }
}

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: OffsetFetchRequest<'_>,
) -> Reply {
    let version = request.api_version();
    let asked = match version {
        MANY_GROUPS_VERSION.. => message.groups,
        _ => vec![single_group(message.group_id, message.topics)],
    };
    let mut groups = Vec::with_capacity(asked.len());
    let mut durables = Vec::with_capacity(asked.len());
    let mut told = Told::new();
    for group in &asked {
        let all = (group.group_id, Offsets::All);
        if group.topics.is_none() && !told.may_tell(&all) {
            groups.push(refused(group, ErrorCode::INVALID_REQUEST));
            continue;
        }
        match fetch_group(node, group, message.require_stable, version) {
            Ok((mut topics, durable)) => {
                match group.topics {
                    Some(_) => {
                        topics.iter_mut().for_each(|topic| topic.refuse_again(group.group_id, &mut told));
                    }
                    None => told.tell(all, topics.iter().map(FetchedTopic::bytes).sum()),
                }
                durables.push(durable);
                groups.push(FetchedGroup { group_id: group.group_id, error_code: ErrorCode::NONE, topics });
            }
            Err(error_code) => groups.push(refused(group, error_code)),
        }
    }
    let unsure = OnceCell::new();
    let unsure = || {
        let of = |group| refused(group, ErrorCode::NOT_COORDINATOR);
        response(unsure.get_or_init(|| asked.iter().map(of).collect::<Vec<_>>()), version)
    };
    node.groups.answer(request, durables, &response(&groups, version), unsure)
}

/// The one group of the older versions, in the newer form.
fn single_group<'a>(
    group_id: &'a str,
    topics: Option<Vec<anabranch_protocol::messages::offset_fetch::OffsetFetchRequestTopic<'a>>>,
) -> OffsetFetchRequestGroup<'a> {
    let topics = topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            partition_indexes: topic.partition_indexes,
            ..Default::default()
        });
        topics.collect()
    });
    OffsetFetchRequestGroup { group_id, topics, ..Default::default() }
}

fn fetch_group(
    node: &Arc<Node>,
    group: &OffsetFetchRequestGroup<'_>,
    require_stable: bool,
    version: i16,
) -> Result<(Vec<FetchedTopic>, Durable), ErrorCode> {
    let group_id = group.group_id;
    let Some(topics) = &group.topics else {
        let (topics, durable) = node
            .groups
            .call(group_id, |coordinator, _, _| coordinator.fetch_all_offsets(group_id, require_stable))
            .map_err(as_told)?;
        let image = node.metadata.image();
        let topics = topics.into_iter().filter_map(|(name, partitions)| {
            let id = match image.topic(&name) {
                Some(topic) => topic.id,
                // It cannot be told of a topic that is gone, when ids are all there is to tell it by.
                None if version >= TOPIC_ID_VERSION => return None,
                None => Uuid::ZERO,
            };
            Some(FetchedTopic { name, id, partitions })
        });
        return Ok((topics.collect(), durable));
    };
    // Names and ids first: the metadata is not to be locked while the coordinator is.
    let named: Vec<Option<(Arc<str>, Uuid)>> = {
        let image = node.metadata.image();
        let by_id = |id| image.topic_by_id(id).map(|topic| (topic.name.clone(), topic.id));
        let by_name = |name| (name, image.topic(name).map_or(Uuid::ZERO, |topic| topic.id));
        let named = topics.iter().map(|topic| match version {
            TOPIC_ID_VERSION.. => by_id(&topic.topic_id),
            _ => Some(by_name(topic.name)).map(|(name, id)| (name.into(), id)),
        });
        named.collect()
    };
    // As with Kafka, what is not known stands behind what is.
    let mut named: Vec<_> = topics.iter().zip(named).collect();
    named.sort_by_key(|(_, named)| named.is_none());
    let (fetched, durable) = node
        .groups
        .call(group_id, |coordinator, _, _| {
            let topics = named.into_iter().map(|(topic, named)| {
                let partitions = topic.partition_indexes.iter().map(|partition| match &named {
                    Some((name, id)) => {
                        coordinator.fetch_offset(group_id, (name, *id), *partition, require_stable)
                    }
                    None => FetchedOffset::refused(*partition, ErrorCode::UNKNOWN_TOPIC_ID),
                });
                let partitions = partitions.collect();
                let (name, id) = named.unwrap_or_else(|| (topic.name.into(), topic.topic_id));
                FetchedTopic { name, id, partitions }
            });
            topics.collect()
        })
        .map_err(as_told)?;
    Ok((fetched, durable))
}

/// Consumers before 3.9 give up at COORDINATOR_NOT_AVAILABLE here; NOT_COORDINATOR lets all of them try again.
fn as_told(error_code: ErrorCode) -> ErrorCode {
    if error_code == ErrorCode::COORDINATOR_NOT_AVAILABLE { ErrorCode::NOT_COORDINATOR } else { error_code }
}

/// What is told of a group whose offsets cannot be: its error, also at each partition for those who look only there.
fn refused<'a>(group: &OffsetFetchRequestGroup<'a>, error_code: ErrorCode) -> FetchedGroup<'a> {
    let topics = group.topics.iter().flatten().map(|topic| FetchedTopic {
        name: topic.name.into(),
        id: topic.topic_id,
        partitions: topic
            .partition_indexes
            .iter()
            .map(|partition| FetchedOffset::refused(*partition, error_code))
            .collect(),
    });
    FetchedGroup { group_id: group.group_id, error_code, topics: topics.collect() }
}

fn response<'a>(groups: &'a [FetchedGroup<'_>], version: i16) -> OffsetFetchResponse<'a> {
    if version >= MANY_GROUPS_VERSION {
        let groups = groups.iter().map(|group| OffsetFetchResponseGroup {
            group_id: group.group_id,
            topics: if group.error_code == ErrorCode::NONE {
                group.topics.iter().map(of_many).collect()
            } else {
                Vec::new()
            },
            error_code: group.error_code,
        });
        return OffsetFetchResponse { groups: groups.collect(), ..Default::default() };
    }
    let Some(group) = groups.first() else { return OffsetFetchResponse::default() };
    let shows_partitions = group.error_code == ErrorCode::NONE || version < GROUP_ERROR_VERSION;
    OffsetFetchResponse {
        topics: if shows_partitions { group.topics.iter().map(of_one).collect() } else { Vec::new() },
        error_code: group.error_code,
        ..Default::default()
    }
}

fn of_many(topic: &FetchedTopic) -> OffsetFetchResponseTopics<'_> {
    let partitions = topic.partitions.iter().map(|fetched| OffsetFetchResponsePartitions {
        partition_index: fetched.partition,
        committed_offset: fetched.offset,
        committed_leader_epoch: fetched.leader_epoch,
        metadata: Some(&fetched.metadata),
        error_code: fetched.error,
    });
    OffsetFetchResponseTopics { name: &topic.name, topic_id: topic.id, partitions: partitions.collect() }
}

fn of_one(topic: &FetchedTopic) -> OffsetFetchResponseTopic<'_> {
    let partitions = topic.partitions.iter().map(|fetched| OffsetFetchResponsePartition {
        partition_index: fetched.partition,
        committed_offset: fetched.offset,
        committed_leader_epoch: fetched.leader_epoch,
        metadata: Some(&fetched.metadata),
        error_code: fetched.error,
    });
    OffsetFetchResponseTopic { name: &topic.name, partitions: partitions.collect() }
}
