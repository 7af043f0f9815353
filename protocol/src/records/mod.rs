//! Record batches of format 2, the unit that producers send, logs store and consumers fetch.
//!
//! A broker handles batches as opaque bytes: it reads the [`BatchHeader`], walks the records once without allocating,
//! patches offset and epoch in place and stores what the client sent. Producers fill a [`BatchBuilder`], consumers walk
//! [`batches`] and [`Batch::records`]. Nothing here allocates per record, and nothing here trusts a count or a length
//! that came off the wire.
//!
//! Reading order: [`BatchHeader`] and the patches (`batch`), records and headers (`record`), the builder, control
//! batches, what compaction leaves (`compacted`), then the codecs.

mod batch;
mod builder;
mod codecs;
mod compacted;
mod compression;
mod control;
mod error;
mod record;
mod varint;

pub use batch::{
    BATCH_HEADER_BYTES, Batch, BatchHeader, Batches, LOG_OVERHEAD_BYTES, NO_PRODUCER_EPOCH, NO_PRODUCER_ID,
    NO_SEQUENCE, NO_TIMESTAMP, batches, crc_matches, seal, set_base_offset, set_create_time,
    set_log_append_time, set_partition_leader_epoch, set_producer, set_transactional,
};
pub use builder::BatchBuilder;
pub use codecs::MAX_DECOMPRESSED_BYTES;
pub use compacted::compacted_batch;
pub use compression::{Compression, UnknownCompression};
pub use control::{ControlRecord, ControlType, end_transaction_marker, snapshot_footer, snapshot_header};
pub use error::RecordsError;
pub use record::{Header, Headers, HeadersRef, Record, RecordRef, Records};

#[cfg(test)]
mod tests;
