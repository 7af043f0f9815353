//! DescribeTransactions and ListTransactions: looking at transactions from outside.

use std::sync::Arc;

use anabranch_protocol::ErrorCode;

use super::TransactionCoordinator;
use super::metadata::{TransactionMetadata, TransactionState};
use crate::coordinator::Now;

/// Which transactions are wanted; nothing says all.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) states: Vec<TransactionState>,
    pub(crate) producer_ids: Vec<i64>,
    /// Only those that are open for longer than this.
    pub(crate) longer_than_ms: Option<i64>,
}

impl TransactionCoordinator {
    /// How a transactional id stands.
    ///
    /// # Errors
    /// What the client is told if there is none of this name.
    pub(crate) fn describe_transaction(
        &self,
        transactional_id: &str,
    ) -> Result<TransactionMetadata, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let known = self.transactions.get(transactional_id).ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND)?;
        Ok(known.metadata.clone())
    }

    /// The transactional ids that are wanted, by name.
    pub(crate) fn list_transactions(
        &self,
        now: Now,
        filter: &Filter,
    ) -> Vec<(Arc<str>, i64, TransactionState)> {
        let is_wanted = |metadata: &TransactionMetadata| {
            (filter.producer_ids.is_empty() || filter.producer_ids.contains(&metadata.producer_id))
                && (filter.states.is_empty() || filter.states.contains(&metadata.state))
                && filter.longer_than_ms.is_none_or(|longer_than_ms| {
                    now.wall_clock_ms.saturating_sub(metadata.start_ms) > longer_than_ms
                })
        };
        let wanted = self.transactions.iter().filter(|(_, known)| is_wanted(&known.metadata));
        wanted.map(|(id, known)| (id.clone(), known.metadata.producer_id, known.metadata.state)).collect()
    }
}
