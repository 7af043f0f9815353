//! What members tell the leader inside the group protocol. Its answer is plain partitions: the tasks follow from them.
//!
//! ```text
//! subscription: version u8 = 1 | process id 16 bytes | workers u16 | running: tasks | stored: tasks
//! tasks:        count u32 | { subtopology u32 | partition i32 } each        (big-endian)
//! ```

use std::collections::BTreeSet;

use crate::processor::TaskId;

const VERSION: u8 = 1;
const TASK_BYTES: usize = 8;

/// Bytes of another version, or cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the user data of this application: another program or version uses the same application id")]
pub(crate) struct UserDataError;

/// A member's word to the leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The process, kept in its state directory over restarts.
    pub(crate) process_id: [u8; 16],
    /// Worker threads.
    pub(crate) workers: u16,
    /// Tasks it runs.
    pub(crate) running: BTreeSet<TaskId>,
    /// Tasks whose state it has on disk.
    pub(crate) stored: BTreeSet<TaskId>,
}

impl Subscription {
    /// The bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.process_id);
        bytes.extend_from_slice(&self.workers.to_be_bytes());
        put_tasks(&mut bytes, &self.running);
        put_tasks(&mut bytes, &self.stored);
        bytes
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// If they are not of this form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Subscription, UserDataError> {
        let Some((&VERSION, mut rest)) = bytes.split_first() else { return Err(UserDataError) };
        let process_id = *take::<16>(&mut rest)?;
        let workers = u16::from_be_bytes(*take::<2>(&mut rest)?);
        let running = take_tasks(&mut rest)?;
        let stored = take_tasks(&mut rest)?;
        Ok(Subscription { process_id, workers, running, stored })
    }
}

fn put_tasks(bytes: &mut Vec<u8>, tasks: &BTreeSet<TaskId>) {
    bytes.extend_from_slice(&u32::try_from(tasks.len()).unwrap_or(u32::MAX).to_be_bytes());
    for task in tasks {
        bytes.extend_from_slice(&task.subtopology.to_be_bytes());
        bytes.extend_from_slice(&task.partition.to_be_bytes());
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], UserDataError> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(UserDataError)?;
    *rest = tail;
    Ok(head)
}

fn take_tasks(rest: &mut &[u8]) -> Result<BTreeSet<TaskId>, UserDataError> {
    let count = u32::from_be_bytes(*take::<4>(rest)?) as usize;
    if count > rest.len() / TASK_BYTES {
        return Err(UserDataError);
    }
    (0..count)
        .map(|_| {
            let subtopology = u32::from_be_bytes(*take::<4>(rest)?);
            Ok(TaskId { subtopology, partition: i32::from_be_bytes(*take::<4>(rest)?) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_the_way_there_and_nothing_shorter_does() {
        let task = |subtopology, partition| TaskId { subtopology, partition };
        let subscription = Subscription {
            process_id: [7; 16],
            workers: 3,
            running: BTreeSet::from([task(0, 1), task(2, 5)]),
            stored: BTreeSet::from([task(1, 0)]),
        };
        let bytes = subscription.encode();
        assert_eq!(Subscription::decode(&bytes), Ok(subscription));
        for end in 0..bytes.len() {
            assert_eq!(Subscription::decode(&bytes[..end]), Err(UserDataError), "cut at {end}");
        }
        // The tasks that it runs are counted behind version, process id and workers.
        let mut hostile = bytes;
        hostile[19..23].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Subscription::decode(&hostile), Err(UserDataError));
    }
}
