//! Transactions that no coordinator knows, found at the start and aborted.
//!
//! A partition becomes part of a transaction by a record of the coordinator, and the first batch is appended behind that
//! record without waiting for the disk. A power cut may keep the batch and lose the record; nobody was told of either. Such a
//! transaction would never end, and readers of committed records would wait for ever; or its producer would go on, and the
//! end of its next transaction would count for this one, too. If that sends the batch again, the coordinator is asked anew.

use std::time::Duration;

use anabranch_protocol::ErrorCode;

use super::Transactions;
use super::markers::Marker;
use super::shard::State;
use crate::coordinator::transaction::ProducerIdAndEpoch;
use crate::log::OpenTransaction;
use crate::partition_name::PartitionName;

/// The groups of a partition of `__consumer_offsets` may still be loading: they are asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A transaction that was open in a partition at the start.
#[derive(Clone, Debug)]
struct Found {
    name: PartitionName,
    open: OpenTransaction,
}

impl Transactions {
    /// Aborts the open transactions of all partitions that no coordinator knows once all are loaded. Nobody may be served
    /// before: a producer that goes on would make the partition part of its next transaction, whose end would count for
    /// what is open too.
    pub(crate) async fn abort_hanging(&self) {
        let mut found = Vec::new();
        for partition in self.topics.all().into_iter().flat_map(|topic| topic.partitions()) {
            let open = partition.open_transactions().into_iter();
            found.extend(open.map(|open| Found { name: partition.name().clone(), open }));
        }
        if !found.is_empty() {
            self.abort_unknown(found).await;
        }
    }

    async fn abort_unknown(&self, found: Vec<Found>) {
        loop {
            let notified = self.loaded.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let is_loading = |state: &State| matches!(state, State::Loading);
            if !self.shards().iter().any(|shard| is_loading(&shard.lock().state)) {
                break;
            }
            notified.await;
        }
        if self.shards().iter().any(|shard| !matches!(shard.lock().state, State::Active(_))) {
            // What a coordinator knows that cannot be read is not for us to say.
            return;
        }
        for found in found {
            while self.abort_if_unknown(&found) == Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) {
                self.host.sleep(ASK_AGAIN).await;
            }
        }
    }

    /// Aborts a transaction, unless its coordinator knows it.
    ///
    /// # Errors
    /// Why it cannot be aborted, now or at all.
    fn abort_if_unknown(&self, Found { name, open }: &Found) -> Result<(), ErrorCode> {
        let producer = ProducerIdAndEpoch { producer_id: open.producer_id, epoch: open.producer_epoch };
        let is_known = self.shards().iter().any(|shard| match &shard.lock().state {
            State::Active(active) => active.coordinator.is_under_way(producer, &name.topic, name.partition),
            _ => true,
        });
        // One that has been ended meanwhile, by the coordinator that knows it, is not there any more.
        let partition = self.topics.by_name(&name.topic).and_then(|topic| topic.partition(name.partition));
        let is_open = partition.is_some_and(|partition| partition.open_transactions().contains(open));
        if is_known || !is_open {
            return Ok(());
        }
        let marker = Marker {
            producer_id: open.producer_id,
            // Its producer may still be there and send the batch again: that must not pass for written.
            producer_epoch: open.producer_epoch.saturating_add(1),
            is_commit: false,
            bumps_epoch: true,
            coordinator_epoch: open.coordinator_epoch.max(0),
        };
        let written = self.write_marker(&name.topic, name.partition, marker).map(|_| ());
        match written {
            Ok(()) => {
                tracing::warn!(partition = %name, producer_id = open.producer_id, "aborted a transaction that no coordinator knows");
            }
            Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => {}
            Err(error_code) => {
                tracing::error!(
                    partition = %name, producer_id = open.producer_id, %error_code,
                    "a transaction that no coordinator knows cannot be aborted"
                );
            }
        }
        written
    }
}
