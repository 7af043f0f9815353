//! What a client may do. There is no authorizer yet, so everything; these are the answers to "what may I do?" (KIP-430).
//!
//! Each is a set of bits, `1 << operation`: READ 3, WRITE 4, CREATE 5, DELETE 6, ALTER 7, DESCRIBE 8, CLUSTER_ACTION 9,
//! DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11, IDEMPOTENT_WRITE 12.

/// What Kafka says when rules of access are asked for and there is no authorizer.
pub(crate) const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// Nobody asked.
pub(crate) const NOT_ASKED: i32 = i32::MIN;
/// On the cluster.
pub(crate) const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// On a topic.
pub(crate) const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// On a group.
pub(crate) const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);

/// `operations` if they were asked for.
pub(crate) fn if_asked(asked: bool, operations: i32) -> i32 {
    if asked { operations } else { NOT_ASKED }
}

const fn bits(operations: &[u32]) -> i32 {
    let mut bits = 0;
    let mut index = 0;
    while index < operations.len() {
        bits |= 1 << operations[index];
        index += 1;
    }
    bits
}
