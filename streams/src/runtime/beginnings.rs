//! Where a task begins to read what nobody has read before. Each source has a policy ([`AutoOffsetReset`]), by default the
//! consumer's `auto.offset.reset`; a repartition topic, whose records are the application's own, is read from its start.
//!
//! Where the policy is not the start, its offset is committed by the task's first commit, which comes at once: what was
//! written after the first start is read even if the application ends soon, and it is known that what lies before is not
//! wanted. The start itself is looked up where a transaction needs an offset to name (see `transaction`).

use std::collections::BTreeMap;

use anabranch_client::{
    AutoOffsetReset, Client, Consumer, ErrorCode, IsolationLevel, OffsetAndMetadata, OffsetSpec,
    TopicPartition,
};

use super::offsets::Offsets;
use super::plan::Plan;
use super::worker::client_error;
use crate::error::Result;

/// Where the topics that tasks read begin, by their names on the broker.
pub(crate) struct OffsetResets {
    /// Where nobody says otherwise: the consumer's `auto.offset.reset`.
    default: AutoOffsetReset,
    by_topic: BTreeMap<String, AutoOffsetReset>,
}

impl OffsetResets {
    pub(crate) fn new(default: AutoOffsetReset, plan: &Plan, application_id: &str) -> Self {
        let mut resets = OffsetResets { default, by_topic: BTreeMap::new() };
        resets.follow(plan, application_id);
        resets
    }

    /// Learns of the topics of a plan.
    pub(crate) fn follow(&mut self, plan: &Plan, application_id: &str) {
        let topology = &plan.topology;
        for subtopology in &plan.subtopologies {
            for (topic, reset) in topology.source_resets(&subtopology.nodes) {
                let reset = match reset {
                    _ if topology.is_internal(topic) => AutoOffsetReset::Earliest,
                    Some(reset) => reset,
                    None => self.default,
                };
                self.by_topic.insert(topology.topic_name(topic, application_id), reset);
            }
        }
    }

    /// Tells the consumer, which must do it before it looks where to read.
    pub(crate) fn tell(&self, consumer: &mut Consumer) {
        for (topic, reset) in &self.by_topic {
            consumer.set_offset_reset(topic, *reset);
        }
    }

    /// The offsets at which `partitions` begin, where that is no error; where it is the start, only if `starts` are wanted.
    ///
    /// # Errors
    /// If a leader does not answer.
    pub(crate) async fn beginnings(
        &self,
        client: &Client,
        partitions: impl IntoIterator<Item = &TopicPartition>,
        starts: bool,
    ) -> Result<Offsets> {
        let now_ms = client.host().wall_clock_ms();
        let mut wanted = BTreeMap::new();
        for name in partitions {
            let spec = match self.by_topic.get(&*name.topic) {
                Some(AutoOffsetReset::Latest) => OffsetSpec::Latest,
                Some(AutoOffsetReset::ByDuration(duration)) => {
                    let ago_ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                    OffsetSpec::Timestamp(now_ms.saturating_sub(ago_ms).max(0))
                }
                Some(AutoOffsetReset::Earliest) if starts => OffsetSpec::Earliest,
                Some(AutoOffsetReset::Earliest | AutoOffsetReset::None) | None => continue,
            };
            wanted.insert(name.clone(), spec);
        }
        let mut offsets = look_up(client, &wanted).await?;
        // No record is that young: at the end.
        let too_old = offsets.iter().filter(|(_, offset)| offset.offset < 0);
        let ends: BTreeMap<_, _> = too_old.map(|(name, _)| (name.clone(), OffsetSpec::Latest)).collect();
        offsets.extend(look_up(client, &ends).await?);
        Ok(offsets)
    }
}

async fn look_up(client: &Client, wanted: &BTreeMap<TopicPartition, OffsetSpec>) -> Result<Offsets> {
    if wanted.is_empty() {
        return Ok(Offsets::new());
    }
    let listed = client.admin().list_offsets(wanted, IsolationLevel::ReadUncommitted).await;
    let mut offsets = Offsets::new();
    for (name, listed) in listed {
        match listed {
            Ok(listed) => drop(offsets.insert(name, OffsetAndMetadata::new(listed.offset))),
            // Its topic is gone, and whoever reads it is about to hear of it.
            Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                tracing::debug!(partition = %name, %error, "nobody knows where it begins");
            }
            Err(error) => return Err(client_error(&format!("asking where to begin in {name}"), error)),
        }
    }
    Ok(offsets)
}
