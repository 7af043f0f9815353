//! What can go wrong in a log, and which error code a client gets for it.

use std::io;
use std::path::{Path, PathBuf};

use anabranch_protocol::ErrorCode;
use anabranch_protocol::records::RecordsError;

use crate::partition_name::PartitionName;
use crate::watermark::Gone;

/// Why a log cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused something.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Bytes that were durable are damaged. Nothing is cut: the file is as it was found.
    #[error("{}: corrupt at byte {position}: {reason}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A file or directory that was durable is not there.
    #[error("{}: it is gone, and {lost}", path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// What was in it.
        lost: String,
    },
    /// The offset is before the first or behind the last.
    #[error("offset {offset} is out of range, the log holds {log_start_offset} to {log_end_offset}")]
    OffsetOutOfRange {
        /// The offset asked for.
        offset: i64,
        /// The first there is.
        log_start_offset: i64,
        /// The one the next record will get.
        log_end_offset: i64,
    },
    /// The log takes and gives nothing any more.
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl LogError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> LogError + use<> {
        let path = path.to_path_buf();
        move |source| LogError::Io { path, source }
    }

    /// What a client is told.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            LogError::Io { .. } | LogError::Gone(Gone::Offline) => ErrorCode::KAFKA_STORAGE_ERROR,
            LogError::Corrupt { .. } | LogError::Missing { .. } => ErrorCode::CORRUPT_MESSAGE,
            LogError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
            LogError::Gone(Gone::Deleted) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            LogError::Gone(Gone::ShuttingDown) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        }
    }
}

/// Why a batch was not appended. The log is as it was.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are no valid batch, or their checksum does not match.
    #[error("corrupt batch: {0}")]
    Corrupt(RecordsError),
    /// The batch is of a format of before 2017.
    #[error("record format {0} is not supported; use a client of 0.11 or later")]
    UnsupportedFormat(i8),
    /// A produce request has exactly one batch for each partition.
    #[error("there must be exactly one record batch, there are {0}")]
    NotOneBatch(usize),
    /// Something about the batch or some of its records is not allowed.
    #[error("{message}")]
    InvalidRecord {
        /// What is wrong with the batch.
        message: String,
        /// The places of the records at fault in the batch, if it is about single ones, and what is wrong with them.
        records: Vec<(i32, String)>,
    },
    /// A timestamp is too far from the broker's clock.
    #[error("{message}")]
    InvalidTimestamp {
        /// What is wrong.
        message: String,
        /// The places of the records at fault in the batch, and what is wrong with them.
        records: Vec<(i32, String)>,
    },
    /// The batch is larger than `max.message.bytes`.
    #[error("the batch of {batch_bytes} bytes is larger than max.message.bytes, {max_bytes}")]
    TooLarge {
        /// Its size.
        batch_bytes: usize,
        /// The bound.
        max_bytes: usize,
    },
    /// What the batch is when it is decompressed is larger than anybody may make the broker hold.
    #[error("the batch of {batch_bytes} bytes decompresses to more than {max_bytes}")]
    UnpacksTooLarge {
        /// Its size as it came.
        batch_bytes: usize,
        /// The bound on what it decompresses to.
        max_bytes: usize,
    },
    /// The batch is larger than a segment.
    #[error("the batch of {batch_bytes} bytes is larger than segment.bytes, {segment_bytes}")]
    LargerThanSegment {
        /// Its size.
        batch_bytes: usize,
        /// The bound.
        segment_bytes: usize,
    },
    /// The batch does not follow the producer's last one.
    #[error(
        "producer {producer_id}: sequence number {sequence} does not follow {last_sequence}, at offset {log_end_offset}"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// The first sequence number of the batch.
        sequence: i32,
        /// The last one taken.
        last_sequence: i32,
        /// Where the batch would have gone.
        log_end_offset: i64,
    },
    /// A newer instance of the producer has been here.
    #[error("producer {producer_id}: epoch {epoch} is older than {current_epoch}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// The epoch of the batch.
        epoch: i16,
        /// The newest seen.
        current_epoch: i16,
    },
    /// The batch is part of a transaction that is not known to be under way here.
    #[error("producer {producer_id}: the batch is not part of an ongoing transaction")]
    NotInTransaction {
        /// The producer.
        producer_id: i64,
    },
    /// The batch is not part of the transaction that its producer has open here.
    #[error("producer {producer_id}: a transactional batch was expected, as a transaction is open")]
    InTransaction {
        /// The producer.
        producer_id: i64,
    },
    /// A newer coordinator has been here.
    #[error("the marker's coordinator epoch {epoch} is older than {current_epoch}")]
    TransactionCoordinatorFenced {
        /// The epoch of the marker.
        epoch: i32,
        /// The newest seen.
        current_epoch: i32,
    },
    /// A follower was given a batch that does not continue its log.
    #[error("the batch begins at offset {base_offset}, but the log ends at {log_end_offset}")]
    NotContiguous {
        /// Where the batch begins.
        base_offset: i64,
        /// Where the log ends.
        log_end_offset: i64,
    },
    /// The log is being cut back to where it agrees with its leader's.
    #[error("the log is being cut back")]
    Truncating,
    /// The disk is full, or too many files are open. Nothing was written; the same append works when that is over.
    #[error("{partition}: {reason}")]
    Shortage {
        /// Which log.
        partition: PartitionName,
        /// What the operating system said.
        reason: String,
    },
    /// The log takes nothing any more.
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl AppendError {
    pub(super) fn invalid(message: impl Into<String>) -> AppendError {
        AppendError::InvalidRecord { message: message.into(), records: Vec::new() }
    }

    /// What the producer is told.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            AppendError::Corrupt(_) => ErrorCode::CORRUPT_MESSAGE,
            AppendError::UnsupportedFormat(_)
            | AppendError::NotOneBatch(_)
            | AppendError::InvalidRecord { .. } => ErrorCode::INVALID_RECORD,
            AppendError::InvalidTimestamp { .. } => ErrorCode::INVALID_TIMESTAMP,
            AppendError::TooLarge { .. } | AppendError::UnpacksTooLarge { .. } => {
                ErrorCode::MESSAGE_TOO_LARGE
            }
            AppendError::LargerThanSegment { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
            AppendError::OutOfOrderSequence { .. } => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            AppendError::InvalidProducerEpoch { .. } => ErrorCode::INVALID_PRODUCER_EPOCH,
            AppendError::NotInTransaction { .. } | AppendError::InTransaction { .. } => {
                ErrorCode::INVALID_TXN_STATE
            }
            AppendError::TransactionCoordinatorFenced { .. } => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
            AppendError::NotContiguous { .. } => ErrorCode::UNKNOWN_SERVER_ERROR,
            AppendError::Shortage { .. } | AppendError::Gone(Gone::Offline) => ErrorCode::KAFKA_STORAGE_ERROR,
            AppendError::Gone(Gone::Deleted) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            AppendError::Truncating | AppendError::Gone(Gone::ShuttingDown) => {
                ErrorCode::NOT_LEADER_OR_FOLLOWER
            }
        }
    }
}
