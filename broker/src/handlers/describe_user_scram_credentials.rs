//! DescribeUserScramCredentials (50): there are none.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
};

use super::repeated::Repeated;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeUserScramCredentialsRequest<'_>,
) -> Reply {
    let users: Vec<&str> = message.users.iter().flatten().map(|user| user.name).collect();
    let mut answered: Vec<(&str, ErrorCode, String)> = Vec::new();
    let mut named = Repeated::among(users.iter().copied());
    for user in &users {
        let Some(repeated) = named.take(user) else { continue };
        let (error_code, problem) = match repeated {
            false => {
                (ErrorCode::RESOURCE_NOT_FOUND, "Attempt to describe a user credential that does not exist")
            }
            true => (
                ErrorCode::DUPLICATE_RESOURCE,
                "Cannot describe SCRAM credentials for the same user twice in a single request",
            ),
        };
        answered.push((user, error_code, format!("{problem}: {user}")));
    }
    let results = answered.iter().map(|(user, error_code, message)| DescribeUserScramCredentialsResult {
        user,
        error_code: *error_code,
        error_message: Some(message),
        credential_infos: Vec::new(),
    });
    request.answer(&DescribeUserScramCredentialsResponse { results: results.collect(), ..Default::default() })
}
