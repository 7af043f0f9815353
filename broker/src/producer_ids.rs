//! The producer ids this broker gives to idempotent producers.
//!
//! Ids come from the metadata in blocks of a thousand (KIP-730), so that one record serves a thousand producers. What is
//! left of a block when the broker stops is lost: an id is never given twice.

use anabranch_protocol::messages::cluster_metadata::{MetadataRecord, ProducerIdsRecord};
use parking_lot::Mutex;

use crate::metadata::Metadata;
use crate::metadata::quorum::QuorumError;

/// Ids in one block.
const BLOCK: i64 = 1000;

/// Gives ids. One lives as long as the broker.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Mutex<Block>,
}

/// What is left of a block.
#[derive(Debug, Default)]
struct Block {
    next: i64,
    end: i64,
}

impl ProducerIds {
    /// An id that nobody has had. It may be told when the metadata is settled.
    ///
    /// # Errors
    /// If the metadata takes no more records.
    pub(crate) fn allocate(
        &self,
        metadata: &Metadata,
        node_id: i32,
        now_ms: i64,
    ) -> Result<i64, QuorumError> {
        let mut block = self.block.lock();
        if block.next == block.end {
            let change = metadata.begin();
            let first = change.image().next_producer_id();
            let next_producer_id = first + BLOCK;
            let record = ProducerIdsRecord { broker_id: node_id, broker_epoch: 0, next_producer_id };
            // Waited for below, by every producer of the block.
            change.commit(now_ms, &[MetadataRecord::ProducerIds(record)])?;
            *block = Block { next: first, end: first + BLOCK };
        }
        let id = block.next;
        block.next += 1;
        Ok(id)
    }
}
