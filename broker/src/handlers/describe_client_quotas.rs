//! DescribeClientQuotas (48): there are none; a question that Kafka does not take is refused as it does.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use crate::metadata::creation::Refusal;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// What a quota can be of.
pub(super) const ENTITY_TYPES: [&str; 3] = ["user", "client-id", "ip"];
/// By name, the default, any.
const MATCH_TYPES: std::ops::RangeInclusive<i8> = 0..=2;

pub(super) fn handle(
    _node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: DescribeClientQuotasRequest<'_>,
) -> Reply {
    match check(&message.components) {
        Ok(()) => {
            request.answer(&DescribeClientQuotasResponse { entries: Some(Vec::new()), ..Default::default() })
        }
        Err(refusal) => request.answer(&DescribeClientQuotasResponse {
            error_code: refusal.error_code,
            error_message: Some(&refusal.message),
            entries: None,
            ..Default::default()
        }),
    }
}

fn check(components: &[ComponentData<'_>]) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    for (at, component) in components.iter().enumerate() {
        let kind = component.entity_type;
        if kind.is_empty() {
            return invalid("Invalid empty entity type.".to_string());
        }
        if components[..at].iter().any(|other| other.entity_type == kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if !ENTITY_TYPES.contains(&kind) {
            let message = format!("Unsupported entity type {kind}.");
            return Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, message));
        }
        if !MATCH_TYPES.contains(&component.match_type) {
            return invalid(format!("Unknown match type {}.", component.match_type));
        }
    }
    let has = |kind: &str| components.iter().any(|component| component.entity_type == kind);
    if has("ip") && (has("user") || has("client-id")) {
        let message = "Invalid entity filter component combination, IP filter component should not be used with user \
                       or clientId filter component.";
        return invalid(message.to_string());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_cannot_be_are_refused() {
        let check = |components: &[(&str, i8)], expected: Result<(), &str>| {
            let components: Vec<_> = components
                .iter()
                .map(|&(entity_type, match_type)| ComponentData { entity_type, match_type, r#match: None })
                .collect();
            let outcome = super::check(&components).map_err(|refusal| refusal.message.to_string());
            assert_eq!(outcome, expected.map_err(str::to_string));
        };
        check(&[], Ok(()));
        check(&[("user", 0), ("client-id", 2)], Ok(()));
        check(&[("", 0)], Err("Invalid empty entity type."));
        check(
            &[("user", 0), ("user", 1)],
            Err("Entity type user cannot appear more than once in the filter."),
        );
        check(&[("shoe", 0)], Err("Unsupported entity type shoe."));
        check(&[("user", 3)], Err("Unknown match type 3."));
        let together = "Invalid entity filter component combination, IP filter component should not be used with user \
                        or clientId filter component.";
        check(&[("ip", 0), ("user", 0)], Err(together));
    }
}
