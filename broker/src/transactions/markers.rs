//! The markers that carry out what is decided: one control batch in each partition of a transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::end_transaction_marker;

use super::Transactions;
use crate::coordinator::transaction::effects::Markers;
use crate::coordinator::transaction::metadata::EPOCH_BUMP;
use crate::groups::EndOfTransaction;
use crate::log::AppendOrigin;
use crate::metadata::creation::GROUP_METADATA_TOPIC;
use crate::watermark::{Durable, Gone};

/// How long until a partition that takes no marker now is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const RETRY_AT_LEAST_AFTER: Duration = Duration::from_secs(2);

/// A partition: its topic and number.
type Place = (Arc<str>, i32);

/// A marker for one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) is_commit: bool,
    /// Of a producer whose epoch rises with every transaction (KIP-890).
    pub(crate) bumps_epoch: bool,
    pub(crate) coordinator_epoch: i32,
}

/// Writes all markers of a decided transaction, however long it takes, and completes it; or until somebody else has.
pub(super) async fn write_all(transactions: &Arc<Transactions>, partition: i32, markers: &Markers) {
    let mut left: BTreeSet<Place> = markers.partitions.clone();
    let mut retry_after = RETRY_AFTER;
    loop {
        let Some(written) = write_some(transactions, partition, markers, &left) else { return };
        for (place, durable) in written {
            match durable.await {
                Ok(()) | Err(Gone::Deleted) => drop(left.remove(&place)),
                // The log is offline, or closed: whoever opens it again goes on from the coordinator's log.
                Err(Gone::Offline | Gone::ShuttingDown) => {}
            }
        }
        if left.is_empty() {
            break;
        }
        tracing::debug!(
            transactional_id = &*markers.transactional_id,
            ?left,
            "markers are still to be written"
        );
        transactions.host.sleep(retry_after).await;
        retry_after = (retry_after * 2).min(RETRY_AT_LEAST_AFTER);
    }
    if let Some(shard) = transactions.shard(partition) {
        // A failure is seen to where it happens: then the log is folded anew, and the markers are written again.
        let _ = transactions.run(&mut shard.lock(), partition, |coordinator, now, effects| {
            coordinator.markers_written(now, markers, effects);
        });
    }
}

/// Writes the markers that can be written now; none if the transaction is not there to be ended any more.
fn write_some(
    transactions: &Arc<Transactions>,
    partition: i32,
    markers: &Markers,
    left: &BTreeSet<Place>,
) -> Option<Vec<(Place, Durable)>> {
    // Under the lock: else the transaction might be completed by another task and the next one be ended by these markers.
    let mut shard = transactions.shard(partition)?.lock();
    let active = shard.active().ok()?;
    if !active.coordinator.is_decided(markers) {
        return None;
    }
    let marker = Marker {
        producer_id: markers.producer_id,
        producer_epoch: markers.producer_epoch,
        is_commit: markers.is_commit,
        bumps_epoch: markers.client_version >= EPOCH_BUMP,
        coordinator_epoch: active.coordinator_epoch,
    };
    let mut written = Vec::with_capacity(left.len());
    for (topic, index) in left {
        match transactions.write_marker(topic, *index, marker) {
            Ok(durable) => written.push(((topic.clone(), *index), durable)),
            // The partition is gone, or a newer producer has been there, which only a marker lets in: it is ended.
            Err(
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::INVALID_PRODUCER_EPOCH
                | ErrorCode::TRANSACTION_COORDINATOR_FENCED,
            ) => written.push(((topic.clone(), *index), Durable::already())),
            Err(error_code) => {
                tracing::debug!(topic = &**topic, index, %error_code, "a marker is not written");
            }
        }
    }
    Some(written)
}

impl Transactions {
    /// Writes a marker into a partition. In one of `__consumer_offsets` it ends what the groups have of the transaction.
    ///
    /// # Errors
    /// Why not; UNKNOWN_TOPIC_OR_PARTITION if there is no such partition.
    pub(crate) fn write_marker(&self, topic: &str, index: i32, marker: Marker) -> Result<Durable, ErrorCode> {
        let partition = self
            .topics
            .by_name(topic)
            .and_then(|topic| topic.partition(index))
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if marker.producer_id < 0 || marker.producer_epoch < 0 {
            // Nobody's. In Kafka no batch can be made of it, which is an error of its own.
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let now_ms = self.host.wall_clock_ms();
        let batch = end_transaction_marker(
            now_ms,
            marker.producer_id,
            marker.producer_epoch,
            marker.is_commit,
            marker.coordinator_epoch,
        );
        if topic == GROUP_METADATA_TOPIC {
            let end = EndOfTransaction {
                producer_id: marker.producer_id,
                is_commit: marker.is_commit,
                bumps_epoch: marker.bumps_epoch,
                marker: batch,
            };
            return self.groups.end_transaction(index, &end);
        }
        let origin = if marker.bumps_epoch { AppendOrigin::EpochBump } else { AppendOrigin::Coordinator };
        match partition.append(&batch.freeze(), origin, now_ms) {
            Ok((_, durable)) => Ok(durable),
            Err(error) => Err(error.error_code()),
        }
    }
}
