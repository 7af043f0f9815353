//! One pass over the partitions of a fetch: what each gives now.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::fetch::AbortedTransaction;
use anabranch_protocol::records::batches;
use bytes::Bytes;

use crate::config::topic::CompressionType;
use crate::fetch_session::{TopicKey, Wanted};
use crate::log::{self, LogError, ReadLimit};
use crate::node::Node;
use crate::partition::{Isolation, Offsets, Partition};
use crate::watermark::Gone;

/// A partition that is to be read.
pub(super) struct Target {
    pub(super) wanted: Wanted,
    pub(super) partition: Result<Arc<Partition>, ErrorCode>,
}

/// What one partition gives.
pub(super) struct Found {
    pub(super) error_code: ErrorCode,
    /// None if the partition was not looked at.
    pub(super) offsets: Option<Offsets>,
    pub(super) records: Bytes,
    /// The epoch and end from which on the reader's log is another one.
    pub(super) diverging: Option<(i32, i64)>,
    /// Of committed records only; null for others, which would trip over it.
    pub(super) aborted_transactions: Option<Vec<AbortedTransaction>>,
}

/// What all of them give, in the order of the targets.
pub(super) struct Read {
    pub(super) found: Vec<Found>,
    pub(super) bytes: usize,
    /// Something was found that the reader must know at once.
    pub(super) must_answer: bool,
    /// There was less room for it than was asked for.
    pub(super) is_limited: bool,
}

impl Read {
    /// How many bytes there are for the reader, also where a limit has kept some of them back: of no partition more than
    /// it may give. What is missing to `min_bytes` for a limit alone will not come by waiting.
    pub(super) fn bytes_there(&self, targets: &[Target], isolation: Isolation) -> usize {
        let there = targets.iter().zip(&self.found).map(|(target, found)| {
            let given = found.records.len();
            let max_bytes = usize::try_from(target.wanted.max_bytes).unwrap_or(0);
            if found.is_cut(&target.wanted, isolation) { max_bytes.max(given) } else { given }
        });
        there.sum()
    }
}

impl Target {
    pub(super) fn find(node: &Node, wanted: Wanted, is_follower: bool, takes_zstd: bool) -> Target {
        let partition = find(node, &wanted, is_follower, takes_zstd);
        Target { wanted, partition }
    }
}

fn find(
    node: &Node,
    wanted: &Wanted,
    is_follower: bool,
    takes_zstd: bool,
) -> Result<Arc<Partition>, ErrorCode> {
    let topic = match &wanted.topic {
        TopicKey::Name(name) => node.topics.by_name(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?,
        TopicKey::Id(id) => node.topics.by_id(id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?,
    };
    let partition = topic.partition(wanted.partition).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if is_follower {
        // No other broker holds replicas of ours; whoever says so would read what is not committed.
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    if !takes_zstd && matches!(topic.config().compression_type, CompressionType::Zstd(_)) {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    }
    Ok(partition)
}

/// Reads all targets, at most about `max_bytes`, for which there may be less `room`.
pub(super) fn read(targets: &[Target], max_bytes: usize, room: usize, isolation: Isolation) -> Read {
    let is_limited = room < max_bytes;
    let max_bytes = room.min(max_bytes);
    let found = Vec::with_capacity(targets.len());
    let mut read = Read { found, bytes: 0, must_answer: false, is_limited };
    for target in targets {
        let found = match &target.partition {
            Ok(partition) => read_one(
                partition,
                &target.wanted,
                max_bytes.saturating_sub(read.bytes),
                // Once somebody has got records, all limits hold, as with Kafka.
                read.bytes == 0,
                isolation,
            ),
            // Kafka, too, tells null only where it has looked at the partition.
            Err(error_code) => Found { aborted_transactions: Some(Vec::new()), ..Found::failed(*error_code) },
        };
        read.bytes += found.records.len();
        // All that is read comes from one segment: to wait would not make it more.
        let ends_segment = !found.records.is_empty()
            && found.offsets.is_some_and(|offsets| offsets.log_end.base_offset > target.wanted.fetch_offset);
        read.must_answer |= !found.error_code.is_none() || found.diverging.is_some() || ends_segment;
        read.found.push(found);
    }
    read
}

impl Found {
    /// Whether the log has more for the reader than a limit let it give.
    fn is_cut(&self, wanted: &Wanted, isolation: Isolation) -> bool {
        let Some(offsets) = self.offsets.filter(|_| self.diverging.is_none()) else { return false };
        let last = batches(&self.records).flatten().last();
        let end_offset = last.map_or(wanted.fetch_offset, |last| last.header.next_offset());
        end_offset < offsets.readable_to(isolation)
    }

    /// An error says nothing of offsets, as with Kafka.
    fn failed(error_code: ErrorCode) -> Found {
        Found {
            error_code,
            offsets: None,
            records: Bytes::new(),
            diverging: None,
            aborted_transactions: None,
        }
    }
}

fn describe(aborted: &log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction { producer_id: aborted.producer_id, first_offset: aborted.first_offset }
}

fn read_one(
    partition: &Partition,
    wanted: &Wanted,
    bytes_left: usize,
    at_least_one: bool,
    isolation: Isolation,
) -> Found {
    if let Err(gone) = partition.check() {
        let error_code = match (gone, &wanted.topic) {
            (Gone::Deleted, TopicKey::Id(_)) => ErrorCode::UNKNOWN_TOPIC_ID,
            _ => gone.error_code(),
        };
        return Found::failed(error_code);
    }
    if let Err(error_code) = partition.check_leader_epoch(wanted.current_leader_epoch) {
        return Found::failed(error_code);
    }
    let max_bytes = usize::try_from(wanted.max_bytes).unwrap_or(0).min(bytes_left);
    let limit = if at_least_one { ReadLimit::OrOneBatch(max_bytes) } else { ReadLimit::AtMost(max_bytes) };
    let (offsets, records) = partition.read(wanted.fetch_offset, limit, isolation);
    if wanted.last_fetched_epoch >= 0 {
        match partition.end_of_epoch(wanted.last_fetched_epoch) {
            None => return Found::failed(ErrorCode::OFFSET_OUT_OF_RANGE),
            Some((epoch, end_offset))
                if epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset =>
            {
                let diverging = Some((epoch, end_offset));
                return Found { diverging, offsets: Some(offsets), ..Found::failed(ErrorCode::NONE) };
            }
            Some(_) => {}
        }
    }
    match records {
        Ok(found) => Found {
            error_code: ErrorCode::NONE,
            offsets: Some(offsets),
            records: found.records,
            diverging: None,
            aborted_transactions: match isolation {
                Isolation::ReadCommitted => Some(found.aborted.iter().map(describe).collect()),
                Isolation::ReadUncommitted => None,
            },
        },
        Err(error) => {
            if !matches!(error, LogError::OffsetOutOfRange { .. } | LogError::Gone(_)) {
                tracing::error!(partition = %partition.name(), offset = wanted.fetch_offset, %error, "a fetch failed");
            }
            Found::failed(error.error_code())
        }
    }
}
