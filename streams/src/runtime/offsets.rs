//! Offsets by partition: what is to be committed, what is committed, or where it is begun to read.

use std::collections::BTreeMap;

use anabranch_client::{OffsetAndMetadata, TopicPartition};

/// An offset of each of some partitions.
pub(crate) type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;
