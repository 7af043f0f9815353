//! Stories of SyncGroup: the assignment, and who may ask for it.

use super::*;

#[test]
fn everybody_waits_for_the_leaders_assignment() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         beat b -> NONE
         # Nothing for b, and something for somebody who is not there.
         sync a assign=a:A,z:Z -> wrote Stable 2 a,b | a: synced A | b: synced
         # Later it is told again.
         sync a -> a: synced A
         sync b -> b: synced",
    );
}

#[test]
fn only_members_of_the_generation_may_ask() {
    check_undelayed(
        "sync a -> a: UNKNOWN_MEMBER_ID
         sync a group= -> a: INVALID_GROUP_ID
         join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync b -> b: UNKNOWN_MEMBER_ID
         sync a gen=0 -> a: ILLEGAL_GENERATION
         sync a gen=2 -> a: ILLEGAL_GENERATION
         sync a instance=i -> a: UNKNOWN_MEMBER_ID
         sync a type=connect protocol=range -> a: INCONSISTENT_GROUP_PROTOCOL
         sync a type=consumer protocol=sticky -> a: INCONSISTENT_GROUP_PROTOCOL
         sync a type=consumer protocol=range assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3
         sync a -> a: REBALANCE_IN_PROGRESS",
    );
}

#[test]
fn a_rebalance_sends_those_who_wait_back_to_joining() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         # Asked twice: the first one is not left hanging.
         sync b -> b: REBALANCE_IN_PROGRESS
         join c v=3 -> b: REBALANCE_IN_PROGRESS
         sync a assign=a:A -> a: REBALANCE_IN_PROGRESS",
    );
}

#[test]
fn a_member_that_goes_while_it_waits_is_told() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         leave b -> NONE | b: UNKNOWN_MEMBER_ID
         join a -> a: joined 3, a leads a=M
         join b v=3 id=
         leave b -> NONE | b: UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn who_sends_no_sync_within_the_rebalance_timeout_is_out() {
    check_undelayed(
        "join a v=3 session=300000 rebalance=20000 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3 session=300000 rebalance=20000
         join a rebalance=20000 session=300000 -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A
         wait 19999
         wait 1
         state -> PreparingRebalance 2, a leads a
         beat b -> UNKNOWN_MEMBER_ID
         join a -> a: joined 3, a leads a=M",
    );
    // The leader is the silent one: who waited for its assignment joins again.
    check_undelayed(
        "join a v=3 session=300000 rebalance=20000 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3 session=300000 rebalance=20000
         join a rebalance=20000 session=300000 -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         wait 20000 -> b: REBALANCE_IN_PROGRESS
         state -> PreparingRebalance 2, b leads b
         join b -> b: joined 3, b leads b=M",
    );
}

#[test]
fn an_assignment_that_cannot_be_written_is_nobodys_and_the_group_tries_again() {
    let large = "A".repeat(400);
    check_undelayed(&format!(
        "most 500
         join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         sync a assign=a:{large},b:B -> a: UNKNOWN_SERVER_ERROR | b: UNKNOWN_SERVER_ERROR
         state -> PreparingRebalance 2, a leads a,b
         beat a -> REBALANCE_IN_PROGRESS
         join b
         join a -> a: joined 3, a leads a=M,b=M | b: joined 3, a leads
         sync b
         sync a assign=a:A,b:B -> wrote Stable 3 a,b | a: synced A | b: synced B",
    ));
}
