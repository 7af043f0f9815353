//! Stories of Heartbeat and of sessions that end.

use super::*;

#[test]
fn heartbeats_keep_a_member_and_silence_loses_it() {
    check_undelayed(
        "join a v=3 session=10000 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         wait 9999
         beat a -> NONE
         wait 9999
         beat a -> NONE
         wait 9999
         wait 1 -> wrote Empty 2
         beat a -> UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn a_heartbeat_says_what_is_wrong() {
    check_undelayed(
        "beat a -> UNKNOWN_MEMBER_ID
         beat a group= -> INVALID_GROUP_ID
         join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         # From the answer to its JoinGroup on, a member beats.
         beat a -> NONE
         beat b -> UNKNOWN_MEMBER_ID
         beat a gen=0 -> ILLEGAL_GENERATION
         beat a gen=2 -> ILLEGAL_GENERATION
         beat a instance=i -> UNKNOWN_MEMBER_ID
         join b -> b: MEMBER_ID_REQUIRED
         beat b -> UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn a_commit_is_a_sign_of_life() {
    check_undelayed(
        "join a v=3 session=10000 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         wait 9000
         commit a t-0=1 -> wrote t-0=1 | NONE
         wait 9999
         beat a -> NONE",
    );
}

#[test]
fn a_member_whose_request_is_parked_does_not_die() {
    // a waits for b, far beyond its session timeout.
    check_undelayed(
        "join a v=3 session=10000 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3 session=300000
         join a session=10000 -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A
         sync b -> b: synced B
         join a session=10000
         wait 59999
         join b session=300000 -> a: joined 3, a leads a=M,b=M | b: joined 3, a leads
         # As a parked SyncGroup does.
         sync b
         wait 9000
         beat a -> NONE
         wait 9000
         beat a -> NONE
         # The answer starts its session anew.
         sync a assign=a:A,b:B -> wrote Stable 3 a,b | a: synced A | b: synced B
         wait 9999
         state -> Stable 3, a leads a,b
         wait 1
         state -> PreparingRebalance 3, b leads b",
    );
}

#[test]
fn a_member_without_an_id_is_given_up_after_five_minutes() {
    check_undelayed(
        "join a v=3 session=1800000 rebalance=1800000 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3
         wait 299999
         wait 1 -> b: UNKNOWN_MEMBER_ID
         state -> PreparingRebalance 1, a leads a",
    );
}

#[test]
fn the_group_goes_on_without_the_dead() {
    check_undelayed(
        "join a v=3 session=20000 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3 session=10000
         join a session=20000 -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A
         sync b -> b: synced B
         wait 9999
         beat a -> NONE
         wait 1
         beat a -> REBALANCE_IN_PROGRESS
         join a session=20000 -> a: joined 3, a leads a=M
         join b v=3 id=
         # The last one that is waited for dies: the join phase is over.
         wait 20000 -> b: joined 4, b leads b=M",
    );
}

#[test]
fn a_coordinator_that_takes_over_gives_everybody_a_new_session() {
    check_undelayed(
        "join a v=3 session=10000 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         wait 9000
         restart
         state -> Stable 1, a leads a
         wait 9999
         beat a -> NONE
         # What was under way is lost, what was stable stands.
         join b v=3
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         restart -> b: NOT_COORDINATOR
         state -> Stable 1, a leads a
         sync b -> b: UNKNOWN_MEMBER_ID
         sync a -> a: ILLEGAL_GENERATION
         wait 10000 -> wrote Empty 2",
    );
}
