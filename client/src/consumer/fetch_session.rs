//! What must be said in the next fetch to a broker that remembers what was said before (KIP-227): only what has changed.
//! Pure. A broker that grants no session is told everything each time.

use std::collections::BTreeMap;

use anabranch_protocol::{ErrorCode, Uuid};

use crate::topic_partition::TopicPartition;

/// No session, or the request that opens one.
const NO_SESSION: i32 = 0;
/// The epoch that opens a session (and ends one whose id is given).
const OPENING: i32 = 0;

/// How a partition is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FetchFrom {
    pub(super) topic_id: Uuid,
    pub(super) leader_epoch: i32,
    pub(super) offset: i64,
}

/// The session with one broker.
#[derive(Debug, Default)]
pub(super) struct FetchSession {
    id: i32,
    epoch: i32,
    /// What the broker knows.
    known: BTreeMap<TopicPartition, FetchFrom>,
    /// The same by topic id and number.
    by_id: BTreeMap<([u8; 16], i32), TopicPartition>,
}

/// The next request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NextFetch {
    pub(super) id: i32,
    pub(super) epoch: i32,
    /// What is said.
    pub(super) told: Vec<(TopicPartition, FetchFrom)>,
    /// What is taken back.
    pub(super) forgotten: Vec<(TopicPartition, Uuid)>,
}

impl FetchSession {
    /// What to say so that exactly `wanted` is fetched.
    pub(super) fn next(&mut self, wanted: &BTreeMap<TopicPartition, FetchFrom>) -> NextFetch {
        let mut forgotten = Vec::new();
        if self.epoch == OPENING {
            self.known.clear();
            self.by_id.clear();
        }
        // A topic that was made anew has another id: the old one is taken back before.
        let by_id = &mut self.by_id;
        self.known.retain(|name, known| {
            let stays = wanted.get(name).is_some_and(|from| from.topic_id == known.topic_id);
            if !stays {
                by_id.remove(&(known.topic_id.0, name.partition));
                forgotten.push((name.clone(), known.topic_id));
            }
            stays
        });
        let mut told = Vec::new();
        for (name, from) in wanted {
            if self.known.get(name) != Some(from) {
                self.known.insert(name.clone(), *from);
                self.by_id.insert((from.topic_id.0, name.partition), name.clone());
                told.push((name.clone(), *from));
            }
        }
        NextFetch { id: self.id, epoch: self.epoch, told, forgotten }
    }

    /// Whether the broker has been told this of a partition: it says nothing of it until something changes.
    pub(super) fn has_told(&self, name: &TopicPartition, from: &FetchFrom) -> bool {
        self.epoch != OPENING && self.known.get(name) == Some(from)
    }

    /// The partition with this topic id, or name, and number.
    pub(super) fn find(&self, topic_id: Uuid, topic: &str, partition: i32) -> Option<&TopicPartition> {
        if topic_id.is_zero() {
            let name = TopicPartition::new(topic, partition);
            return self.known.get_key_value(&name).map(|(name, _)| name);
        }
        self.by_id.get(&(topic_id.0, partition))
    }

    /// Takes an answer in. Says whether it holds what was asked for.
    pub(super) fn answered(&mut self, code: ErrorCode, session_id: i32) -> bool {
        match code {
            ErrorCode::NONE => {
                if session_id == NO_SESSION {
                    *self = FetchSession::default();
                } else {
                    self.id = session_id;
                    self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
                }
                true
            }
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND => {
                *self = FetchSession::default();
                false
            }
            _ => {
                self.broken();
                false
            }
        }
    }

    /// No answer came, or one that shows that both sides disagree: the session is ended and another opened.
    pub(super) fn broken(&mut self) {
        self.epoch = OPENING;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(partitions: &[(i32, i64)]) -> BTreeMap<TopicPartition, FetchFrom> {
        let from = |offset| FetchFrom { topic_id: Uuid([1; 16]), leader_epoch: 0, offset };
        partitions.iter().map(|(number, offset)| (TopicPartition::new("t", *number), from(*offset))).collect()
    }

    /// (id, epoch, partitions told, partitions taken back)
    fn next(session: &mut FetchSession, partitions: &[(i32, i64)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let next = session.next(&wanted(partitions));
        let told = next.told.iter().map(|(name, _)| name.partition).collect();
        let forgotten = next.forgotten.iter().map(|(name, _)| name.partition).collect();
        (next.id, next.epoch, told, forgotten)
    }

    #[test]
    fn only_changes_are_said_once_a_session_stands() {
        let mut session = FetchSession::default();
        assert_eq!(next(&mut session, &[(0, 0), (1, 0)]), (0, 0, vec![0, 1], vec![]));
        assert!(session.answered(ErrorCode::NONE, 77));
        assert_eq!(next(&mut session, &[(0, 5), (1, 0)]), (77, 1, vec![0], vec![]));
        assert!(session.answered(ErrorCode::NONE, 77));
        assert_eq!(next(&mut session, &[(0, 5), (2, 0)]), (77, 2, vec![2], vec![1]));
        assert!(session.find(Uuid([1; 16]), "", 2).is_some());
        assert!(session.find(Uuid([1; 16]), "", 1).is_none());
        assert!(session.find(Uuid::ZERO, "t", 0).is_some());
    }

    #[test]
    fn a_topic_made_anew_is_another() {
        let mut session = FetchSession::default();
        next(&mut session, &[(0, 0)]);
        assert!(session.answered(ErrorCode::NONE, 77));
        let mut anew = wanted(&[(0, 0)]);
        anew.values_mut().for_each(|from| from.topic_id = Uuid([2; 16]));
        let next = session.next(&anew);
        assert_eq!(next.forgotten, [(TopicPartition::new("t", 0), Uuid([1; 16]))]);
        assert_eq!(next.told[0].1.topic_id, Uuid([2; 16]));
    }

    #[test]
    fn what_goes_wrong_starts_another_session() {
        let check = |code, expected| {
            let mut session = FetchSession::default();
            next(&mut session, &[(0, 0)]);
            assert!(session.answered(ErrorCode::NONE, 77));
            next(&mut session, &[(0, 1)]);
            assert!(!session.answered(code, 0));
            assert_eq!(next(&mut session, &[(0, 1), (1, 0)]), expected, "{code}");
        };
        check(ErrorCode::FETCH_SESSION_ID_NOT_FOUND, (0, 0, vec![0, 1], vec![]));
        check(ErrorCode::INVALID_FETCH_SESSION_EPOCH, (77, 0, vec![0, 1], vec![]));
        check(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR, (77, 0, vec![0, 1], vec![]));
    }

    #[test]
    fn without_a_session_everything_is_said_each_time() {
        let mut session = FetchSession::default();
        for _ in 0..2 {
            assert_eq!(next(&mut session, &[(0, 0)]), (0, 0, vec![0], vec![]));
            assert!(session.answered(ErrorCode::NONE, 0));
        }
    }
}
