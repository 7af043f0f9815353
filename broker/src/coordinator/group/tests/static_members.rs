//! Stories of static members: `group.instance.id` (KIP-345, KIP-814).

use super::*;

const STABLE_WITH_STATIC_B: &str = "
    join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
    join b instance=i session=300000
    join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
    sync b instance=i
    sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A | b: synced B";

#[test]
fn a_static_member_needs_no_second_request_for_its_id() {
    check_undelayed("join a instance=i -> wrote Empty 0 | a: joined 1, a leads a=M");
}

#[test]
fn a_follower_that_restarts_takes_its_old_place() {
    check_undelayed(&format!(
        "{STABLE_WITH_STATIC_B}
         join b2 instance=i -> wrote Stable 2 a,b2 | b2: joined 2, a leads
         sync b2 instance=i -> b2: synced B
         beat b2 instance=i -> NONE
         beat a -> NONE
         state -> Stable 2, a leads a,b2
         # The process it was before is fenced, or unknown if it does not say who it is.
         beat b instance=i -> FENCED_INSTANCE_ID
         sync b instance=i -> b: FENCED_INSTANCE_ID
         commit b instance=i t-0=1 -> all FENCED_INSTANCE_ID
         join b instance=i -> b: FENCED_INSTANCE_ID
         leave i/b -> FENCED_INSTANCE_ID
         beat b -> UNKNOWN_MEMBER_ID",
    ));
}

#[test]
fn a_leader_that_restarts_leads_on_and_assigns_only_if_it_must() {
    let story = "
        join a instance=i -> wrote Empty 0 | a: joined 1, a leads a=M
        sync a instance=i assign=a:A -> wrote Stable 1 a | a: synced A";
    check_undelayed(&format!(
        "{story}
         join a2 instance=i -> wrote Stable 1 a2 | a2: joined 1, a2 leads a2=M as before
         sync a2 instance=i -> a2: synced A
         state -> Stable 1, a2 leads a2",
    ));
    // A client that does not know of this is told of its old self as the leader.
    check_undelayed(&format!(
        "{story}
         join a2 v=8 instance=i -> wrote Stable 1 a2 | a2: joined 1, a leads
         sync a2 instance=i -> a2: synced A
         state -> Stable 1, a2 leads a2",
    ));
}

#[test]
fn a_restart_that_changes_the_chosen_protocol_rebalances() {
    check_undelayed(
        "join a instance=i protocols=x:1,y:1 -> wrote Empty 0 | a: joined 1, a leads a=1
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join a2 instance=i protocols=y:2,x:2 -> a2: joined 2, a2 leads a2=2
         state -> CompletingRebalance 2, a2 leads a2",
    );
    // Its own subscription changed, but not the protocol: no rebalance, the leader will see it at the next one.
    check_undelayed(
        "join a instance=i -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join a2 instance=i protocols=range:N -> wrote Stable 1 a2 | a2: joined 1, a2 leads a2=N as before",
    );
}

#[test]
fn a_restart_while_the_group_rebalances_takes_part_in_it() {
    check_undelayed(&format!(
        "{STABLE_WITH_STATIC_B}
         join b protocols=range:N instance=i
         # The old process waits still, and is fenced.
         join b2 instance=i -> b: FENCED_INSTANCE_ID
         join a -> a: joined 3, a leads a=M,b2=M | b2: joined 3, a leads
         sync b2 instance=i
         # Here the leader may have assigned to the old id just now.
         join b3 instance=i -> b2: FENCED_INSTANCE_ID
         state -> PreparingRebalance 3, a leads a,b3
         join a -> a: joined 4, a leads a=M,b3=M | b3: joined 4, a leads",
    ));
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_until_its_session_ends() {
    check_undelayed(
        "join a v=3 session=300000 rebalance=20000 -> wrote Empty 0 | a: joined 1, a leads a=M
         join b instance=i session=30000 rebalance=20000
         join a session=300000 rebalance=20000 -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A
         sync b instance=i -> b: synced B
         # The leader rebalances while b is away: b stays a member of the new generation.
         join a session=300000 rebalance=20000
         wait 20000 -> a: joined 3, a leads a=M,b=M
         sync a assign=a:A,b:B -> wrote Stable 3 a,b | a: synced A
         # It never asks for its assignment: out.
         wait 20000
         state -> PreparingRebalance 3, a leads a",
    );
    // Nobody joins: the group waits for them, or for the end of their sessions.
    check_undelayed(
        "join a instance=i session=30000 rebalance=20000 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a instance=i assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3
         leave b -> NONE | b: UNKNOWN_MEMBER_ID
         state -> PreparingRebalance 1, a leads a
         wait 25000
         state -> PreparingRebalance 1, a leads a
         wait 5000 -> wrote Empty 2",
    );
}

#[test]
fn a_name_twice_is_one_member() {
    check(
        "join a instance=i -> wrote Empty 0
         join b instance=i -> a: FENCED_INSTANCE_ID
         wait 3000 -> b: joined 1, b leads b=M",
    );
    // An id given to a dynamic member is no static one's.
    check(
        "join a -> wrote Empty 0 | a: MEMBER_ID_REQUIRED
         join a instance=i -> a: UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn a_restart_that_cannot_be_written_leaves_the_old_member_in_its_place() {
    let large = "M".repeat(500);
    check_undelayed(&format!(
        "{STABLE_WITH_STATIC_B}
         most 500
         join b2 instance=i protocols=range:{large} -> b2: UNKNOWN_SERVER_ERROR
         state -> Stable 2, a leads a,b
         beat b instance=i -> NONE
         beat b2 -> UNKNOWN_MEMBER_ID
         # So it is for the leader.
         join c instance=j group=h -> wrote Empty 0 | c: joined 1, c leads c=M
         sync c instance=j group=h assign=c:C -> wrote Stable 1 c | c: synced C
         join c2 instance=j group=h protocols=range:{large} -> c2: UNKNOWN_SERVER_ERROR
         join c3 instance=j group=h -> wrote Stable 1 c3 | c3: joined 1, c3 leads c3=M as before
         wait 300000 -> wrote Empty 2 | wrote Empty 3",
    ));
}
