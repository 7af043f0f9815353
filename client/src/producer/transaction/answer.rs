//! What the coordinators' codes mean for a transaction: may the same be asked again, is the transaction lost, or the
//! whole producer?

use anabranch_protocol::ErrorCode;

/// What a coordinator is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::producer) enum Question {
    /// For an identity.
    Identity,
    /// To make partitions part of the transaction.
    Partitions,
    /// To make a group's offsets part of it.
    Group,
    /// To keep offsets for when it is committed.
    Offsets,
    /// To end it.
    End,
}

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is done.
    Done,
    /// The same may succeed later.
    Retry,
    /// The transaction before is still being ended: the same will succeed soon.
    RetrySoon,
    /// Somebody else coordinates.
    Elsewhere,
    /// The transaction is lost, the producer is not.
    Abort,
    /// Somebody else has the transactional id.
    Fenced,
    /// The producer cannot go on.
    Fatal,
}

/// What `code` means as the answer to `question`.
pub(super) fn meaning(question: Question, code: ErrorCode) -> Meaning {
    match code {
        ErrorCode::NONE => Meaning::Done,
        ErrorCode::CONCURRENT_TRANSACTIONS => Meaning::RetrySoon,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => Meaning::Elsewhere,
        ErrorCode::REQUEST_TIMED_OUT if question == Question::Offsets => Meaning::Elsewhere,
        // An id that nobody used for a week is forgotten, and comes back with another producer id.
        ErrorCode::PRODUCER_FENCED
        | ErrorCode::INVALID_PRODUCER_EPOCH
        | ErrorCode::INVALID_PRODUCER_ID_MAPPING
        | ErrorCode::UNKNOWN_PRODUCER_ID => Meaning::Fenced,
        ErrorCode::TRANSACTION_ABORTABLE => Meaning::Abort,
        // It was aborted by whoever asked for the id meanwhile, as this producer itself may have, long ago.
        ErrorCode::INVALID_TXN_STATE if question == Question::End => Meaning::Fenced,
        // The group has gone on without this member.
        ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::ILLEGAL_GENERATION
        | ErrorCode::STALE_MEMBER_EPOCH
        | ErrorCode::FENCED_INSTANCE_ID
        | ErrorCode::REBALANCE_IN_PROGRESS
        | ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::OPERATION_NOT_ATTEMPTED
        | ErrorCode::OFFSET_METADATA_TOO_LARGE
            if matches!(question, Question::Partitions | Question::Group | Question::Offsets) =>
        {
            Meaning::Abort
        }
        code if code.is_retriable() => Meaning::Retry,
        _ => Meaning::Fatal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_they_mean_to_javas_producer() {
        let all =
            [Question::Identity, Question::Partitions, Question::Group, Question::Offsets, Question::End];
        let check = |code, questions: &[Question], expected| {
            for question in questions {
                assert_eq!(meaning(*question, code), expected, "{code} to {question:?}");
            }
        };
        check(ErrorCode::NONE, &all, Meaning::Done);
        check(ErrorCode::CONCURRENT_TRANSACTIONS, &all, Meaning::RetrySoon);
        check(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, &all, Meaning::Retry);
        check(ErrorCode::NOT_COORDINATOR, &all, Meaning::Elsewhere);
        check(ErrorCode::COORDINATOR_NOT_AVAILABLE, &all, Meaning::Elsewhere);
        check(ErrorCode::REQUEST_TIMED_OUT, &all[..3], Meaning::Retry);
        check(ErrorCode::REQUEST_TIMED_OUT, &[Question::Offsets], Meaning::Elsewhere);
        check(ErrorCode::PRODUCER_FENCED, &all, Meaning::Fenced);
        check(ErrorCode::INVALID_PRODUCER_EPOCH, &all, Meaning::Fenced);
        check(ErrorCode::INVALID_PRODUCER_ID_MAPPING, &all, Meaning::Fenced);
        check(ErrorCode::TRANSACTION_ABORTABLE, &all, Meaning::Abort);
        check(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            &[Question::Partitions, Question::Offsets],
            Meaning::Retry,
        );
        check(ErrorCode::TOPIC_AUTHORIZATION_FAILED, &[Question::Partitions], Meaning::Abort);
        check(ErrorCode::ILLEGAL_GENERATION, &[Question::Offsets], Meaning::Abort);
        check(ErrorCode::UNKNOWN_MEMBER_ID, &[Question::Offsets], Meaning::Abort);
        check(ErrorCode::FENCED_INSTANCE_ID, &[Question::Offsets], Meaning::Abort);
        check(ErrorCode::INVALID_TXN_STATE, &all[..4], Meaning::Fatal);
        // Java's cannot go on, where it is only this transaction that is lost.
        check(ErrorCode::INVALID_TXN_STATE, &[Question::End], Meaning::Fenced);
        check(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, &all, Meaning::Fatal);
        check(ErrorCode::INVALID_TRANSACTION_TIMEOUT, &[Question::Identity], Meaning::Fatal);
        check(ErrorCode::UNKNOWN_SERVER_ERROR, &all, Meaning::Fatal);
    }
}
