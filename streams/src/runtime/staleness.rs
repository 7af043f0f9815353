//! Whether state that lay on disk can be read on from where it is.
//!
//! Compaction removes a deletion for good `delete.retention.ms` after it has come to it. Who has not read it by then never
//! hears of it, and keeps the row. So state is read on from if no deletion behind it can be gone yet: it is not older than
//! half of that time (the other half is for reading on), or nothing was written behind it since, however old it is.
//!
//! Who gets no answer does not know, and asks again: state is not given up because a broker is away.
//!
//! The member asks when it opens a task, and the instance when it looks what it has on disk; `global` does for itself, since
//! it knows where its topics end.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_client::{
    Client, ClientError, ConfigResource, ErrorCode, IsolationLevel, OffsetSpec, TopicPartition,
};
use anabranch_state_store::Checkpoint;
use parking_lot::Mutex;

use crate::task::StoreChangelog;

/// Kafka's default of `delete.retention.ms`, for a topic that does not tell.
const DELETE_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

/// What is known of topics that state comes back from.
#[derive(Clone)]
pub(crate) struct Staleness {
    client: Client,
    /// Offsets behind the last record of a store that hold no record: the marker of its transaction.
    markers: i64,
    /// `delete.retention.ms` of each.
    retention_ms: Arc<Mutex<BTreeMap<Arc<str>, i64>>>,
}

impl Staleness {
    pub(crate) fn new(client: &Client, has_transactions: bool) -> Self {
        Staleness {
            client: client.clone(),
            markers: i64::from(has_transactions),
            retention_ms: Arc::default(),
        }
    }

    /// Whether one of the stores of a task of this partition, each with its changelog, reflects that as it was too long ago.
    ///
    /// # Errors
    /// If nobody says so for now.
    pub(crate) async fn is_stale(
        &self,
        changelogs: Vec<Option<StoreChangelog>>,
        partition: i32,
        wall_clock_ms: i64,
    ) -> Result<bool, ClientError> {
        for changelog in changelogs.into_iter().flatten() {
            let Some(reflected) = changelog.reflected else { continue };
            let place = TopicPartition::new(changelog.topic, partition);
            if !self.reaches(&place, reflected, wall_clock_ms).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a changelog can be read on from a checkpoint without missing a deletion.
    ///
    /// # Errors
    /// If nobody says so for now.
    pub(crate) async fn reaches(
        &self,
        place: &TopicPartition,
        checkpoint: Checkpoint,
        wall_clock_ms: i64,
    ) -> Result<bool, ClientError> {
        self.learn(&place.topic).await?;
        match self.is_recent(&place.topic, checkpoint, wall_clock_ms) {
            true => Ok(true),
            false => self.is_the_end(place, checkpoint).await,
        }
    }

    /// Whether no deletion in the topic that was made after the checkpoint can be gone, as far as the topic is learnt.
    pub(crate) fn is_recent(&self, topic: &str, checkpoint: Checkpoint, wall_clock_ms: i64) -> bool {
        let retention_ms = self.retention_ms.lock().get(topic).copied();
        is_within(retention_ms.unwrap_or(DELETE_RETENTION_MS), checkpoint, wall_clock_ms)
    }

    /// Whether nothing was written behind the checkpoint, and all before is decided.
    async fn is_the_end(&self, place: &TopicPartition, checkpoint: Checkpoint) -> Result<bool, ClientError> {
        let wanted = BTreeMap::from([(place.clone(), OffsetSpec::Latest)]);
        let listed = self.client.admin().list_offsets(&wanted, IsolationLevel::ReadCommitted).await;
        match listed.into_values().next() {
            Some(Ok(end)) => Ok(is_last(self.markers, checkpoint, end.offset)),
            Some(Err(error)) if is_to_be_asked_again(&error) => Err(error),
            _ => Ok(false),
        }
    }

    /// Asks for a topic's settings, once.
    ///
    /// # Errors
    /// If nobody says so for now.
    pub(crate) async fn learn(&self, topic: &Arc<str>) -> Result<(), ClientError> {
        if self.retention_ms.lock().contains_key(topic) {
            return Ok(());
        }
        let described = self.client.admin().describe_configs(&ConfigResource::Topic(topic.to_string())).await;
        let configured = match described {
            Ok(entries) => {
                let entry = entries.into_iter().find(|entry| entry.name == "delete.retention.ms");
                entry.and_then(|entry| entry.value?.parse().ok())
            }
            Err(error) if is_to_be_asked_again(&error) => return Err(error),
            // Not everybody may ask.
            Err(error) => {
                tracing::debug!(%topic, %error, "its delete.retention.ms is not known");
                None
            }
        };
        self.retention_ms.lock().insert(Arc::clone(topic), configured.unwrap_or(DELETE_RETENTION_MS));
        Ok(())
    }
}

/// Whether there may be an answer later. Of a topic that is gone there is none.
fn is_to_be_asked_again(error: &ClientError) -> bool {
    error.is_retriable() && error.code() != Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

fn is_within(retention_ms: i64, checkpoint: Checkpoint, wall_clock_ms: i64) -> bool {
    wall_clock_ms.saturating_sub(checkpoint.wall_clock_ms) <= retention_ms / 2
}

fn is_last(markers: i64, checkpoint: Checkpoint, end: i64) -> bool {
    (0..=markers).contains(&(end - checkpoint.offset - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_read_on_from_while_no_deletion_behind_it_can_be_gone() {
        let check = |retention_ms: i64, age_ms: i64, expected: bool| {
            let checkpoint = Checkpoint { offset: 0, wall_clock_ms: 1000 };
            assert_eq!(
                is_within(retention_ms, checkpoint, 1000 + age_ms),
                expected,
                "{retention_ms} {age_ms}"
            );
        };
        check(100, 50, true);
        check(100, 51, false);
        check(i64::MAX, 1 << 40, true);
        check(0, 1, false);
        // A clock that was set back.
        check(0, -1, true);
    }

    #[test]
    fn state_is_never_too_old_if_nothing_was_written_behind_it() {
        let check = |markers, offset, end, expected| {
            assert_eq!(is_last(markers, Checkpoint { offset, wall_clock_ms: 0 }, end), expected);
        };
        check(0, 9, 10, true);
        check(0, 9, 11, false);
        check(1, 9, 11, true);
        check(1, 9, 12, false);
        // The log lost its tail.
        check(1, 9, 9, false);
    }

    #[test]
    fn who_gets_no_answer_does_not_know() {
        let check = |code: ErrorCode, expected: bool| {
            assert_eq!(is_to_be_asked_again(&ClientError::from_code("asking", code)), expected, "{code}");
        };
        check(ErrorCode::REQUEST_TIMED_OUT, true);
        check(ErrorCode::LEADER_NOT_AVAILABLE, true);
        check(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, false);
        check(ErrorCode::TOPIC_AUTHORIZATION_FAILED, false);
    }
}
