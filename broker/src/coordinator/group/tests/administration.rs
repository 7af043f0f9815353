//! Stories of DescribeGroups, ListGroups and DeleteGroups.

use super::*;

#[test]
fn groups_can_be_looked_at() {
    check_undelayed(
        "describe -> none
         list
         join a instance=i -> wrote Empty 0 | a: joined 1, a leads a=M
         # Before the group is stable nobody knows the protocol.
         describe -> CompletingRebalance type=consumer protocol= a[i a@/127.0.0.1  ]
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         describe -> Stable type=consumer protocol=range a[i a@/127.0.0.1 M A]
         commit - group=h t-0=1 -> wrote t-0=1 | NONE
         list -> g:consumer:Stable h::Empty
         describe group=h -> Empty type= protocol=
         restart
         describe -> Stable type=consumer protocol=range a[i a@/127.0.0.1 M A]
         list -> g:consumer:Stable h::Empty
         leave i/ -> wrote Empty 2 | NONE
         describe -> Empty type=consumer protocol=",
    );
}

#[test]
fn only_groups_without_members_can_be_deleted() {
    check_undelayed(
        "delete -> GROUP_ID_NOT_FOUND
         join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         delete -> NON_EMPTY_GROUP
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         commit a t-0=1 -> wrote t-0=1 | NONE
         delete -> NON_EMPTY_GROUP
         leave a -> wrote Empty 2 | NONE
         pending 7 t-0=2 t-1=2
         delete -> deleted t-0 | deleted t-1 | deleted g | NONE
         delete -> GROUP_ID_NOT_FOUND
         fetch all
         # It begins anew.
         join a v=3 id= -> wrote Empty 0 | a: joined 1, a leads a=M
         end 7 commit
         fetch all",
    );
}
