//! Which batches belong to aborted transactions, and which markers nobody needs any more.
//!
//! Records of an aborted transaction go at once. Whether it was aborted stands in a marker behind them, so the dirty part
//! is walked once for its headers alone, and as far beyond as it takes until all that began in it has ended. In the
//! clean part there is nothing left of aborted transactions but empty batches.

use anabranch_host::{HashMap, HashSet};
use anabranch_protocol::records::{Batch, BatchHeader, ControlRecord, ControlType};

use super::Stop;
use super::pace::Pace;
use super::source::Source;

/// The aborted transactions that have records in the dirty part: by producer, first offset and marker.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    transactions: HashMap<i64, Vec<(i64, i64)>>,
}

impl Aborted {
    /// Whether a batch belongs to one.
    pub(super) fn contains(&self, header: &BatchHeader) -> bool {
        header.is_transactional()
            && !header.is_control()
            && self.transactions.get(&header.producer_id).is_some_and(|all| {
                let within = |(first, marker): &(i64, i64)| (*first..*marker).contains(&header.base_offset);
                all.iter().any(within)
            })
    }
}

/// Finds the aborted transactions of what lies from `first_dirty` on in `sources`; `beyond` follows them. None if one of
/// them has not ended as far as `beyond` goes: then it is too early to clean.
pub(super) async fn find_aborted(
    sources: &[Source],
    first_dirty: i64,
    beyond: &[Source],
    pace: &mut Pace,
) -> Result<Option<Aborted>, Stop> {
    let mut open: HashMap<i64, i64> = HashMap::default();
    let mut aborted = Aborted::default();
    let dirty = sources.iter().filter(|source| source.end_offset > first_dirty).map(|source| (source, true));
    for (source, begins) in dirty.chain(beyond.iter().map(|source| (source, false))) {
        if !begins && open.is_empty() {
            break;
        }
        let mut scan = source.scan()?;
        while let Some(found) = scan.next()? {
            pace.spent(found.header.batch_bytes()).await?;
            let header = found.header;
            // Nobody ends what is of no producer.
            let is_of_one = header.is_transactional() && header.has_producer_id();
            if header.last_offset() < first_dirty || !is_of_one {
                continue;
            }
            if !header.is_control() {
                if begins {
                    open.entry(header.producer_id).or_insert(header.base_offset);
                }
                continue;
            }
            let batch = scan.batch(found)?;
            let ended = ended(&batch).map_err(|reason| scan.corrupt(found, reason))?;
            if let Some(committed) = ended
                && let Some(first) = open.remove(&header.producer_id)
                && !committed
            {
                aborted.transactions.entry(header.producer_id).or_default().push((first, header.base_offset));
            }
        }
    }
    Ok(open.is_empty().then_some(aborted))
}

/// Whether the marker in a control batch says committed; none if it is no marker of a transaction.
fn ended(batch: &Batch) -> Result<Option<bool>, String> {
    let mut scratch = Vec::new();
    let Some(record) = batch.records(&mut scratch).map_err(|error| error.to_string())?.next() else {
        return Ok(None);
    };
    let control =
        record.and_then(|record| ControlRecord::parse(&record)).map_err(|error| error.to_string())?;
    Ok(match control.control_type {
        ControlType::Commit => Some(true),
        ControlType::Abort => Some(false),
        _ => None,
    })
}

/// What a walk over all of the log has seen of transactions.
#[derive(Debug, Default)]
pub(super) struct MarkerKeeper {
    /// Producers with batches of a transaction since its last marker.
    with_batches: HashSet<i64>,
}

impl MarkerKeeper {
    /// A batch of records comes.
    pub(super) fn batch(&mut self, header: &BatchHeader) {
        if header.is_transactional() {
            self.with_batches.insert(header.producer_id);
        }
    }

    /// A marker comes. Returns whether it may go: no batch of its transaction is left, not even an empty one, for without
    /// its marker a transaction would seem to be open.
    pub(super) fn marker(&mut self, batch: &Batch) -> Result<bool, String> {
        if batch.header.record_count == 0 {
            return Ok(true);
        }
        Ok(match ended(batch)? {
            Some(_) => !self.with_batches.remove(&batch.header.producer_id),
            None => false,
        })
    }
}
