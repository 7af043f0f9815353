//! AlterUserScramCredentials (51): nobody logs in here, so a password would protect nothing and is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};

use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// SCRAM-SHA-256 and SCRAM-SHA-512.
const MECHANISMS: std::ops::RangeInclusive<i8> = 1..=2;

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: AlterUserScramCredentialsRequest<'_>,
) -> Reply {
    // Of each user what is wrong first.
    let mut refused: BTreeMap<&str, (ErrorCode, &str)> = BTreeMap::new();
    for deletion in &message.deletions {
        let missing = "Attempt to delete a user credential that does not exist";
        let reason =
            check(deletion.name, deletion.mechanism).unwrap_or((ErrorCode::RESOURCE_NOT_FOUND, missing));
        refused.entry(deletion.name).or_insert(reason);
    }
    for upsertion in &message.upsertions {
        let useless = "This broker authenticates nobody";
        let reason = check(upsertion.name, upsertion.mechanism)
            .unwrap_or((ErrorCode::UNSUPPORTED_SASL_MECHANISM, useless));
        refused.entry(upsertion.name).or_insert(reason);
    }
    let results = refused.iter().map(|(user, (error_code, message))| AlterUserScramCredentialsResult {
        user,
        error_code: *error_code,
        error_message: Some(message),
    });
    request.answer(&AlterUserScramCredentialsResponse { results: results.collect(), ..Default::default() })
}

fn check(user: &str, mechanism: i8) -> Option<(ErrorCode, &'static str)> {
    if user.is_empty() {
        return Some((ErrorCode::UNACCEPTABLE_CREDENTIAL, "Username must not be empty"));
    }
    let is_known = MECHANISMS.contains(&mechanism);
    (!is_known).then_some((ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism"))
}
