//! Stories of OffsetCommit, OffsetFetch and OffsetDelete.

use super::*;

#[test]
fn offsets_are_kept_with_their_metadata() {
    check(
        "fetch t-0 -> t-0=-1
         fetch all
         commit - t-0=5 t-1=6:note u-0=7 -> wrote t-0=5 | wrote t-1=6 | wrote u-0=7 | NONE,NONE,NONE
         fetch t-0 t-1 t-2 v-0 -> t-0=5 t-1=6:note t-2=-1 v-0=-1
         commit - t-0=4 -> wrote t-0=4 | NONE
         fetch all -> t-0=4 t-1=6:note u-0=7
         state -> Empty 0
         restart
         fetch all -> t-0=4 t-1=6:note u-0=7",
    );
}

#[test]
fn a_topic_does_not_inherit_the_offsets_of_another_of_its_name() {
    check(
        "commit - topic=1 t-0=5 -> wrote t-0=5 | NONE
         fetch topic=1 t-0 -> t-0=5
         fetch topic=2 t-0 -> t-0=-1
         fetch t-0 -> t-0=5
         restart
         fetch topic=2 t-0 -> t-0=-1
         commit - t-0=6 -> wrote t-0=6 | NONE
         fetch topic=2 t-0 -> t-0=6",
    );
}

#[test]
fn metadata_has_a_limit() {
    let config = GroupConfig { offset_metadata_max_bytes: 4, ..defaults() };
    check_with(
        config,
        "commit - t-0=1:1234 t-1=1:12345 t-2=1:öäüß -> wrote t-0=1 | wrote t-2=1 | NONE,OFFSET_METADATA_TOO_LARGE,NONE
         commit - t-1=1:12345 group=h -> OFFSET_METADATA_TOO_LARGE
         fetch all -> t-0=1:1234 t-2=1:öäüß
         list -> g::Empty",
    );
}

#[test]
fn who_may_commit() {
    check_undelayed(
        "commit a gen=1 t-0=1 -> all GROUP_ID_NOT_FOUND
         commit a gen=1 v=8 t-0=1 -> all ILLEGAL_GENERATION
         join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         # It has joined, but does not know its partitions.
         commit a t-0=1 -> all REBALANCE_IN_PROGRESS
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         commit a t-0=1 -> wrote t-0=1 | NONE
         commit a gen=0 t-0=2 -> all ILLEGAL_GENERATION
         commit a gen=2 t-0=2 -> all ILLEGAL_GENERATION
         commit a gen=-1 t-0=2 -> all ILLEGAL_GENERATION
         commit b gen=1 t-0=2 -> all UNKNOWN_MEMBER_ID
         # Nobody from outside while there are members.
         commit - t-0=2 -> all UNKNOWN_MEMBER_ID
         join b v=3
         # Those of the last generation still have their partitions.
         commit a t-0=3 -> wrote t-0=3 | NONE
         leave a,b -> wrote Empty 2 | NONE,NONE | b: UNKNOWN_MEMBER_ID
         commit a t-0=4 -> all UNKNOWN_MEMBER_ID
         commit - t-0=5 -> wrote t-0=5 | NONE
         fetch t-0 -> t-0=5",
    );
}

#[test]
fn an_offset_that_a_transaction_is_about_to_change_is_not_stable() {
    check(
        "commit - t-0=5 t-1=5 -> wrote t-0=5 | wrote t-1=5 | NONE,NONE
         pending 7 t-0=6 t-2=6
         fetch t-0 t-1 t-2 -> t-0=5 t-1=5 t-2=-1
         fetch stable t-0 t-1 t-2 -> t-0=UNSTABLE_OFFSET_COMMIT t-1=5 t-2=UNSTABLE_OFFSET_COMMIT
         fetch all stable -> t-0=UNSTABLE_OFFSET_COMMIT t-1=5
         end 7 commit
         fetch all stable -> t-0=6 t-1=5 t-2=6
         pending 8 t-0=7
         end 8 abort
         fetch all stable -> t-0=6 t-1=5 t-2=6",
    );
}

#[test]
fn offsets_of_topics_nobody_reads_can_be_deleted() {
    check_undelayed(
        "forget t-0 -> all GROUP_ID_NOT_FOUND
         forget t-0 group= -> all INVALID_GROUP_ID
         commit - t-0=1 u-0=1 u-1=1 -> wrote t-0=1 | wrote u-0=1 | wrote u-1=1 | NONE,NONE,NONE
         pending 7 u-2=1
         forget u-0 u-9 u-2 -> deleted u-0 | deleted u-2 | NONE,NONE,NONE
         fetch all -> t-0=1 u-1=1
         join a v=3 protocols=range:topics/t/s -> a: joined 1, a leads a=\0\0\0\0\0\u{2}\0\u{1}t\0\u{1}s\u{fffd}\u{fffd}\u{fffd}\u{fffd}
         forget t-0 u-1 -> deleted u-1 | GROUP_SUBSCRIBED_TO_TOPIC,NONE
         fetch all -> t-0=1",
    );
    // A subscription that cannot be read may be one to anything; a group of another kind says nothing of topics at all.
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         forget t-0 -> GROUP_SUBSCRIBED_TO_TOPIC
         join b v=3 group=h type=connect -> wrote Empty 0 | b: joined 1, b leads b=M
         forget t-0 group=h -> all NON_EMPTY_GROUP",
    );
}

#[test]
fn an_offset_that_cannot_be_written_fails_its_whole_request_and_no_other() {
    let large = "m".repeat(600);
    check(&format!(
        "most 500
         commit - t-0=5:{large} -> all UNKNOWN_SERVER_ERROR
         commit - t-0=5 t-1=6:{large} -> all UNKNOWN_SERVER_ERROR
         fetch t-0 -> t-0=-1
         commit - t-0=5:small -> wrote t-0=5 | NONE",
    ));
}
