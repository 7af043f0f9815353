//! Where a consumer stands, whatever answer comes late.

use super::*;

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(milliseconds))
}

fn offsets(positions: &Positions, now: Instant) -> Vec<(i32, i64)> {
    positions.fetchable(now).into_iter().map(|one| (one.name.partition, one.offset)).collect()
}

#[test]
fn a_partition_begins_where_it_was_committed_or_where_the_policy_says() {
    let check = |reset, committed: Option<i64>, expected: Result<Option<OffsetSpec>, &str>| {
        let mut positions = Positions::new(reset);
        positions.assign(&[name(0)]);
        let asked = positions.take_unknown(at(0));
        assert_eq!(asked.len(), 1);
        assert!(positions.take_unknown(at(0)).is_empty(), "asked once");
        let committed = committed.map(OffsetAndMetadata::new);
        let outcome = positions.committed(&name(0), asked[&name(0)], committed.as_ref());
        let outcome =
            outcome.map(|()| positions.take_resetting(at(0), 10_000).first().map(|(_, _, spec)| *spec));
        let outcome = outcome.map_err(|error| error.to_string());
        assert_eq!(outcome, expected.map_err(str::to_string), "{reset} {committed:?}");
    };
    check(AutoOffsetReset::Earliest, Some(5), Ok(None));
    check(AutoOffsetReset::Earliest, None, Ok(Some(OffsetSpec::Earliest)));
    check(AutoOffsetReset::Latest, None, Ok(Some(OffsetSpec::Latest)));
    let ago = |seconds| AutoOffsetReset::ByDuration(Duration::from_secs(seconds));
    check(ago(3), None, Ok(Some(OffsetSpec::Timestamp(7_000))));
    check(ago(30), None, Ok(Some(OffsetSpec::Timestamp(0))));
    check(ago(3), Some(5), Ok(None));
    let refused = "t-0: there is no committed offset, and auto.offset.reset is none";
    check(AutoOffsetReset::None, None, Err(refused));
    check(AutoOffsetReset::None, Some(0), Ok(None));
}

#[test]
fn a_topic_may_have_a_policy_of_its_own() {
    let mut positions = Positions::new(AutoOffsetReset::Earliest);
    positions.set_reset("t", AutoOffsetReset::ByDuration(Duration::from_secs(1)));
    let other = TopicPartition::new("u", 0);
    positions.assign(&[name(0), other.clone()]);
    for (name, turn) in positions.take_unknown(at(0)) {
        positions.committed(&name, turn, None).unwrap();
    }
    let asked = positions.take_resetting(at(0), 10_000);
    let specs: Vec<_> = asked.iter().map(|(name, _, spec)| (name.clone(), *spec)).collect();
    assert_eq!(specs, [(name(0), OffsetSpec::Timestamp(9_000)), (other, OffsetSpec::Earliest)]);
    positions.looked_up(&name(0), asked[0].1, -1, -1);
    assert_eq!(positions.position(&name(0)), None);
    let asked = positions.take_resetting(at(0), 10_000);
    assert_eq!((&asked[0].0, asked[0].2), (&name(0), OffsetSpec::Latest), "nothing is that young");
    positions.looked_up(&name(0), asked[0].1, 7, 0);
    assert_eq!(positions.position(&name(0)), Some(7));
}

#[test]
fn answers_of_an_earlier_turn_mean_nothing() {
    let mut positions = Positions::new(AutoOffsetReset::Earliest);
    positions.assign(&[name(0)]);
    let turn = positions.take_unknown(at(0))[&name(0)];
    positions.seek(&name(0), 7, -1);
    positions.committed(&name(0), turn, Some(&OffsetAndMetadata::new(3))).unwrap();
    assert_eq!(positions.position(&name(0)), Some(7));
    let turn = positions.fetchable(at(0))[0].turn;
    positions.fetching(&name(0), turn);
    assert_eq!(offsets(&positions, at(0)), []);
    positions.seek(&name(0), 9, -1);
    assert_eq!(offsets(&positions, at(0)), [(0, 9)], "a new turn asks anew");
    assert!(!positions.fetched(&name(0), turn, 7, 8), "nobody wants it");
    positions.remove(&[name(0)]);
    positions.add(&[name(0)]);
    assert_eq!(positions.position(&name(0)), None, "it comes back without a position");
}

#[test]
fn two_chunks_are_fetched_ahead() {
    let mut positions = Positions::new(AutoOffsetReset::Earliest);
    positions.assign(&[name(0)]);
    positions.seek(&name(0), 0, -1);
    let turn = positions.fetchable(at(0))[0].turn;
    assert!(positions.fetched(&name(0), turn, 0, 10));
    assert_eq!(offsets(&positions, at(0)), [(0, 10)]);
    assert!(positions.fetched(&name(0), turn, 10, 20));
    assert_eq!(offsets(&positions, at(0)), []);
    assert_eq!(positions.position(&name(0)), Some(0), "the caller has nothing yet");
    positions.advance(&name(0), turn, 10, 3);
    positions.chunk_taken(&name(0), turn);
    assert_eq!(offsets(&positions, at(0)), [(0, 20)]);
    let committed = &positions.to_commit()[&name(0)];
    assert_eq!((committed.offset, committed.leader_epoch), (10, 3));
}

#[test]
fn what_is_out_of_range_is_looked_up_after_what_is_here() {
    let mut positions = Positions::new(AutoOffsetReset::Latest);
    positions.assign(&[name(0)]);
    positions.seek(&name(0), 0, -1);
    let turn = positions.fetchable(at(0))[0].turn;
    assert!(positions.fetched(&name(0), turn, 0, 10));
    positions.out_of_range(&name(0), turn, 10).unwrap();
    assert_eq!(positions.take_resetting(at(0), 10_000), [], "a chunk is here");
    positions.chunk_taken(&name(0), turn);
    positions.out_of_range(&name(0), turn, 5).unwrap();
    assert_eq!(positions.take_resetting(at(0), 10_000), [], "not the offset that is fetched");
    positions.out_of_range(&name(0), turn, 10).unwrap();
    let asked = positions.take_resetting(at(0), 10_000);
    assert_eq!(asked[0].2, OffsetSpec::Latest);
    positions.failed(&name(0), asked[0].1, at(50));
    assert_eq!(positions.take_resetting(at(49), 10_000), []);
    assert_eq!(positions.next_retry(at(49)), Some(at(50)));
    let asked = positions.take_resetting(at(50), 10_000);
    positions.looked_up(&name(0), asked[0].1, 42, 1);
    assert_eq!(positions.position(&name(0)), Some(42));
}

#[test]
fn paused_partitions_rest() {
    let mut positions = Positions::new(AutoOffsetReset::Latest);
    positions.assign(&[name(0), name(1)]);
    positions.seek(&name(0), 0, -1);
    positions.seek(&name(1), 0, -1);
    let turn = positions.fetchable(at(0))[0].turn;
    assert!(positions.set_paused(&name(0), true));
    assert!(!positions.set_paused(&name(2), true));
    assert_eq!(offsets(&positions, at(0)), [(1, 0)]);
    assert_eq!(positions.may_take(&name(0), turn), Take::Later);
    positions.assign(&[name(0), name(3)]);
    assert_eq!(positions.paused(), [name(0)], "what stays stays as it was");
    assert_eq!(positions.may_take(&name(1), turn + 1), Take::Never);
}
