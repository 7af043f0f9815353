//! What members and leader tell each other inside the group protocol. Which tasks run where travels as plain partitions;
//! here is the rest.
//!
//! ```text
//! subscription: version u8 = 5 | process | workers u16 | flags u8 | topology u64 | positions | standing: tasks
//!               | refused: tasks | tags: count u32 { text text } | peers: processes | server: text
//!               flags: 1 shut the application down
//! positions:    count u32 { task | records of the changelogs that are applied i64 }
//! assignment:   version u8 = 5 | word u8 | flags u8 | standby: tasks | warm-up: tasks | peers: processes | gone: processes
//!               | sources: topics | hosts: count u32 { server: text | active: tasks | standby: tasks }
//!               | refusal: text
//!               word: 0 go on, 1 this is another topology, 2 shut down         flags: 1 place anew after a while
//! tasks:        count u32 { task }          task:    subtopology u32 | partition i32
//! processes:    count u32 { process }       process: id 16 bytes | highest number of a worker u16
//! topics:       count u32 { name: text | partitions i32 }
//! text:         length u32 | UTF-8                                                  (all big-endian)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::processor::TaskId;

const VERSION: u8 = 5;

/// Bytes of another version, or cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the user data of this application: another program or version uses the same application id")]
pub(crate) struct UserDataError;

/// A process and its highest worker number: enough to know its transactional ids.
pub(crate) type Processes = BTreeMap<[u8; 16], u16>;

/// The instances that say where they can be asked, by that: the tasks that each runs, and those whose state it follows.
pub(crate) type Hosts = BTreeMap<String, (BTreeSet<TaskId>, BTreeSet<TaskId>)>;

/// A task whose state is whole and in use; others are behind it.
pub(crate) const RUNNING: i64 = -2;

/// A member's word to the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The process, kept in its state directory over restarts.
    pub(crate) process_id: [u8; 16],
    /// Worker threads.
    pub(crate) workers: u16,
    /// The highest number of one: numbers of those that have ended are not used again at once.
    pub(crate) highest_worker: u16,
    /// The application is to end everywhere.
    pub(crate) shut_down: bool,
    /// Of its topology.
    pub(crate) fingerprint: u64,
    /// Tasks whose state it has, in use or on disk, each with how many records of the changelogs that reflects;
    /// [`RUNNING`] for one that runs.
    pub(crate) positions: BTreeMap<TaskId, i64>,
    /// Tasks whose state it follows.
    pub(crate) standing: BTreeSet<TaskId>,
    /// Tasks that it cannot run now.
    pub(crate) refused: BTreeSet<TaskId>,
    /// `client.tag.*`.
    pub(crate) tags: BTreeMap<String, String>,
    /// The processes of the last assignment it has seen.
    pub(crate) peers: Processes,
    /// `application.server`: where it can be asked; empty: nowhere.
    pub(crate) server: String,
}

/// What the leader says to all alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Word {
    /// Do as assigned.
    #[default]
    GoOn,
    /// The group runs another topology under this application id.
    AnotherTopology,
    /// Somebody has asked that the whole application ends.
    ShutDown,
}

/// The leader's word to a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) word: Word,
    /// This member is to ask for another placement after a while: something is still to move.
    pub(crate) probe: bool,
    /// Tasks to keep a copy of.
    pub(crate) standby: BTreeSet<TaskId>,
    /// Tasks to get a copy of; once it has caught up, the task moves here.
    pub(crate) warmup: BTreeSet<TaskId>,
    /// The group's processes.
    pub(crate) peers: Processes,
    /// Processes that were in the group and are not any more: what they have left open is to be ended.
    pub(crate) gone: Processes,
    /// The user's topics by which tasks are assigned, each with its number of partitions.
    pub(crate) sources: BTreeMap<String, i32>,
    /// Where whose state can be asked for.
    pub(crate) hosts: Hosts,
    /// Why nobody can go on: the topology and its topics do not go together. Empty if they do.
    pub(crate) refusal: String,
}

impl Subscription {
    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.process_id);
        bytes.extend_from_slice(&self.highest_worker.to_be_bytes());
        bytes.extend_from_slice(&self.workers.to_be_bytes());
        bytes.push(u8::from(self.shut_down));
        bytes.extend_from_slice(&self.fingerprint.to_be_bytes());
        put_count(&mut bytes, self.positions.len());
        for (task, position) in &self.positions {
            put_task(&mut bytes, *task);
            bytes.extend_from_slice(&position.to_be_bytes());
        }
        put_tasks(&mut bytes, &self.standing);
        put_tasks(&mut bytes, &self.refused);
        put_count(&mut bytes, self.tags.len());
        self.tags.iter().flat_map(|(key, value)| [key, value]).for_each(|text| put_text(&mut bytes, text));
        put_processes(&mut bytes, &self.peers);
        put_text(&mut bytes, &self.server);
        bytes
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// If they are not of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Subscription, UserDataError> {
        let mut rest = Rest::of(bytes)?;
        Ok(Subscription {
            process_id: rest.take()?,
            highest_worker: rest.u16()?,
            workers: rest.u16()?,
            shut_down: rest.u8()? & 1 != 0,
            fingerprint: u64::from_be_bytes(rest.take()?),
            positions: rest.many(16, |rest| Ok((rest.task()?, i64::from_be_bytes(rest.take()?))))?,
            standing: rest.many(8, Rest::task)?,
            refused: rest.many(8, Rest::task)?,
            tags: rest.many(8, |rest| Ok((rest.text()?, rest.text()?)))?,
            peers: rest.processes()?,
            server: rest.text()?,
        })
    }
}

impl Assignment {
    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let word = match self.word {
            Word::GoOn => 0,
            Word::AnotherTopology => 1,
            Word::ShutDown => 2,
        };
        let mut bytes = vec![VERSION, word, u8::from(self.probe)];
        put_tasks(&mut bytes, &self.standby);
        put_tasks(&mut bytes, &self.warmup);
        put_processes(&mut bytes, &self.peers);
        put_processes(&mut bytes, &self.gone);
        put_count(&mut bytes, self.sources.len());
        for (topic, partitions) in &self.sources {
            put_text(&mut bytes, topic);
            bytes.extend_from_slice(&partitions.to_be_bytes());
        }
        put_count(&mut bytes, self.hosts.len());
        for (server, (active, standby)) in &self.hosts {
            put_text(&mut bytes, server);
            put_tasks(&mut bytes, active);
            put_tasks(&mut bytes, standby);
        }
        put_text(&mut bytes, &self.refusal);
        bytes
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// If they are not of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Assignment, UserDataError> {
        let mut rest = Rest::of(bytes)?;
        let word = match rest.u8()? {
            0 => Word::GoOn,
            1 => Word::AnotherTopology,
            2 => Word::ShutDown,
            _ => return Err(UserDataError),
        };
        Ok(Assignment {
            word,
            probe: rest.u8()? & 1 != 0,
            standby: rest.many(8, Rest::task)?,
            warmup: rest.many(8, Rest::task)?,
            peers: rest.processes()?,
            gone: rest.processes()?,
            sources: rest.many(8, |rest| Ok((rest.text()?, i32::from_be_bytes(rest.take()?))))?,
            hosts: rest.many(12, |rest| {
                Ok((rest.text()?, (rest.many(8, Rest::task)?, rest.many(8, Rest::task)?)))
            })?,
            refusal: rest.text()?,
        })
    }
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_count(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

fn put_task(bytes: &mut Vec<u8>, task: TaskId) {
    bytes.extend_from_slice(&task.subtopology.to_be_bytes());
    bytes.extend_from_slice(&task.partition.to_be_bytes());
}

fn put_tasks(bytes: &mut Vec<u8>, tasks: &BTreeSet<TaskId>) {
    put_count(bytes, tasks.len());
    tasks.iter().for_each(|task| put_task(bytes, *task));
}

fn put_processes(bytes: &mut Vec<u8>, processes: &Processes) {
    put_count(bytes, processes.len());
    for (id, workers) in processes {
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(&workers.to_be_bytes());
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// What stands behind the version.
    fn of(bytes: &'a [u8]) -> Result<Rest<'a>, UserDataError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Rest(rest)),
            _ => Err(UserDataError),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], UserDataError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(UserDataError)?;
        self.0 = tail;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, UserDataError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, UserDataError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, UserDataError> {
        self.take().map(u32::from_be_bytes)
    }

    fn task(&mut self) -> Result<TaskId, UserDataError> {
        Ok(TaskId { subtopology: self.u32()?, partition: i32::from_be_bytes(self.take()?) })
    }

    fn text(&mut self) -> Result<String, UserDataError> {
        let length = self.u32()? as usize;
        let (text, tail) = self.0.split_at_checked(length).ok_or(UserDataError)?;
        self.0 = tail;
        std::str::from_utf8(text).map(str::to_string).map_err(|_| UserDataError)
    }

    fn processes(&mut self) -> Result<Processes, UserDataError> {
        self.many(18, |rest| Ok((rest.take()?, rest.u16()?)))
    }

    /// A count, and so many of something that takes at least `bytes` each.
    fn many<T, C: FromIterator<T>>(
        &mut self,
        bytes: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, UserDataError>,
    ) -> Result<C, UserDataError> {
        let count = self.u32()? as usize;
        if count > self.0.len() / bytes {
            return Err(UserDataError);
        }
        (0..count).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn task(subtopology: u32, partition: i32) -> TaskId {
        TaskId { subtopology, partition }
    }

    fn check<T: Debug + PartialEq>(value: &T, bytes: &[u8], decode: fn(&[u8]) -> Result<T, UserDataError>) {
        assert_eq!(decode(bytes).as_ref(), Ok(value));
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), Err(UserDataError), "cut at {end}");
        }
        let mut other = bytes.to_vec();
        other[0] = 1;
        assert_eq!(decode(&other), Err(UserDataError), "another version");
    }

    #[test]
    fn survives_the_way_there_and_nothing_shorter_does() {
        let subscription = Subscription {
            process_id: [7; 16],
            workers: 3,
            highest_worker: 5,
            shut_down: true,
            fingerprint: 0x0123_4567_89ab_cdef,
            positions: BTreeMap::from([(task(0, 1), RUNNING), (task(2, 5), 77)]),
            standing: BTreeSet::from([task(2, 5)]),
            refused: BTreeSet::from([task(0, 1)]),
            tags: BTreeMap::from([("rack".to_string(), "r1".to_string())]),
            peers: BTreeMap::from([([7; 16], 3), ([8; 16], 1)]),
            server: "host:1".to_string(),
        };
        check(&subscription, &subscription.encode(), Subscription::decode);
        let assignment = Assignment {
            word: Word::ShutDown,
            probe: true,
            standby: BTreeSet::from([task(1, 0)]),
            warmup: BTreeSet::from([task(1, 1), task(1, 2)]),
            peers: BTreeMap::from([([7; 16], 3)]),
            gone: BTreeMap::from([([8; 16], 1)]),
            sources: BTreeMap::from([("clicks-eu".to_string(), 2), ("clicks-us".to_string(), 3)]),
            hosts: BTreeMap::from([(
                "host:1".to_string(),
                (BTreeSet::from([task(0, 0), task(0, 1)]), BTreeSet::from([task(1, 0)])),
            )]),
            refusal: "it does not fit".to_string(),
        };
        check(&assignment, &assignment.encode(), Assignment::decode);
    }

    #[test]
    fn hostile_counts_allocate_nothing() {
        let mut hostile = Assignment::default().encode();
        hostile[3..7].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Assignment::decode(&hostile), Err(UserDataError));
    }
}
