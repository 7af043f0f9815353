//! Group commit: one file of the log directory makes the appends of all its partitions durable.
//!
//! An append goes to its segment, where it meets the page cache, and to the [`Journal`]'s queue. One task, the
//! [committer](Committer), writes all that has queued up as one group, syncs the journal once, and moves the watermarks
//! of all partitions in the group; what comes meanwhile is the next group. So the cost of being durable is one sync for
//! a thousand partitions as for one, and under load the groups grow by themselves.
//!
//! There are two files, used in turn. When one is full the committer goes on in the other, and a checkpoint syncs the
//! segments that the full one speaks of, some of it ahead; then it may be overwritten. After a crash the entries that
//! segments lack are copied there from the journal. A sync that failed is never tried again, since the kernel forgets the
//! pages: the whole directory goes offline.
//!
//! Reading order: `durability` (what of a log is on the disk), `format` (the bytes), `committer`, `replay`.

mod committer;
mod durability;
mod format;
mod replay;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use anabranch_host::{Disk, Host};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use committer::Committer;
pub(crate) use durability::{Durability, Taken};
pub(crate) use replay::{Entry, ReplayError, replay, reset, sync};

use crate::config::Flush;
use crate::metrics::Histogram;
use crate::open_files::LazyFile;
use crate::partition_name::PartitionName;
use crate::watermark::{Durable, Gone, Watermark};
use format::Kind;

/// The journal's files, used in turn.
pub(crate) const FILE_NAMES: [&str; 2] = ["anabranch-journal-0", "anabranch-journal-1"];

/// A log that has got this part of a journal's file is synced ahead of the checkpoint.
const SYNCS_AHEAD: u64 = 8;

/// Bytes of a batch that the leader sets: base offset, length, leader epoch.
pub(crate) const HEAD_BYTES: usize = 16;

/// The journal of one log directory. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Host,
    disk: Disk,
    directory: PathBuf,
    flush: Flush,
    file_bytes: u64,
    queue: Mutex<Queue>,
    /// Rings when the queue has got something.
    queued: Notify,
    /// Counts entries: how many are durable.
    committed: Arc<Watermark>,
    is_offline: AtomicBool,
    members: Mutex<BTreeMap<PartitionName, Weak<Durability>>>,
    /// Logs with something to sync at the next checkpoint.
    dirty: Mutex<Vec<Arc<Durability>>>,
    /// Logs that have got so much that they are to be synced ahead of it.
    heavy: Mutex<Vec<Arc<Durability>>>,
    /// Entries of this generation and older ones are in synced segments.
    checkpointed: AtomicU64,
    /// The newest generation that gets no more entries.
    closed: AtomicU64,
    /// Rings when there is something to sync: a generation was closed, or a log has got much.
    to_sync: Notify,
    /// How long the syncs took.
    sync_times: Histogram,
}

#[derive(Debug, Default)]
struct Queue {
    entries: Vec<Queued>,
    /// Entries ever queued.
    count: i64,
    is_closing: bool,
}

/// An entry that waits for the next group.
#[derive(Debug)]
struct Queued {
    log: Arc<Durability>,
    kind: Kind,
    base_offset: i64,
    last_offset: i64,
    segment: i64,
    position: u32,
    head: [u8; HEAD_BYTES],
    rest: Bytes,
}

/// A batch that was written to a segment.
#[derive(Debug)]
pub(crate) struct Append<'a> {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// Base offset of the segment.
    pub(crate) segment: i64,
    /// Where in the segment the batch lies.
    pub(crate) position: u32,
    pub(crate) file: &'a LazyFile,
    /// The first bytes, as the leader set them.
    pub(crate) head: [u8; HEAD_BYTES],
    /// The others.
    pub(crate) rest: Bytes,
}

impl Journal {
    /// A journal whose files, if any, hold nothing that is needed; and the task that must run for anything to become
    /// durable.
    pub(crate) async fn start(
        host: &Host,
        directory: PathBuf,
        flush: Flush,
        file_bytes: u64,
    ) -> io::Result<(Journal, Committer)> {
        let shared = Arc::new(Shared {
            host: host.clone(),
            disk: host.disk(),
            directory,
            flush,
            file_bytes,
            queue: Mutex::default(),
            queued: Notify::new(),
            committed: Watermark::new(0),
            is_offline: AtomicBool::new(false),
            members: Mutex::default(),
            dirty: Mutex::default(),
            heavy: Mutex::default(),
            checkpointed: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            to_sync: Notify::new(),
            sync_times: Histogram::default(),
        });
        let journal = Journal { shared };
        let committer = Committer::new(journal.clone()).await?;
        Ok((journal, committer))
    }

    /// How long the syncs took.
    pub(crate) fn sync_times(&self) -> &Histogram {
        &self.shared.sync_times
    }

    /// Whether the directory takes anything.
    pub(crate) fn check_online(&self) -> Result<(), Gone> {
        if self.shared.is_offline.load(Ordering::Acquire) { Err(Gone::Offline) } else { Ok(()) }
    }

    /// Makes a log known, for checkpoints and for the day the disk fails.
    pub(crate) fn join(&self, log: &Arc<Durability>) {
        self.shared.members.lock().insert(log.name().clone(), Arc::downgrade(log));
        if self.check_online().is_err() {
            log.watermark().close(Gone::Offline);
        }
    }

    /// The contrary of [`Journal::join`]: checkpoints do not speak of the log any more.
    pub(crate) fn leave(&self, log: &Arc<Durability>) {
        let mut members = self.shared.members.lock();
        // A new log of the same name may have joined.
        if members.get(log.name()).is_some_and(|known| known.as_ptr() == Arc::as_ptr(log)) {
            members.remove(log.name());
        }
    }

    /// All logs that are open.
    pub(crate) fn members(&self) -> Vec<Arc<Durability>> {
        let mut members = self.shared.members.lock();
        members.retain(|_, member| member.strong_count() > 0);
        members.values().filter_map(Weak::upgrade).collect()
    }

    /// Takes a batch that was written to its segment. It becomes durable some time later, which moves the log's
    /// watermark; at once if the operating system is trusted with it (`flush=os`).
    pub(crate) fn append(&self, log: &Arc<Durability>, append: Append<'_>) {
        let end_offset = append.last_offset + 1;
        if self.shared.flush == Flush::Os {
            log.watermark().advance(end_offset);
            return;
        }
        self.note(log, log.wrote(append.file, end_offset));
        let bytes = append.head.len() + append.rest.len();
        if log.appended(bytes as u64, self.shared.file_bytes / SYNCS_AHEAD) {
            self.shared.heavy.lock().push(log.clone());
            self.shared.to_sync.notify_one();
        }
        self.queue(Queued {
            log: log.clone(),
            kind: Kind::Append,
            base_offset: append.base_offset,
            last_offset: append.last_offset,
            segment: append.segment,
            position: append.position,
            head: append.head,
            rest: append.rest,
        });
    }

    /// Notes that a segment takes no more appends; the next checkpoint syncs it and its indexes.
    pub(crate) fn sealed(&self, log: &Arc<Durability>, files: [&LazyFile; 5], end_offset: i64) {
        for file in files {
            self.note(log, log.wrote(file, end_offset));
        }
    }

    /// Puts a log on the list of the next checkpoint, if it is not there.
    pub(crate) fn note(&self, log: &Arc<Durability>, is_news: bool) {
        if is_news {
            self.shared.dirty.lock().push(log.clone());
        }
    }

    /// Says that a log is about to be cut back to `offset`. Wait for [`Journal::settled`] before cutting.
    pub(crate) fn truncate(&self, log: &Arc<Durability>, offset: i64) {
        self.queue_mark(log, Kind::Truncate, offset);
    }

    /// Says that a log begins at `offset` now.
    pub(crate) fn start_at(&self, log: &Arc<Durability>, offset: i64) {
        if self.shared.flush == Flush::Os {
            log.start_is_durable(offset);
        }
        self.queue_mark(log, Kind::Start, offset);
    }

    /// Says that a log is no more. It [leaves](Journal::leave) when that is durable: until then checkpoints speak of it.
    pub(crate) fn delete(&self, log: &Arc<Durability>) {
        if self.shared.flush == Flush::Os {
            self.leave(log);
        }
        self.queue_mark(log, Kind::Delete, 0);
    }

    fn queue_mark(&self, log: &Arc<Durability>, kind: Kind, offset: i64) {
        if self.shared.flush == Flush::Os {
            return;
        }
        self.queue(Queued {
            log: log.clone(),
            kind,
            base_offset: offset,
            last_offset: offset,
            segment: 0,
            position: 0,
            head: [0; HEAD_BYTES],
            rest: Bytes::new(),
        });
    }

    fn queue(&self, entry: Queued) {
        let is_first = {
            let mut queue = self.shared.queue.lock();
            queue.count += 1;
            queue.entries.push(entry);
            queue.entries.len() == 1
        };
        if is_first {
            self.shared.queued.notify_one();
        }
    }

    /// Resolves when all that has been queued is durable.
    pub(crate) fn settled(&self) -> Durable {
        let count = self.shared.queue.lock().count;
        self.shared.committed.reached(count - 1)
    }

    /// Takes the directory offline: everybody who waits learns it, and nothing is taken any more.
    pub(crate) fn fail(&self, what: &str, error: &io::Error) {
        if self.shared.is_offline.swap(true, Ordering::AcqRel) {
            return;
        }
        tracing::error!(directory = %self.shared.directory.display(), %error, "{what}; the log directory is offline");
        self.shared.committed.close(Gone::Offline);
        for member in self.members() {
            member.watermark().close(Gone::Offline);
        }
        self.shared.queue.lock().entries.clear();
        self.shared.queued.notify_one();
        self.shared.to_sync.notify_one();
    }

    /// Tells those who still wait that nothing becomes durable any more.
    pub(crate) fn stopped(&self) {
        self.shared.committed.close(Gone::ShuttingDown);
        for member in self.members() {
            member.watermark().close(Gone::ShuttingDown);
        }
    }

    /// The newest generation that gets no more entries and is not checkpointed.
    pub(crate) fn closed_generation(&self) -> Option<u64> {
        let closed = self.shared.closed.load(Ordering::Acquire);
        (closed > self.shared.checkpointed.load(Ordering::Acquire)).then_some(closed)
    }

    /// Waits until there is something to sync, or the journal stops.
    pub(crate) async fn has_work(&self) {
        self.shared.to_sync.notified().await;
    }

    /// The logs to be synced ahead of the checkpoint.
    pub(crate) fn take_heavy(&self) -> Vec<Arc<Durability>> {
        std::mem::take(&mut *self.shared.heavy.lock())
    }

    /// The logs with something to sync.
    pub(crate) fn take_dirty(&self) -> Vec<Arc<Durability>> {
        std::mem::take(&mut *self.shared.dirty.lock())
    }

    /// Says that the entries of `generation` are in synced segments, and the recovery points are on the disk.
    pub(crate) fn checkpointed(&self, generation: u64) {
        self.shared.checkpointed.fetch_max(generation, Ordering::AcqRel);
    }

    /// Whether [`Journal::close`] was called.
    pub(crate) fn is_closing(&self) -> bool {
        self.shared.queue.lock().is_closing
    }

    /// Lets the committer end once all that is queued is durable.
    pub(crate) fn close(&self) {
        self.shared.queue.lock().is_closing = true;
        self.shared.queued.notify_one();
        self.shared.to_sync.notify_one();
    }
}
