//! One member's life, step by step, without a coordinator.

use super::*;
use crate::consumer::assignor::{GroupView, RangeAssignor};
use crate::error::ErrorKind;

#[derive(Debug)]
struct Cooperative;

impl Assignor for Cooperative {
    fn name(&self) -> &str {
        "cooperative"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn assign(&self, _group: GroupView<'_>) -> Result<BTreeMap<String, MemberAssignment>> {
        Ok(BTreeMap::new())
    }
}

fn at(milliseconds: u64) -> Instant {
    Instant::from_start(Duration::from_millis(milliseconds))
}

struct Test {
    member: Membership,
    now: u64,
    protocol: &'static str,
}

impl Test {
    fn new(assignor: Arc<dyn Assignor>, instance: Option<&str>) -> Self {
        let options = MemberOptions {
            group: "g".into(),
            instance_id: instance.map(Arc::from),
            sole_instance: false,
            rack: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
        };
        let protocol = if assignor.name() == "range" { "range" } else { "cooperative" };
        let mut member = Membership::new(options, vec![assignor], at(0));
        member.subscribe(vec!["t".into()]);
        Test { member, now: 0, protocol }
    }

    fn eager() -> Self {
        Self::new(Arc::new(RangeAssignor), None)
    }

    fn cooperative() -> Self {
        Self::new(Arc::new(Cooperative), None)
    }

    /// The next step in short.
    fn next(&mut self) -> String {
        match self.member.next(at(self.now)) {
            Step::FindCoordinator => "find".to_string(),
            Step::Join { member_id, protocols, .. } => {
                let owned = MemberSubscription::decode(&protocols[0].1, None).unwrap().owned_partitions;
                format!("join {member_id} {owned:?}")
            }
            Step::Assign { members, .. } => format!("assign {:?}", members.keys().collect::<Vec<_>>()),
            Step::Sync { committer, assignments, .. } => {
                format!("sync {} {:?}", committer.generation, assignments.keys().collect::<Vec<_>>())
            }
            Step::Heartbeat(committer) => format!("heartbeat {}", committer.generation),
            Step::Leave(committer) => format!("leave {}", committer.member_id),
            Step::WaitUntil(time) => format!("wait {}", time.since_start().as_millis()),
            Step::Done => "done".to_string(),
        }
    }

    fn check(&mut self, expected: &str) {
        assert_eq!(self.next(), expected);
    }

    fn retry_at(&self) -> Instant {
        at(self.now + 100)
    }

    fn found(&mut self) {
        self.check("find");
        self.member.found(Ok("c:1".to_string()), self.retry_at());
    }

    fn joined(&mut self, generation_id: i32, leader: &str, members: &[&str]) {
        let subscription = MemberSubscription::default().encode();
        let members = members.iter().map(|id| (id.to_string(), None, subscription.clone())).collect();
        let answer = Joined {
            member_id: "m".to_string(),
            generation_id,
            protocol: self.protocol.to_string(),
            leader: leader.to_string(),
            members,
            ..Default::default()
        };
        self.member.joined(answer, at(self.now), self.retry_at());
    }

    fn refused(&mut self, code: ErrorCode) {
        let joined = Joined { code, member_id: "m".to_string(), ..Default::default() };
        self.member.joined(joined, at(self.now), self.retry_at());
    }

    fn synced(&mut self, partitions: &[i32]) {
        let partitions = partitions.iter().map(|number| TopicPartition::new("t", *number)).collect();
        let assignment = MemberAssignment { partitions, user_data: None };
        self.member.synced(ErrorCode::NONE, &assignment.encode(), at(self.now), self.retry_at());
    }

    fn heartbeat(&mut self, code: ErrorCode) {
        self.now += 3000;
        assert!(self.next().starts_with("heartbeat"));
        self.member.heartbeat_answered(code, at(self.now), self.retry_at());
    }

    /// The user polls; the events it is told, in short.
    fn poll(&mut self) -> String {
        self.member.polled(at(self.now));
        let show = |event| match event {
            RebalanceEvent::Assigned { partitions, generation_id, .. } => {
                format!("assigned {partitions:?} in {generation_id}")
            }
            RebalanceEvent::Revoked(partitions) => format!("revoked {partitions:?}"),
            RebalanceEvent::Lost(partitions) => format!("lost {partitions:?}"),
        };
        self.member.take_events().into_iter().map(show).collect::<Vec<_>>().join(", ")
    }

    /// From the beginning to a member with these partitions, told to the user.
    fn settle(&mut self, partitions: &[i32]) {
        self.found();
        assert!(self.next().starts_with("join"));
        self.joined(1, "other", &[]);
        self.check("sync 1 []");
        self.synced(partitions);
        assert!(self.poll().starts_with("assigned"));
        assert_eq!(self.poll(), "");
    }
}

#[test]
fn a_member_joins_syncs_and_lives() {
    let mut test = Test::eager();
    test.found();
    test.check("join  []");
    test.refused(ErrorCode::MEMBER_ID_REQUIRED);
    test.check("join m []");
    test.joined(4, "other", &[]);
    test.check("sync 4 []");
    test.synced(&[0, 1]);
    test.check("wait 3000");
    assert_eq!(test.poll(), "assigned [t-0, t-1] in 4");
    test.heartbeat(ErrorCode::NONE);
    test.check("wait 6000");
    assert_eq!(test.member.committer().generation, 4);
}

#[test]
fn the_leader_assigns() {
    let mut test = Test::eager();
    test.found();
    test.check("join  []");
    test.joined(1, "m", &["m", "n"]);
    test.check(r#"assign ["m", "n"]"#);
    let assignments = BTreeMap::from([("m".to_string(), MemberAssignment::default())]);
    test.member.assigned(Err(ClientError::retriable("not yet")), test.retry_at());
    test.check("wait 100");
    test.now = 100;
    test.check(r#"assign ["m", "n"]"#);
    test.member.assigned(Ok(assignments), test.retry_at());
    test.check(r#"sync 1 ["m"]"#);
    test.synced(&[]);
    assert!(test.member.watches_topics());
    test.member.request_rejoin("partitions were added");
    assert!(!test.member.watches_topics());
}

#[test]
fn a_leader_lives_while_it_assigns() {
    let assigning = || {
        let mut test = Test::eager();
        test.found();
        test.check("join  []");
        test.joined(1, "m", &["m", "n"]);
        test.check(r#"assign ["m", "n"]"#);
        test.check("wait 3000");
        test
    };
    // A rebalance that begins meanwhile is the sync's to tell.
    for code in [ErrorCode::NONE, ErrorCode::REBALANCE_IN_PROGRESS] {
        let mut test = assigning();
        test.heartbeat(code);
        test.check("wait 6000");
        test.heartbeat(code);
        test.member.assigned(Ok(BTreeMap::new()), test.retry_at());
        test.check("sync 1 []");
        test.member.synced(code, &MemberAssignment::default().encode(), at(test.now), test.retry_at());
        test.check(if code == ErrorCode::NONE { "wait 9000" } else { "join m []" });
    }
    // A coordinator that has moved is found, and what was begun goes on.
    let mut test = assigning();
    test.heartbeat(ErrorCode::NOT_COORDINATOR);
    test.now += 100;
    test.found();
    test.check("wait 6000");
    test.member.assigned(Ok(BTreeMap::new()), test.retry_at());
    test.check("sync 1 []");
    // Missed all the same, it has nothing to assign, whatever comes of it.
    let mut test = assigning();
    test.heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
    test.now += 100;
    assert!(!test.member.is_assigning());
    test.member.assigned(Err(ClientError::invalid("too late")), test.retry_at());
    test.check("join  []");
    // So does who does not poll.
    let mut test = assigning();
    test.now = 300_000;
    test.check("leave m");
    assert!(!test.member.is_assigning());
}

#[test]
fn an_eager_member_lets_go_of_everything_before_it_joins() {
    let mut test = Test::eager();
    test.settle(&[0, 1]);
    test.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    test.check("wait 6000");
    assert_eq!(test.poll(), "revoked [t-0, t-1]");
    test.check("wait 6000");
    assert_eq!(test.member.committer().generation, 1, "it may still commit");
    test.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(test.poll(), "");
    test.check("join m []");
    test.joined(2, "other", &[]);
    test.check("sync 2 []");
    test.synced(&[1]);
    assert_eq!(test.poll(), "assigned [t-1] in 2");
}

#[test]
fn a_cooperative_member_keeps_what_it_has() {
    let mut test = Test::cooperative();
    test.settle(&[0, 1]);
    test.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    test.check("join m [t-0, t-1]");
    test.joined(2, "other", &[]);
    test.check("sync 2 []");
    test.synced(&[1, 2]);
    test.check("wait 6000");
    assert_eq!(test.poll(), "revoked [t-0], assigned [t-2] in 2");
    test.check("wait 6000");
    assert_eq!(test.poll(), "");
    test.check("join m [t-1, t-2]");
    test.joined(3, "other", &[]);
    test.check("sync 3 []");
    test.synced(&[1, 2]);
    assert_eq!(test.poll(), "assigned [] in 3");
    test.check("wait 6000");
}

#[test]
fn a_changed_subscription_joins_again() {
    let mut test = Test::cooperative();
    test.settle(&[0]);
    test.member.subscribe(vec!["u".into()]);
    test.check("wait 3000");
    assert_eq!(test.poll(), "revoked [t-0]", "what is not wanted goes first");
    assert_eq!(test.poll(), "");
    test.check("join m []");
    let mut test = Test::eager();
    test.settle(&[0]);
    test.member.subscribe(vec!["t".into()]);
    test.check("wait 3000");
    test.member.unsubscribe();
    test.check("leave m");
    test.check("wait 3600000");
    assert_eq!(test.poll(), "");
}

#[test]
fn a_member_may_await_topics_and_takes_those_that_the_leader_has_seen_first() {
    let mut test = Test::cooperative();
    test.member.subscribe_for_now(Vec::new());
    test.settle(&[]);
    test.member.request_rejoin("the leader has seen topics");
    test.check("join m []");
    test.joined(3, "other", &[]);
    test.check("sync 3 []");
    test.synced(&[0]);
    assert_eq!(test.poll(), "assigned [t-0] in 3");
    assert_eq!(test.poll(), "");
    // It sees them itself: nothing has changed by that.
    test.member.subscribe_for_now(vec!["t".into()]);
    test.check("wait 3000");
    // By name again, and none: it goes.
    test.member.subscribe(Vec::new());
    test.check("leave m");
}

#[test]
fn a_member_that_is_not_known_any_more_loses_what_it_had() {
    let check = |code, rejoins_as: &str| {
        let mut test = Test::eager();
        test.settle(&[0, 1]);
        test.heartbeat(code);
        test.now += 100;
        test.check(&format!("wait {}", test.now + 3_600_000));
        assert_eq!(test.poll(), "lost [t-0, t-1]");
        assert_eq!(test.poll(), "");
        test.check(&format!("join {rejoins_as} []"));
    };
    check(ErrorCode::UNKNOWN_MEMBER_ID, "");
    check(ErrorCode::ILLEGAL_GENERATION, "m");
}

#[test]
fn what_the_user_was_never_told_is_not_told_lost() {
    let mut test = Test::cooperative();
    test.settle(&[0]);
    test.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    test.check("join m [t-0]");
    test.joined(2, "other", &[]);
    test.check("sync 2 []");
    test.synced(&[0, 1]);
    test.heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(test.poll(), "lost [t-0]");
}

#[test]
fn who_polls_too_rarely_leaves_and_comes_back() {
    for instance in [None, Some("i")] {
        let mut test = Test::new(Arc::new(RangeAssignor), instance);
        test.settle(&[0]);
        test.now = 299_999;
        test.check("heartbeat 1");
        test.member.heartbeat_answered(ErrorCode::NONE, at(test.now), test.retry_at());
        test.now = 300_000;
        if instance.is_none() {
            test.check("leave m");
        }
        test.check(&format!("wait {}", 300_000 + 3_600_000));
        test.now = 400_000;
        assert_eq!(test.poll(), "lost [t-0]");
        assert_eq!(test.poll(), "");
        test.check("join  []");
    }
}

#[test]
fn a_coordinator_that_is_gone_is_looked_for() {
    for code in [ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE] {
        let mut test = Test::eager();
        test.settle(&[0]);
        test.heartbeat(code);
        test.check("wait 3100");
        test.now += 100;
        test.found();
        test.check("wait 6000");
        assert_eq!(test.poll(), "", "nothing is lost by that");
    }
    let mut test = Test::eager();
    test.check("find");
    test.member.found(Err(ClientError::retriable("nobody")), test.retry_at());
    assert_eq!(test.member.failures(), 1);
    test.check("wait 100");
}

#[test]
fn what_no_retry_mends_ends_the_member() {
    let check = |code, leaves: bool| {
        let mut test = Test::eager();
        test.settle(&[0]);
        test.heartbeat(code);
        assert_eq!(test.poll(), "lost [t-0]");
        assert!(matches!(test.member.failure().unwrap().kind(), ErrorKind::Invalid | ErrorKind::Fenced));
        if leaves {
            test.check("leave m");
        }
        test.check("done");
    };
    check(ErrorCode::GROUP_AUTHORIZATION_FAILED, true);
    check(ErrorCode::FENCED_INSTANCE_ID, true);
    let mut test = Test::eager();
    test.found();
    test.check("join  []");
    test.refused(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let failure = test.member.failure().unwrap().to_string();
    assert!(
        failure.starts_with("joining as a member of group g: INCONSISTENT_GROUP_PROTOCOL (23): its members")
            && failure.ends_with("until its session.timeout.ms is over"),
        "{failure}"
    );
}

/// Fenced by a join that was long on its way, it joins anew; but not for ever.
#[test]
fn a_member_that_nobody_else_can_be_comes_back_when_fenced() {
    let mut test = Test::new(Arc::new(RangeAssignor), Some("i"));
    test.member.options.sole_instance = true;
    test.found();
    test.check("join  []");
    test.refused(ErrorCode::FENCED_INSTANCE_ID);
    test.check("wait 100");
    test.now = 100;
    for time in 2..=5 {
        test.check("join  []");
        test.joined(1, "other", &[]);
        test.check("sync 1 []");
        test.synced(&[0]);
        assert_eq!(test.poll(), "assigned [t-0] in 1", "time {time}");
        assert_eq!(test.poll(), "");
        test.heartbeat(ErrorCode::FENCED_INSTANCE_ID);
        test.now += 100;
        assert_eq!(test.poll(), "lost [t-0]");
        assert_eq!(test.poll(), "");
        assert!(test.member.failure().is_none());
    }
    // Long after the last time it counts anew.
    test.now += 45_001;
    test.check("join  []");
    test.refused(ErrorCode::FENCED_INSTANCE_ID);
    test.now += 100;
    for _ in 2..=5 {
        test.check("join  []");
        test.refused(ErrorCode::FENCED_INSTANCE_ID);
        test.now += 100;
    }
    test.check("join  []");
    test.refused(ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(test.member.failure().unwrap().kind(), ErrorKind::Fenced);
    test.check("done");
}

#[test]
fn a_sync_overtaken_by_a_rebalance_joins_again() {
    let mut test = Test::eager();
    test.found();
    test.check("join  []");
    test.joined(1, "other", &[]);
    test.check("sync 1 []");
    test.member.synced(ErrorCode::REBALANCE_IN_PROGRESS, &Bytes::new(), at(0), test.retry_at());
    test.check("join m []");
}

#[test]
fn closing_leaves_if_there_is_something_to_leave() {
    let mut test = Test::eager();
    test.member.close();
    test.check("done");
    let mut test = Test::eager();
    test.settle(&[0]);
    test.member.close();
    test.check("leave m");
    test.check("done");
    let mut test = Test::new(Arc::new(RangeAssignor), Some("i"));
    test.settle(&[0]);
    test.member.close();
    test.check("done");
}

#[test]
fn a_refused_commit_tells_of_the_membership() {
    let check = |code, mine: bool, expected: &str| {
        let mut test = Test::eager();
        test.settle(&[0]);
        let mut committer = test.member.committer();
        if !mine {
            committer.generation = 0;
        }
        test.member.commit_answered(&committer, code, test.retry_at());
        test.next();
        assert_eq!(test.poll(), expected, "{code}");
    };
    check(ErrorCode::NONE, true, "");
    check(ErrorCode::UNKNOWN_MEMBER_ID, true, "lost [t-0]");
    check(ErrorCode::UNKNOWN_MEMBER_ID, false, "");
    check(ErrorCode::REBALANCE_IN_PROGRESS, true, "revoked [t-0]");
    check(ErrorCode::OFFSET_METADATA_TOO_LARGE, true, "");
}

#[test]
fn a_commit_is_overtaken_while_the_partitions_stay() {
    let mut test = Test::cooperative();
    test.settle(&[0, 1]);
    let before = test.member.committer();
    let check = |test: &Test, partitions: &[i32], expected: bool| {
        let names: Vec<TopicPartition> =
            partitions.iter().map(|number| TopicPartition::new("t", *number)).collect();
        assert_eq!(test.member.has_overtaken(&before, names.iter()), expected, "{partitions:?}");
    };
    check(&test, &[0], false);
    test.heartbeat(ErrorCode::REBALANCE_IN_PROGRESS);
    test.next();
    check(&test, &[0, 1], true);
    check(&test, &[0, 2], false);
    test.joined(2, "other", &[]);
    test.next();
    test.synced(&[0, 1]);
    check(&test, &[0, 1], true);
    // The user has been told to let go of one, and has.
    test.poll();
    test.heartbeat(ErrorCode::UNKNOWN_MEMBER_ID);
    check(&test, &[0], false);
}
