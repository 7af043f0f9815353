//! ListTransactions (66): the transactional ids that this broker coordinates, only some of them if wanted.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState as ListedTransaction,
};
use regex_lite::Regex;

use crate::coordinator::transaction::admin::Filter;
use crate::coordinator::transaction::metadata::TransactionState;
use crate::node::Node;
use crate::reply::{Reply, RequestContext};

/// States that have a name, but that no transaction is ever in when it is looked at.
const NEVER_SEEN: [&str; 2] = ["Dead", "PrepareEpochFence"];

pub(super) fn handle(
    node: &Arc<Node>,
    request: &RequestContext<'_>,
    message: ListTransactionsRequest<'_>,
) -> Reply {
    let refused = |error_code| ListTransactionsResponse { error_code, ..Default::default() };
    let pattern = match message.transactional_id_pattern.filter(|pattern| !pattern.is_empty()).map(whole) {
        Some(Err(error)) => {
            tracing::debug!(%error, "a pattern of transactional ids is none");
            return request.answer(&refused(ErrorCode::INVALID_REGULAR_EXPRESSION));
        }
        Some(Ok(pattern)) => Some(pattern),
        None => None,
    };
    let named = |name: &&str| TransactionState::ALL.into_iter().find(|state| state.name() == *name);
    let unknown_state_filters: Vec<&str> = message
        .state_filters
        .iter()
        .filter(|name| named(name).is_none() && !NEVER_SEEN.contains(name))
        .copied()
        .collect();
    let filter = Filter {
        states: message.state_filters.iter().filter_map(named).collect(),
        producer_ids: message.producer_id_filters.clone(),
        longer_than_ms: (message.duration_filter >= 0).then_some(message.duration_filter),
    };
    let looked = node.transactions.look(|coordinator, now| coordinator.list_transactions(now, &filter));
    let (listed, durables) = match looked {
        Ok(seen) => seen,
        Err(error_code) => return request.answer(&refused(error_code)),
    };
    // Who wants only states that there are not gets nothing; who names none gets all.
    let wants_any = message.state_filters.is_empty() || !filter.states.is_empty();
    let wanted = listed.iter().flatten().filter(|(transactional_id, ..)| {
        wants_any && pattern.as_ref().is_none_or(|pattern| pattern.is_match(transactional_id))
    });
    let transaction_states = wanted.map(|(transactional_id, producer_id, state)| ListedTransaction {
        transactional_id,
        producer_id: *producer_id,
        transaction_state: state.name(),
    });
    let response = ListTransactionsResponse {
        unknown_state_filters,
        transaction_states: transaction_states.collect(),
        ..Default::default()
    };
    request.answer_after_all(durables, &response, || refused(ErrorCode::COORDINATOR_NOT_AVAILABLE))
}

/// A pattern that the whole id must match.
fn whole(pattern: &str) -> Result<Regex, regex_lite::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}
