//! How rows that have a time expire: a segment at a time, when an epoch is committed.
//!
//! Kafka Streams' rule: a store keeps what its retention covers, and the rest of the oldest segment that the retention
//! reaches into; a segment is half of the retention long, a minute at least. A write to an older segment is refused.
//! Segments are dropped whole, at a commit only and as of that commit: nothing can bring half of one back.
//!
//! What decides it is no row: the highest time written, and what is still needed. A store that is kept on disk notes both
//! among its rows, so that they are those of the rows that it comes back with.

use anabranch_state_store::{KeyValueTable, Result, Row, Suffix, TimedKeys};

use super::epoched::Epoched;

/// How long a segment is at least.
const SEGMENT_MS: i64 = 60_000;

/// The key of the note. It is too short to have a time, so no reader of rows meets it.
const NOTE: &[u8] = b"note";

/// The times of a store.
pub(super) struct Expiry {
    keys: TimedKeys,
    retention_ms: i64,
    /// The highest time written.
    observed: Epoched<i64>,
    /// Rows of this time or later are still needed.
    needed_from: Epoched<i64>,
    /// The last number given to a row.
    sequence: Epoched<u32>,
    /// What the rows on disk say, if rows are kept there.
    noted: Option<Noted>,
    /// Whether anything was written since the store was made: what comes back expires when time goes on.
    written: bool,
}

/// Highest time, what is needed, last number.
type Noted = (i64, i64, u32);

impl Expiry {
    /// How keys are laid out that have this retention, and these bytes behind their time.
    pub(super) fn keys(retention_ms: i64, number_bytes: usize) -> TimedKeys {
        let segment_ms = (retention_ms / 2).max(SEGMENT_MS);
        TimedKeys { number_bytes, segment_ms: segment_ms.unsigned_abs() }
    }

    /// The times of a store whose rows lie in `table`; `is_kept`: on disk.
    pub(super) fn new(
        table: &mut KeyValueTable,
        keys: TimedKeys,
        retention_ms: i64,
        is_kept: bool,
    ) -> Result<Self> {
        let noted = match is_kept {
            true => Some(table.get(NOTE)?.and_then(|row| read_note(row.value)).unwrap_or((-1, i64::MAX, 0))),
            false => None,
        };
        let (observed, needed_from, sequence) = noted.unwrap_or((-1, i64::MAX, 0));
        Ok(Expiry {
            keys,
            retention_ms,
            observed: Epoched::new(observed),
            needed_from: Epoched::new(needed_from),
            sequence: Epoched::new(sequence),
            noted,
            written: false,
        })
    }

    /// How keys are laid out.
    pub(super) fn timed_keys(&self) -> TimedKeys {
        self.keys
    }

    pub(super) fn segment_ms(&self) -> i64 {
        self.keys.segment_ms.cast_signed()
    }

    /// Notes that a row of this time is to be written; false if it is older than what is kept.
    pub(super) fn admits(&mut self, time: i64) -> bool {
        self.written = true;
        self.observed.now = self.observed.now.max(time);
        let segment_ms = self.segment_ms();
        time / segment_ms >= (self.observed.now - self.retention_ms) / segment_ms
    }

    /// The earliest time that the retention covers.
    pub(super) fn oldest(&self) -> i64 {
        self.observed.now - self.retention_ms + 1
    }

    /// The same, as of the last commit.
    pub(super) fn committed_oldest(&self) -> i64 {
        self.observed.committed() - self.retention_ms + 1
    }

    /// The next number, which tells rows of one key and time apart.
    pub(super) fn next_number(&mut self) -> u32 {
        self.sequence.now = (self.sequence.now + 1) & 0x7fff_ffff;
        self.sequence.now
    }

    /// Keeps rows of this time or later, whatever the retention says.
    pub(super) fn need_from(&mut self, time: i64) {
        self.needed_from.now = time;
    }

    /// What comes next is of a stream that has got to `time`. Rows that came back may be ahead of that: at least once, a
    /// changelog has those of records that are read again, which must not be too old for the store then.
    pub(super) fn resume_at(&mut self, time: i64) {
        if time < self.observed.now {
            self.observed = Epoched::new(time);
        }
    }

    /// Ends an epoch, before the table does.
    pub(super) fn seal(&mut self, table: &mut KeyValueTable) -> Result<()> {
        let now = self.now();
        self.observed.seal();
        self.needed_from.seal();
        self.sequence.seal();
        if self.noted.is_some_and(|noted| noted != now) {
            self.noted = Some(now);
            table.put_unseen(NOTE, Some(Row::new(&write_note(now), now.0)))?;
        }
        Ok(())
    }

    /// Drops what has expired by the epoch that has just been committed.
    pub(super) fn commit(&mut self, table: &mut KeyValueTable) -> Result<()> {
        self.observed.commit();
        self.needed_from.commit();
        self.sequence.commit();
        let oldest = (self.observed.committed() - self.retention_ms).min(self.needed_from.committed());
        if !self.written || oldest <= 0 {
            return Ok(());
        }
        table.drop_segments(self.keys.segment_at(oldest.unsigned_abs()))
    }

    pub(super) fn abort(&mut self) {
        self.observed.abort();
        self.needed_from.abort();
        self.sequence.abort();
        // The note went back with the rows, to what the last committed epoch wrote.
        self.noted = self.noted.map(|_| self.now());
    }

    /// Notes that a row came back from the changelog.
    pub(super) fn restored(&mut self, (time, number): Suffix) {
        self.observed.resume(self.observed.now.max(time.cast_signed()));
        // Kafka Streams begins at 0 again, and overwrites rows of the same time; ours goes on.
        self.sequence.resume(self.sequence.now.max(number as u32));
    }

    /// Notes in the table what all rows that came back say.
    pub(super) fn restored_all(&mut self, table: &mut KeyValueTable) -> Result<()> {
        let now = self.now();
        if self.noted.is_some_and(|noted| noted != now) {
            self.noted = Some(now);
            table.restore(NOTE, Some(Row::new(&write_note(now), now.0)))?;
        }
        Ok(())
    }

    fn now(&self) -> Noted {
        (self.observed.now, self.needed_from.now, self.sequence.now)
    }
}

fn write_note((observed, needed_from, sequence): Noted) -> [u8; 20] {
    let mut note = [0; 20];
    note[..8].copy_from_slice(&observed.to_be_bytes());
    note[8..16].copy_from_slice(&needed_from.to_be_bytes());
    note[16..].copy_from_slice(&sequence.to_be_bytes());
    note
}

fn read_note(note: &[u8]) -> Option<Noted> {
    let (observed, rest) = note.split_first_chunk()?;
    let (needed_from, rest) = rest.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some((i64::from_be_bytes(*observed), i64::from_be_bytes(*needed_from), u32::from_be_bytes(*sequence)))
}
