//! Incremental fetch sessions (KIP-227): what a consumer reads, remembered, so that each fetch names only what changed.
//!
//! ```text
//! session epoch in the request   -1             one fetch without a session; one that is named ends
//!                                 0             opens a session with the partitions named
//!                                 1, 2, ..      goes on with the session; must be the next one (after 2^31-1 comes 1)
//! ```
//! A session answers only for partitions that have records, an error, or a new high watermark or start. Partitions that
//! gave records go to the end of its order, so that a full response starves nobody. There are at most so many sessions;
//! when all are taken, the one idle longest gives way if that is two minutes, else the answer grants none and the client
//! goes on with whole fetches.
//!
//! Pure: time and chance come from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{HashMap, Instant};
use anabranch_protocol::{ErrorCode, Uuid};
use parking_lot::{Mutex, MutexGuard};

/// A session idle for so long may give way to another (Kafka's `min.incremental.fetch.session.eviction.ms`).
const EVICTION_IDLE: Duration = Duration::from_secs(120);
/// The epoch of a fetch without a session.
const FINAL_EPOCH: i32 = -1;
/// The epoch that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The id that says that there is no session.
const NO_SESSION: i32 = 0;

/// How a client names a topic: by name up to version 12 of Fetch, by id from 13 on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TopicKey {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(Uuid),
}

/// What a client wants of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of which topic.
    pub(crate) topic: TopicKey,
    /// Which partition.
    pub(crate) partition: i32,
    /// From which offset on.
    pub(crate) fetch_offset: i64,
    /// At most so many bytes.
    pub(crate) max_bytes: i32,
    /// The leader epoch the client knows, or -1.
    pub(crate) current_leader_epoch: i32,
    /// The epoch of the last record it has, or -1.
    pub(crate) last_fetched_epoch: i32,
}

/// What a partition answered that a session remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The high watermark.
    pub(crate) high_watermark: i64,
    /// The first offset.
    pub(crate) log_start_offset: i64,
}

#[derive(Debug)]
struct Remembered {
    wanted: Wanted,
    told: Option<Told>,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    epoch: i32,
    by_id: bool,
    last_used: Instant,
    next_place: u64,
    places: HashMap<(TopicKey, i32), u64>,
    order: BTreeMap<u64, Remembered>,
}

impl Session {
    fn new(wanted: Vec<Wanted>, by_id: bool, now: Instant) -> Session {
        let mut session = Session {
            epoch: 1,
            by_id,
            last_used: now,
            next_place: 0,
            places: HashMap::default(),
            order: BTreeMap::new(),
        };
        wanted.into_iter().for_each(|wanted| session.put(wanted));
        session
    }

    fn put(&mut self, wanted: Wanted) {
        let key = (wanted.topic.clone(), wanted.partition);
        if let Some(remembered) = self.places.get(&key).and_then(|place| self.order.get_mut(place)) {
            remembered.wanted = wanted;
            return;
        }
        self.places.insert(key, self.next_place);
        self.order.insert(self.next_place, Remembered { wanted, told: None });
        self.next_place += 1;
    }

    fn forget(&mut self, topic: &TopicKey, partition: i32) {
        if let Some(place) = self.places.remove(&(topic.clone(), partition)) {
            self.order.remove(&place);
        }
    }

    /// What the client wants, in the order in which it is to be served.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Wanted> {
        self.order.values().map(|remembered| &remembered.wanted)
    }

    /// Notes what a partition answers; whether the answer must be sent.
    pub(crate) fn tell(
        &mut self,
        topic: &TopicKey,
        partition: i32,
        told: Told,
        error: bool,
        has_records: bool,
    ) -> bool {
        let key = (topic.clone(), partition);
        let Some(place) = self.places.get(&key).copied() else { return true };
        let Some(remembered) = self.order.get_mut(&place) else { return true };
        let news = error || has_records || remembered.told != Some(told);
        // After an error whatever comes is news.
        remembered.told = (!error).then_some(told);
        if has_records && let Some(remembered) = self.order.remove(&place) {
            self.order.insert(self.next_place, remembered);
            self.places.insert(key, self.next_place);
            self.next_place += 1;
        }
        news
    }
}

/// The sessions of this broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots: usize,
    sessions: Mutex<HashMap<i32, Arc<Mutex<Session>>>>,
}

/// What a fetch request comes to.
#[derive(Clone, Debug)]
pub(crate) enum Context {
    /// A whole fetch; a session may be granted for it.
    Whole {
        /// Whether the client asked for a session.
        wants_session: bool,
    },
    /// A fetch within this session.
    Incremental {
        /// Its number.
        id: i32,
        /// The session.
        session: Arc<Mutex<Session>>,
    },
}

impl FetchSessions {
    pub(crate) fn new(slots: usize) -> FetchSessions {
        FetchSessions { slots, sessions: Mutex::default() }
    }

    /// Finds the session of a request and brings it up to date with what the request names.
    ///
    /// # Errors
    /// The error of the whole answer.
    pub(crate) fn context(
        &self,
        id: i32,
        epoch: i32,
        wanted: &[Wanted],
        forgotten: &[(TopicKey, i32)],
        by_id: bool,
        now: Instant,
    ) -> Result<Context, ErrorCode> {
        if epoch == FINAL_EPOCH || epoch == INITIAL_EPOCH {
            if id != NO_SESSION {
                self.sessions.lock().remove(&id);
            }
            return Ok(Context::Whole { wants_session: epoch == INITIAL_EPOCH });
        }
        let Some(session) = self.sessions.lock().get(&id).cloned() else {
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        };
        let mut locked = session.lock();
        if locked.epoch != epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if locked.by_id != by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        locked.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        locked.last_used = now;
        forgotten.iter().for_each(|(topic, partition)| locked.forget(topic, *partition));
        wanted.iter().for_each(|wanted| locked.put(wanted.clone()));
        let is_empty = locked.order.is_empty();
        drop(locked);
        if is_empty {
            // A client that forgets everything has no use for the session.
            self.sessions.lock().remove(&id);
            return Ok(Context::Whole { wants_session: false });
        }
        Ok(Context::Incremental { id, session })
    }

    /// Opens a session; `None` if there is no room.
    pub(crate) fn open(
        &self,
        wanted: Vec<Wanted>,
        by_id: bool,
        now: Instant,
        mut random: impl FnMut() -> u64,
    ) -> Option<(i32, Arc<Mutex<Session>>)> {
        if wanted.is_empty() {
            return None;
        }
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.slots {
            let idle = |session: &MutexGuard<'_, Session>| now.saturating_duration_since(session.last_used);
            // One that is locked is in use.
            let oldest = sessions
                .iter()
                .filter_map(|(id, session)| session.try_lock().map(|session| (idle(&session), *id)))
                .max();
            match oldest {
                Some((idle, id)) if idle >= EVICTION_IDLE => sessions.remove(&id),
                _ => return None,
            };
        }
        // Not a sequence: a client of before a restart must not hit upon another's session.
        let id = loop {
            let id = (random() >> 33) as i32;
            if id != NO_SESSION && !sessions.contains_key(&id) {
                break id;
            }
        };
        let session = Arc::new(Mutex::new(Session::new(wanted, by_id, now)));
        sessions.insert(id, session.clone());
        Some((id, session))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicKey {
        TopicKey::Name(name.into())
    }

    fn wanted(partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            topic: topic("t"),
            partition,
            fetch_offset,
            max_bytes: 1,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn counter() -> impl FnMut() -> u64 {
        let mut number = 0u64;
        move || {
            number += 1;
            number << 33
        }
    }

    fn shown(session: &Mutex<Session>) -> Vec<(i32, i64)> {
        session.lock().wanted().map(|wanted| (wanted.partition, wanted.fetch_offset)).collect()
    }

    #[test]
    fn a_session_remembers_what_is_wanted_and_moves_served_partitions_to_the_end() {
        let sessions = FetchSessions::new(10);
        let (id, _) = sessions.open(vec![wanted(0, 5), wanted(1, 5)], false, at(0), counter()).unwrap();
        let go_on = |epoch, wanted: &[Wanted], forgotten: &[(TopicKey, i32)]| match sessions
            .context(id, epoch, wanted, forgotten, false, at(1))
            .unwrap()
        {
            Context::Incremental { session, .. } => session,
            whole => panic!("{whole:?}"),
        };
        let session = go_on(1, &[wanted(2, 0), wanted(0, 6)], &[]);
        assert_eq!(shown(&session), [(0, 6), (1, 5), (2, 0)]);
        let told = Told { high_watermark: 9, log_start_offset: 0 };
        let tell = |told, error, records| session.lock().tell(&topic("t"), 0, told, error, records);
        assert!(tell(told, false, true), "records are sent");
        assert!(!tell(told, false, false), "nothing new is not");
        assert!(tell(Told { high_watermark: 10, ..told }, false, false), "a new high watermark is");
        assert!(tell(told, true, false), "an error is");
        assert!(tell(told, false, false), "and what comes after it");
        assert_eq!(shown(&session), [(1, 5), (2, 0), (0, 6)]);
        let session = go_on(2, &[], &[(topic("t"), 1)]);
        assert_eq!(shown(&session), [(2, 0), (0, 6)]);
    }

    #[test]
    fn epochs_ids_and_kinds_must_fit() {
        let sessions = FetchSessions::new(10);
        let (id, session) = sessions.open(vec![wanted(0, 5)], false, at(0), counter()).unwrap();
        let error = |id, epoch, by_id| sessions.context(id, epoch, &[], &[], by_id, at(1)).unwrap_err();
        assert_eq!(error(id + 1, 1, false), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        assert_eq!(error(id, 2, false), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert_eq!(error(id, 1, true), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        session.lock().epoch = i32::MAX;
        sessions.context(id, i32::MAX, &[], &[], false, at(1)).unwrap();
        sessions.context(id, 1, &[], &[], false, at(1)).unwrap();
        assert!(matches!(
            sessions.context(id, -1, &[], &[], false, at(1)),
            Ok(Context::Whole { wants_session: false })
        ));
        assert_eq!(
            error(id, 2, false),
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND,
            "a final fetch ends the session"
        );
        assert!(matches!(
            sessions.context(0, 0, &[], &[], false, at(1)),
            Ok(Context::Whole { wants_session: true })
        ));
    }

    #[test]
    fn a_session_that_forgets_everything_ends() {
        let sessions = FetchSessions::new(10);
        let (id, _) = sessions.open(vec![wanted(0, 5)], false, at(0), counter()).unwrap();
        let context = sessions.context(id, 1, &[], &[(topic("t"), 0)], false, at(1)).unwrap();
        assert!(matches!(context, Context::Whole { wants_session: false }));
        assert!(sessions.sessions.lock().is_empty());
    }

    #[test]
    fn a_full_house_grants_nothing_until_a_session_has_been_idle_for_two_minutes() {
        let sessions = FetchSessions::new(2);
        let mut random = counter();
        let mut open = |now| sessions.open(vec![wanted(0, 0)], false, now, &mut random).map(|(id, _)| id);
        let (first, second) = (open(at(0)).unwrap(), open(at(10)).unwrap());
        assert_eq!(open(at(119)), None);
        assert!(open(at(121)).is_some());
        assert!(sessions.context(first, 1, &[], &[], false, at(121)).is_err(), "the oldest gave way");
        assert!(sessions.context(second, 1, &[], &[], false, at(121)).is_ok());
    }
}
