//! Groups told as stories: one line a step, what comes of it behind the arrow.
//!
//! ```text
//! join a -> a: MEMBER_ID_REQUIRED        a member by its label; the story keeps its member id and generation
//! join a instance=i session=9000         parked: nothing comes of it yet
//! wait 3000 -> a: joined 1, a leads a=M  time passes, timeouts do their work
//! sync a assign=a:A -> wrote Stable 1 a | a: synced A
//! ```
//! Every step also checks the group's invariants and that the log, written and read in Kafka's bytes, folds into the
//! same state. A step without an arrow gives nothing.

mod administration;
mod expiration;
mod joining;
mod leaving;
mod offsets;
mod random;
mod sessions;
mod static_members;
mod syncing;
mod teller;

use std::fmt::Write as _;
use std::time::Duration;

use anabranch_host::Instant;
use bytes::Bytes;

use super::GroupCoordinator;
use super::classic::GroupState;
use super::timers::Timer;
use crate::config::{BrokerConfig, GroupConfig};
use crate::coordinator::Now;
use teller::Teller;

/// Far from 1970, so that a time that was forgotten shows.
const WALL_CLOCK_START_MS: i64 = 1_700_000_000_000;

/// Tells a story with Kafka's default configuration.
#[track_caller]
fn check(story: &str) {
    check_with(defaults(), story);
}

/// Tells a story whose groups do not wait for more members at first.
#[track_caller]
fn check_undelayed(story: &str) {
    check_with(GroupConfig { initial_rebalance_delay_ms: 0, ..defaults() }, story);
}

#[track_caller]
fn check_with(config: GroupConfig, story: &str) {
    let mut teller = Teller::new(config);
    let mut told = String::new();
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (step, expected) = line.split_once(" -> ").unwrap_or((line, ""));
        let outcome = teller.step(step.trim());
        let _ = writeln!(told, "{} -> {outcome}", step.trim());
        assert_eq!(outcome.trim(), expected.trim(), "\nthe story so far:\n{told}");
    }
}

/// Kafka's.
fn defaults() -> GroupConfig {
    BrokerConfig::default().group
}

fn now_at(ms: u64) -> Now {
    let wall_clock_ms = WALL_CLOCK_START_MS + i64::try_from(ms).expect("a story is short");
    Now { monotonic: Instant::from_start(Duration::from_millis(ms)), wall_clock_ms }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The subscription a consumer sends (version 0).
fn subscription(topics: &[&str]) -> Bytes {
    use anabranch_protocol::messages::consumer_protocol::ConsumerProtocolSubscription;
    let subscription = ConsumerProtocolSubscription { topics: topics.to_vec(), ..Default::default() };
    anabranch_protocol::encode_versioned(&subscription, 0)
}

/// What must hold of a coordinator between any two calls.
fn assert_invariants(core: &GroupCoordinator) {
    for (group_id, group) in &core.groups {
        let classic = &group.classic;
        classic.assert_invariants();
        // Nothing waits for ever: while a group is on its way, some deadline moves it on.
        let is_set = |timer: Timer| core.timers.is_set(&timer);
        let join = is_set(Timer::Join { group_id: group_id.clone() });
        let sync = is_set(Timer::Sync { group_id: group_id.clone() });
        match classic.state {
            GroupState::PreparingRebalance => assert!(join && !sync),
            GroupState::CompletingRebalance => assert!(!join && sync),
            GroupState::Stable => assert!(!join && (sync || classic.members_without_sync().count() == 0)),
            GroupState::Empty | GroupState::Dead => assert!(!join && !sync),
        }
        for member in classic.members() {
            let (group_id, member_id) = (group_id.clone(), member.id.clone());
            let has_session = is_set(Timer::Session { group_id, member_id });
            assert!(has_session || member.is_excused_from_heartbeats(), "nobody watches over {}", member.id);
        }
    }
}

/// C10: the state is the fold of its records. Of a group on its way, the log knows where it came from only.
fn assert_replay_equals_live(live: &GroupCoordinator, replayed: &GroupCoordinator) {
    let names = |core: &GroupCoordinator| core.groups.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(live), names(replayed));
    for (name, group) in &live.groups {
        let folded = &replayed.groups[name];
        assert_eq!(format!("{:?}", group.offsets), format!("{:?}", folded.offsets), "offsets of {name}");
        let (live, folded) = (&group.classic, &folded.classic);
        // A simple group has no record of its own.
        let is_on_its_way =
            matches!(live.state, GroupState::PreparingRebalance | GroupState::CompletingRebalance);
        if !is_on_its_way && live.protocol_type.is_some() {
            assert_eq!((live.state, live.metadata()), (folded.state, folded.metadata()), "group {name}");
            assert_eq!(live.knows_subscribed_topics(), folded.knows_subscribed_topics());
        }
        assert!(folded.generation_id <= live.generation_id);
    }
}
