//! The metadata of the cluster: folded from the records of `__cluster_metadata-0`, changed only by appending to it.
//!
//! A request that changes something looks at the image, decides on records, appends them and replays them into the
//! image, all under one lock; its answer leaves when the quorum has decided on the records. So concurrent changes see
//! each other, and what a client was told survives whatever comes.
//!
//! Reading order: [`image`] (the fold), [`creation`] (from a wish to records), [`quorum`] (who decides), [`snapshot`], then
//! [`Metadata`] here.

pub(crate) mod creation;
pub(crate) mod image;
pub(crate) mod quorum;
pub(crate) mod snapshot;

use anabranch_protocol::messages::cluster_metadata::MetadataRecord;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::watermark::Durable;
use image::MetadataImage;
use quorum::{MetadataQuorum, QuorumError};

/// The version of Kafka's metadata whose records are written here: 4.3.
pub(crate) const METADATA_VERSION: i16 = 30;
/// The level of transactions: from 2 on clients end them in the new way (KIP-890).
pub(crate) const TRANSACTION_VERSION: i16 = 2;
/// What is in force in a directory of this version.
pub const FINALIZED_FEATURES: &[(&str, i16)] =
    &[("metadata.version", METADATA_VERSION), ("transaction.version", TRANSACTION_VERSION)];

/// Whoever keeps something in step with the metadata: called under its lock, after each change.
pub(crate) trait MetadataListener: Send + Sync {
    /// The image has changed by these records.
    fn changed(&self, image: &MetadataImage, records: &[MetadataRecord<'_>]);
}

/// The metadata as it stands.
pub(crate) struct Metadata {
    image: RwLock<MetadataImage>,
    quorum: Box<dyn MetadataQuorum>,
    listener: Box<dyn MetadataListener>,
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metadata").field("quorum", &self.quorum).finish_non_exhaustive()
    }
}

impl Metadata {
    /// Folds the log of `quorum`.
    ///
    /// # Errors
    /// If it cannot be read, or holds what cannot be.
    pub(crate) fn load(
        quorum: Box<dyn MetadataQuorum>,
        listener: Box<dyn MetadataListener>,
    ) -> Result<Metadata, QuorumError> {
        let mut image = MetadataImage::default();
        quorum.load(&mut |offset, record| {
            image.replay(record).map_err(|error| QuorumError::Impossible { offset, error })
        })?;
        Ok(Metadata { image: RwLock::new(image), quorum, listener })
    }

    /// The image, for as long as the guard lives; do not wait for anything with it.
    pub(crate) fn image(&self) -> RwLockReadGuard<'_, MetadataImage> {
        self.image.read()
    }

    /// Begins a change. Nobody else changes or reads the metadata until it is committed or dropped, so decide quickly
    /// and wait for nothing.
    pub(crate) fn begin(&self) -> Change<'_> {
        Change { image: self.image.write(), metadata: self }
    }

    /// The end of the log of the metadata.
    pub(crate) fn end_offset(&self) -> i64 {
        self.quorum.end_offset()
    }

    /// Resolves when all that the image shows is decided. An answer that shows it waits for this.
    pub(crate) fn settled(&self) -> Durable {
        self.quorum.settled()
    }
}

/// A change under way.
pub(crate) struct Change<'a> {
    image: RwLockWriteGuard<'a, MetadataImage>,
    metadata: &'a Metadata,
}

impl Change<'_> {
    /// What is to be changed.
    pub(crate) fn image(&self) -> &MetadataImage {
        &self.image
    }

    /// Appends the records and replays them into the image. The change may be told when [`Metadata::settled`] resolves.
    ///
    /// # Errors
    /// If the log takes no more records. Nothing has changed then.
    pub(crate) fn commit(mut self, now_ms: i64, records: &[MetadataRecord<'_>]) -> Result<(), QuorumError> {
        if records.is_empty() {
            return Ok(());
        }
        self.metadata.quorum.append(now_ms, records)?;
        for record in records {
            self.image.replay(record).map_err(|error| QuorumError::Impossible { offset: -1, error })?;
        }
        self.metadata.listener.changed(&self.image, records);
        Ok(())
    }
}
