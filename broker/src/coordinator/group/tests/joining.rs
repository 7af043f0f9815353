//! Stories of JoinGroup: ids, the join phase, the vote, who leads.

use super::*;

#[test]
fn a_new_member_comes_back_with_the_id_it_got() {
    check(
        "join a -> wrote Empty 0 | a: MEMBER_ID_REQUIRED
         state -> Empty 0
         join a
         state -> PreparingRebalance 0, a leads a
         wait 2999
         wait 1 -> a: joined 1, a leads a=M
         state -> CompletingRebalance 1, a leads a
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         state -> Stable 1, a leads a",
    );
}

#[test]
fn an_old_client_is_taken_in_at_once() {
    check_undelayed("join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M");
}

#[test]
fn what_is_wrong_with_a_request_is_said_at_once() {
    check(
        "join a group= -> a: INVALID_GROUP_ID
         join a session=5999 -> a: INVALID_SESSION_TIMEOUT
         join a session=1800001 -> a: INVALID_SESSION_TIMEOUT
         join a id=made-up -> a: UNKNOWN_MEMBER_ID
         join a type= -> wrote Empty 0 | a: INCONSISTENT_GROUP_PROTOCOL
         join a protocols= -> a: INCONSISTENT_GROUP_PROTOCOL
         join a id=made-up -> a: UNKNOWN_MEMBER_ID
         join a session=6000 v=3
         join b type=connect -> b: INCONSISTENT_GROUP_PROTOCOL
         join b protocols=roundrobin:M -> b: INCONSISTENT_GROUP_PROTOCOL
         join b id=made-up -> b: UNKNOWN_MEMBER_ID
         join b session=1800000 v=3",
    );
}

#[test]
fn a_group_of_another_kind_may_take_over_an_empty_group() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         leave a -> wrote Empty 2 | NONE
         list -> g:consumer:Empty
         join b v=3 type=connect protocols=default:W -> b: joined 3, b leads b=W
         list -> g:connect:CompletingRebalance",
    );
}

#[test]
fn the_first_rebalance_waits_for_more_members_within_the_rebalance_timeout() {
    check(
        "join a v=3 rebalance=8000 -> wrote Empty 0
         wait 2000
         join b v=3 rebalance=8000
         wait 1000
         # Somebody came within the first three seconds: three more.
         wait 2999
         join c v=3 rebalance=8000
         # Two of the eight seconds are left.
         wait 1
         wait 1999
         wait 1 -> a: joined 1, a leads a=M,b=M,c=M | b: joined 1, a leads | c: joined 1, a leads",
    );
    check(
        "join a v=3 -> wrote Empty 0
         wait 3000 -> a: joined 1, a leads a=M",
    );
}

#[test]
fn the_join_phase_ends_when_all_have_joined() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3
         state -> PreparingRebalance 1, a leads a,b
         beat a -> REBALANCE_IN_PROGRESS
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         sync b
         sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A | b: synced B",
    );
}

#[test]
fn a_member_given_an_id_is_waited_for_too() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b -> b: MEMBER_ID_REQUIRED
         # It does not disturb the group yet.
         beat a -> NONE
         join c v=3
         join a
         # b is missing.
         state -> PreparingRebalance 1, a leads a,c
         join b -> a: joined 2, a leads a=M,b=M,c=M | b: joined 2, a leads | c: joined 2, a leads",
    );
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b session=7000 -> b: MEMBER_ID_REQUIRED
         join a
         wait 6999
         # b does not come back within its session timeout.
         wait 1 -> a: joined 2, a leads a=M
         join b -> b: UNKNOWN_MEMBER_ID",
    );
}

#[test]
fn who_does_not_join_within_the_rebalance_timeout_is_out() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3 rebalance=20000 session=30000
         wait 9000
         beat a -> REBALANCE_IN_PROGRESS
         wait 9000
         beat a -> REBALANCE_IN_PROGRESS
         wait 9000
         beat a -> REBALANCE_IN_PROGRESS
         state -> PreparingRebalance 1, a leads a,b
         # The longest rebalance timeout counts: a's sixty seconds.
         wait 9000
         beat a -> REBALANCE_IN_PROGRESS
         wait 9000
         beat a -> REBALANCE_IN_PROGRESS
         wait 9000
         beat a -> REBALANCE_IN_PROGRESS
         wait 5999
         wait 1 -> b: joined 2, b leads b=M
         beat a -> UNKNOWN_MEMBER_ID
         state -> CompletingRebalance 2, b leads b",
    );
}

#[test]
fn a_leader_that_does_not_join_is_followed_by_one_that_did() {
    check_undelayed(
        "join a v=3 session=300000 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3 rebalance=20000
         wait 60000 -> b: joined 2, b leads b=M",
    );
}

#[test]
fn most_votes_among_protocols_all_know_decide() {
    for (protocols, expected) in [
        (["x:1,y:1", "x:2,y:2", "y:3,x:3"], "x"),
        (["x:1,y:1", "y:2,x:2", "y:3,x:3"], "y"),
        // z has most friends, but b does not know it.
        (["z:1,x:1", "x:2", "z:3,x:3"], "x"),
        // A tie between x and y: the leader's preference.
        (["x:1,y:1,z:1", "y:2,z:2,x:2", "z:3,y:3,x:3"], "x"),
        // Said twice, counted once.
        (["x:1,x:9,y:1", "y:2,x:2", "y:3,x:3"], "y"),
    ] {
        let mut teller = Teller::new(defaults());
        for (label, protocols) in ["a", "b", "c"].iter().zip(protocols) {
            teller.step(&format!("join {label} v=3 protocols={protocols}"));
        }
        teller.wait(6_000);
        let chosen = teller.core.groups["g"].classic.protocol_name.clone();
        assert_eq!(chosen.as_deref(), Some(expected), "{protocols:?}");
    }
}

#[test]
fn a_follower_that_asks_again_without_a_change_disturbs_nobody() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join b v=3
         join a -> a: joined 2, a leads a=M,b=M | b: joined 2, a leads
         # The answer was lost, say.
         join a -> a: joined 2, a leads a=M,b=M
         join b -> b: joined 2, a leads
         sync a assign=a:A,b:B -> wrote Stable 2 a,b | a: synced A
         join b -> b: joined 2, a leads
         sync b -> b: synced B
         state -> Stable 2, a leads a,b",
    );
}

#[test]
fn a_leader_that_joins_again_or_a_changed_member_starts_a_rebalance() {
    check_undelayed(
        "join a v=3 -> wrote Empty 0 | a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         join a -> a: joined 2, a leads a=M
         # Changed while the assignment is awaited.
         join a protocols=range:N -> a: joined 3, a leads a=N
         sync a assign=a:A -> wrote Stable 3 a | a: synced A
         join b v=3
         join a protocols=range:N -> a: joined 4, a leads a=N,b=M | b: joined 4, a leads
         sync a assign=a:A,b:B -> wrote Stable 4 a,b | a: synced A
         sync b -> b: synced B
         join b protocols=range:O
         join a protocols=range:N -> a: joined 5, a leads a=N,b=O | b: joined 5, a leads",
    );
}

#[test]
fn a_request_asked_twice_is_answered_twice() {
    check(
        "join a v=3 -> wrote Empty 0
         join a -> a: REBALANCE_IN_PROGRESS
         join a -> a: REBALANCE_IN_PROGRESS",
    );
}

#[test]
fn a_full_group_takes_nobody_in() {
    let config = GroupConfig { max_size: 2, ..defaults() };
    check_with(
        config.clone(),
        "join a v=3 -> wrote Empty 0
         join b v=3
         join c v=3 -> c: GROUP_MAX_SIZE_REACHED
         wait 6000 -> a: joined 1, a leads a=M,b=M | b: joined 1, a leads
         join c -> c: GROUP_MAX_SIZE_REACHED
         sync a assign=a:A,b:B -> wrote Stable 1 a,b | a: synced A
         join c -> c: GROUP_MAX_SIZE_REACHED
         join b -> b: joined 1, a leads
         join a
         # Two have an id already, c gets one too; who joins last has lost.
         state -> PreparingRebalance 1, a leads a,b
         join c -> c: MEMBER_ID_REQUIRED
         join b
         join c -> c: GROUP_MAX_SIZE_REACHED | a: joined 2, a leads a=M,b=M | b: joined 2, a leads",
    );
    // The limit was lowered while the broker was down.
    let mut teller = Teller::new(GroupConfig { max_size: 3, ..config });
    for step in ["join a v=3", "join b v=3", "join c v=3", "wait 6000", "sync a assign=a:A"] {
        teller.step(step);
    }
    assert_eq!(teller.step("state"), "Stable 1, a leads a,b,c");
    teller.config.max_size = 2;
    teller.step("restart");
    assert_eq!(teller.step("state"), "PreparingRebalance 1, a leads a,b,c");
    for step in ["join a", "join c"] {
        assert_eq!(teller.step(step), "");
    }
    let outcome = "b: GROUP_MAX_SIZE_REACHED | a: joined 2, a leads a=M,c=M | c: joined 2, a leads";
    assert_eq!(teller.step("join b"), outcome);
}
