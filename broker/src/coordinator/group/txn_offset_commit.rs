//! TxnOffsetCommit: offsets that count when a transaction is committed, and not before. Whether the transaction is under
//! way is not asked here; its end comes by a marker in the log
//! ([`replay_end_of_transaction`](super::GroupCoordinator::replay_end_of_transaction)).

use anabranch_protocol::ErrorCode;

use super::GroupCoordinator;
use super::classic::{ClassicGroup, GroupState};
use super::effects::{Effects, InTransaction};
use super::offset_commit::CommitOffsets;
use crate::coordinator::Now;

impl GroupCoordinator {
    /// Commits offsets as part of a producer's transaction. One error for each partition, in the order of the request.
    ///
    /// # Errors
    /// What is wrong with the request as a whole.
    pub(crate) fn commit_transactional_offsets(
        &mut self,
        now: Now,
        request: &CommitOffsets<'_>,
        (producer_id, producer_epoch): (i64, i16),
        effects: &mut Effects,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        match self.groups.get(request.group_id) {
            Some(group) => validate(&group.classic, request)?,
            // Of somebody who is in no group: a simple group.
            None if request.generation_id < 0 => {}
            None => return Err(ErrorCode::ILLEGAL_GENERATION),
        }
        let (records, errors) = self.offset_records(now, request, effects)?;
        for record in &records {
            self.replay(now, record, Some(producer_id));
        }
        effects.transaction = Some(InTransaction { producer_id, producer_epoch, records });
        Ok(errors)
    }
}

/// Whether whoever sends this may commit offsets for the group. Up to version 2 producers do not say who consumed; also
/// those may, and so may members of a generation that is still being assigned.
fn validate(group: &ClassicGroup, request: &CommitOffsets<'_>) -> Result<(), ErrorCode> {
    if request.generation_id < 0 && group.state == GroupState::Empty {
        return Ok(());
    }
    if request.generation_id >= 0 || !request.member_id.is_empty() || request.instance_id.is_some() {
        group.validate_member(request.member_id, request.instance_id)?;
        if request.generation_id != group.generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
    }
    Ok(())
}
