//! Reading an internal log from its start to its end, for whoever folds a state from it.

use std::fmt::Display;
use std::time::Duration;

use anabranch_host::Host;
use anabranch_protocol::records::{BatchHeader, RecordRef, batches};

use super::{InternalLog, InternalLogError};

/// How much is read before others get their turn.
const READ_BYTES: usize = 1024 * 1024;

/// Shows each record of the log with its batch's header, oldest first. What `each` says is wrong with one is told with
/// its place.
///
/// # Errors
/// If the log cannot be read, is damaged, or `each` refuses a record.
pub(crate) async fn replay(
    host: &Host,
    log: &dyn InternalLog,
    mut each: impl FnMut(&BatchHeader, &RecordRef<'_>) -> Result<(), String>,
) -> Result<(), InternalLogError> {
    // Only what is durable can be read, and what was appended before a failure belongs to the state.
    log.settled().await?;
    let mut offset = log.start_offset();
    let mut scratch = Vec::new();
    loop {
        let bytes = log.read(offset, READ_BYTES)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let before = offset;
        for batch in batches(&bytes) {
            let batch = batch.map_err(|problem| corrupt(problem, offset))?;
            batch.check_crc().map_err(|problem| corrupt(problem, offset))?;
            offset = batch.header.next_offset();
            for record in batch.records(&mut scratch).map_err(|problem| corrupt(problem, before))? {
                let record = record.map_err(|problem| corrupt(problem, before))?;
                each(&batch.header, &record).map_err(|problem| corrupt(problem, record.offset))?;
            }
        }
        if offset <= before {
            return Err(corrupt("no whole batch there", offset));
        }
        // Reading does not wait; others on this thread do.
        host.sleep(Duration::ZERO).await;
    }
}

fn corrupt(problem: impl Display, offset: i64) -> InternalLogError {
    InternalLogError::Corrupt(format!("{problem}, at offset {offset}"))
}

#[cfg(test)]
mod tests {
    use anabranch_host::Sim;
    use anabranch_host::SimOptions;
    use anabranch_protocol::records::{BatchBuilder, Compression};

    use super::super::{MemoryLog, RecordWriter};
    use super::*;

    /// Keys of what is read of a log whose one batch was changed by `damage`; or what is wrong.
    fn check(damage: impl Fn(&mut [u8]), expected: Result<&[&str], &str>) {
        let log = MemoryLog::new();
        let mut builder = BatchBuilder::new(Compression::None);
        for key in ["a", "b"] {
            builder.append(7, Some(key.as_bytes()), None, []).unwrap();
        }
        let mut batch = builder.finish();
        damage(&mut batch);
        log.append(batch).unwrap();
        let record = ("c".into(), Some("v".into()));
        RecordWriter::new(log.clone()).append(7, [record], None).unwrap();
        let sim = Sim::new(0, SimOptions::default());
        let host = sim.node("broker");
        let mut keys = Vec::new();
        let read = sim.block_on(replay(&host, &*log, |_, record| {
            keys.push(String::from_utf8(record.key.unwrap().to_vec()).unwrap());
            Ok(())
        }));
        match (read, expected) {
            (Ok(()), Ok(expected)) => assert_eq!(keys, expected),
            (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (read, expected) => panic!("{read:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_log_is_read_whole_or_not_at_all() {
        check(|_| {}, Ok(&["a", "b", "c"]));
        check(|batch| *batch.last_mut().unwrap() ^= 1, Err("at offset 0"));
    }
}
