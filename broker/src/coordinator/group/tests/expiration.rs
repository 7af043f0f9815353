//! Stories of what is forgotten, and when.

use super::*;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Retention of one day, looked after every ten minutes.
#[track_caller]
fn check_with_a_day(story: &str) {
    let config =
        GroupConfig { offsets_retention_ms: DAY_MS as i64, initial_rebalance_delay_ms: 0, ..defaults() };
    check_with(config, story);
}

#[test]
fn offsets_of_a_simple_group_go_by_their_age_and_the_group_after_them() {
    check_with_a_day(
        "commit - t-0=1 -> wrote t-0=1 | NONE
         wait 43200000
         commit - t-1=1 -> wrote t-1=1 | NONE
         wait 43199999
         wait 1 -> deleted t-0
         fetch all -> t-1=1
         wait 43200000 -> deleted t-1 | deleted g
         state -> none",
    );
}

#[test]
fn a_client_may_say_how_long_its_offsets_are_kept() {
    check_with_a_day(
        "commit - retention=600000 t-0=1 -> wrote t-0=1 | NONE
         commit - t-1=1 -> wrote t-1=1 | NONE
         restart
         wait 600000 -> deleted t-0",
    );
}

#[test]
fn offsets_of_a_group_without_members_are_kept_from_when_the_last_one_left() {
    check_with_a_day(
        "commit - t-0=1 -> wrote t-0=1 | NONE
         join a v=3 session=1800000 -> a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         wait 1200000
         leave a -> wrote Empty 2 | NONE
         wait 86399999
         wait 1 -> deleted t-0 | deleted g",
    );
}

#[test]
fn a_stable_group_keeps_the_offsets_of_the_topics_it_reads() {
    let mut teller = Teller::new(GroupConfig {
        offsets_retention_ms: 0,
        offsets_retention_check_interval_ms: 1000,
        initial_rebalance_delay_ms: 0,
        ..defaults()
    });
    for step in
        ["commit - t-0=1 u-0=1", "join a v=3 session=1800000 protocols=range:topics/t", "sync a assign=a:A"]
    {
        teller.step(step);
    }
    assert_eq!(teller.step("wait 1000"), "deleted u-0");
    teller.step("join b v=3 session=1800000");
    assert_eq!(teller.step("wait 5000"), "", "nothing goes while the group rebalances");
    assert_eq!(teller.step("fetch all"), "t-0=1");
}

#[test]
fn what_cannot_be_read_as_a_subscription_keeps_everything() {
    check_with(
        GroupConfig { offsets_retention_ms: 0, initial_rebalance_delay_ms: 0, ..defaults() },
        "commit - t-0=1 -> wrote t-0=1 | NONE
         join a v=3 session=1800000 -> a: joined 1, a leads a=M
         sync a assign=a:A -> wrote Stable 1 a | a: synced A
         wait 600000
         fetch all -> t-0=1",
    );
}

#[test]
fn open_transactions_keep_their_offsets_and_their_group() {
    check_with_a_day(
        "commit - t-0=1 -> wrote t-0=1 | NONE
         pending 7 t-0=2
         wait 172800000
         fetch all -> t-0=1
         end 7 abort
         wait 600000 -> deleted t-0 | deleted g",
    );
}

#[test]
fn a_group_whose_only_member_never_came_back_is_forgotten() {
    check(
        "join a session=1300000 -> wrote Empty 0 | a: MEMBER_ID_REQUIRED
         wait 600000
         state -> Empty 0
         wait 600000
         wait 600000 -> deleted g",
    );
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it() {
    check(
        "commit - t-0=1 t-1=1 u-0=1 -> wrote t-0=1 | wrote t-1=1 | wrote u-0=1 | NONE,NONE,NONE
         commit - group=h t-0=1 -> wrote t-0=1 | NONE
         pending 7 group=h t-5=1
         topic-deleted t -> deleted t-0 | deleted t-1 | deleted t-0 | deleted t-5
         fetch all -> u-0=1
         end 7 commit
         fetch group=h all",
    );
}
