//! DescribeLogDirs (35): the data directory, how much of it is used, and by which partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

use crate::node::Node;
use crate::partition::Partition;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeLogDirsRequest<'_>,
) -> Reply {
    let found: Vec<Arc<Partition>> = match &message.topics {
        None => node.topics.all().into_iter().flat_map(|topic| topic.partitions()).collect(),
        Some(topics) => {
            let wanted = topics.iter().flat_map(|asked| {
                let topic = node.topics.by_name(asked.topic);
                asked.partitions.iter().filter_map(move |index| topic.as_ref()?.partition(*index))
            });
            wanted.collect()
        }
    };
    // A partition asked for twice is told once; one that is offline has no size.
    let mut topics: BTreeMap<&str, BTreeMap<i32, u64>> = BTreeMap::new();
    for partition in &found {
        if partition.check().is_ok() {
            let name = partition.name();
            topics.entry(&name.topic).or_default().insert(name.partition, partition.size_bytes());
        }
    }
    let topics = topics.into_iter().map(|(name, partitions)| DescribeLogDirsTopic {
        name,
        partitions: partitions.into_iter().map(|(index, size_bytes)| describe(index, size_bytes)).collect(),
    });
    let path = node.topics.directory().path().display().to_string();
    // -1: not known.
    let known = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (total_bytes, usable_bytes) = match node.host.disk().space(node.topics.directory().path()) {
        Ok(Some(space)) => (known(space.total_bytes), known(space.usable_bytes)),
        _ => (-1, -1),
    };
    let error_code = match node.topics.directory().is_offline() {
        true => ErrorCode::KAFKA_STORAGE_ERROR,
        false => ErrorCode::NONE,
    };
    let result = DescribeLogDirsResult {
        error_code,
        log_dir: &path,
        topics: topics.collect(),
        total_bytes,
        usable_bytes,
        is_cordoned: false,
    };
    request.answer(&DescribeLogDirsResponse { results: vec![result], ..Default::default() })
}

fn describe(partition_index: i32, size_bytes: u64) -> DescribeLogDirsPartition {
    DescribeLogDirsPartition {
        partition_index,
        partition_size: i64::try_from(size_bytes).unwrap_or(i64::MAX),
        // The leader's own log never lags.
        offset_lag: 0,
        is_future_key: false,
    }
}
