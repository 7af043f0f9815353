//! Stories of LeaveGroup.

use super::*;

#[test]
fn the_last_one_to_leave_empties_the_group() {
    check_undelayed(
        "leave a -> UNKNOWN_MEMBER_ID
         leave a group= -> INVALID_GROUP_ID
         join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         leave b -> UNKNOWN_MEMBER_ID
         state -> Stable 1, a leads a
         leave a -> wrote Empty 2 | NONE
         leave a -> UNKNOWN_MEMBER_ID
         state -> Empty 2",
    );
}

#[test]
fn many_leave_at_once_and_the_others_rebalance_once() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b v=3
         join c v=3 instance=i
         join a -> a: joined 2, a leads a=M,b=M,c=M | b: joined 2, a leads | c: joined 2, a leads
         sync a assign=a:A,b:B,c:C -> wrote Stable 2 a,b,c | a: synced A
         # a by its id, c by its instance id alone, and some who are not there or not who they say.
         leave a,i/,z,y/,y/b,i/b -> NONE,NONE,UNKNOWN_MEMBER_ID,UNKNOWN_MEMBER_ID,UNKNOWN_MEMBER_ID,UNKNOWN_MEMBER_ID
         state -> PreparingRebalance 2, b leads b
         join b -> b: joined 3, b leads b=M",
    );
}

#[test]
fn who_leaves_while_others_wait_for_it_ends_the_wait() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3
         leave a -> NONE | b: joined 2, b leads b=M
         join c -> c: MEMBER_ID_REQUIRED
         leave c -> NONE
         state -> PreparingRebalance 2, b leads b",
    );
    // As in Apache Kafka, the others also join anew if who leaves had an id only.
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b -> b: MEMBER_ID_REQUIRED
         leave b -> NONE
         beat a -> REBALANCE_IN_PROGRESS
         join a -> a: joined 2, a leads a=M
         leave a -> wrote Empty 3 | NONE
         join c -> c: MEMBER_ID_REQUIRED
         leave c -> NONE
         state -> Empty 3",
    );
    // A member with an id only, for which everybody waits.
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b -> b: MEMBER_ID_REQUIRED
         join a
         leave b -> NONE | a: joined 2, a leads a=M",
    );
}

#[test]
fn a_group_whose_members_all_left_waits_for_no_one_with_an_id_only() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b -> b: MEMBER_ID_REQUIRED
         leave a -> NONE
         wait 0 -> wrote Empty 2
         join b -> b: joined 3, b leads b=M",
    );
}

#[test]
fn leaving_during_the_first_wait_does_not_end_it() {
    check(
        "join a v=3 -> wrote Empty 0
         join b v=3
         leave a -> NONE | a: UNKNOWN_MEMBER_ID
         wait 5999
         wait 1 -> b: joined 1, b leads b=M",
    );
}
