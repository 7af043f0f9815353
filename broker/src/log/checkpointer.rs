//! The checkpoint of a log directory: it syncs segments when a file of the journal is full (or a minute has passed), and then
//! writes how far they are synced.
//!
//! A few files are synced one by one. For many the volume is synced as a whole: each sync of a file that has grown waits
//! until the file system's own journal is written, and ten thousand of them do it ten thousand times. A segment that gets much
//! is synced ahead, a piece at a time: a checkpoint with tens of megabytes to write keeps the journal's own syncs waiting.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use anabranch_host::{Volume, is_shortage};

use super::checkpoint::{Checkpoint, Remembered};
use super::directory::Shared;
use super::error::LogError;
use crate::config::Flush;
use crate::journal::{Durability, Taken};
use crate::watermark::Gone;

impl Shared {
    /// Syncs the segments that have changed and writes the checkpoints.
    pub(super) async fn checkpoint(&self) -> Result<(), LogError> {
        let _one = self.checkpointing.lock().await;
        // What is closed now speaks of appends that are in their segments already.
        let closed = self.journal.closed_generation();
        let mut logs = Vec::new();
        for log in self.journal.take_dirty() {
            if log.watermark().gone() == Some(Gone::Deleted) {
                // Its files need no sync once it is durable that they go.
                self.journal.settled().await?;
            } else {
                let taken = log.take_unsynced();
                logs.push((log, taken));
            }
        }
        let syncs: usize = logs.iter().map(|(_, taken)| taken.syncs()).sum();
        let put_off = match &self.volume {
            Some(volume) if syncs >= self.config.sync_volume_from => self.sync_volume(volume, logs).await?,
            _ => self.sync_each(logs).await?,
        };
        self.write_checkpoints().await?;
        if let Some(error) = put_off {
            return Err(error);
        }
        if let Some(generation) = closed {
            self.journal.checkpointed(generation);
        }
        Ok(())
    }

    /// Syncs logs one by one. The error, if any, is one for which some are put off until the next time.
    async fn sync_each(&self, logs: Vec<(Arc<Durability>, Taken)>) -> Result<Option<LogError>, LogError> {
        let mut put_off = None;
        for (log, taken) in logs {
            match log.sync(&taken, &self.disk).await {
                Ok(()) => log.synced(&taken),
                Err(error) => put_off = self.not_synced(&log, taken, error)?.or(put_off),
            }
        }
        Ok(put_off)
    }

    /// Syncs logs all at once: a thousand files cost little more than one, which has to wait for the file system's own
    /// journal as well.
    async fn sync_volume(
        &self,
        volume: &Volume,
        mut logs: Vec<(Arc<Durability>, Taken)>,
    ) -> Result<Option<LogError>, LogError> {
        let failed = |error| {
            self.journal.fail("the volume cannot be synced", &error);
            LogError::Gone(Gone::Offline)
        };
        let mut put_off = None;
        let mut has_texts = false;
        for (log, taken) in std::mem::take(&mut logs) {
            match taken.write_text(&self.disk) {
                Ok(has_text) => {
                    has_texts |= has_text;
                    logs.push((log, taken));
                }
                Err(error) => put_off = self.not_synced(&log, taken, error)?.or(put_off),
            }
        }
        volume.sync().await.map_err(failed)?;
        if has_texts {
            // Only what is synced may replace what was.
            for (log, taken) in std::mem::take(&mut logs) {
                match log.replace_text(&taken, &self.disk) {
                    Ok(()) => logs.push((log, taken)),
                    Err(error) => put_off = self.not_synced(&log, taken, error)?.or(put_off),
                }
            }
            volume.sync().await.map_err(failed)?;
        }
        logs.iter().for_each(|(log, taken)| log.synced(taken));
        Ok(put_off)
    }

    /// Syncs logs that have got much before the checkpoint does.
    async fn sync_ahead(&self, logs: Vec<Arc<Durability>>) {
        for log in logs {
            match log.sync_ahead().await {
                // For want of space the checkpoint tries again, and says so if there is still none.
                Err(error) if !is_shortage(&error) && log.watermark().gone() != Some(Gone::Deleted) => {
                    self.journal.fail("a segment cannot be synced", &error);
                    return;
                }
                _ => {}
            }
        }
    }

    /// What is to be done about a log that could not be synced: a shortage puts it off.
    fn not_synced(
        &self,
        log: &Arc<Durability>,
        taken: Taken,
        error: io::Error,
    ) -> Result<Option<LogError>, LogError> {
        if log.watermark().gone() == Some(Gone::Deleted) {
            // Its files have gone meanwhile.
            return Ok(None);
        }
        if is_shortage(&error) {
            self.journal.note(log, log.put_back(taken));
            return Ok(Some(LogError::Io { path: self.path.join(log.name().to_string()), source: error }));
        }
        self.journal.fail("a segment cannot be synced", &error);
        Err(LogError::Gone(Gone::Offline))
    }

    /// What the files of the journal have at least, while there is one that may be needed.
    pub(super) fn journal_bytes(&self) -> Option<u64> {
        let is_journalled = self.config.flush == Flush::Commit && !self.config.is_ephemeral;
        (is_journalled && !self.journal.is_closing()).then_some(self.config.journal_file_bytes)
    }

    /// Writes how far logs are synced.
    pub(super) async fn write_checkpoints(&self) -> Result<(), LogError> {
        let journal_bytes = self.journal_bytes();
        let mut checkpoint = Checkpoint { journal_bytes, logs: self.offline.lock().clone() };
        let mut high_watermarks = BTreeMap::new();
        let members = self.journal.members();
        for log in &members {
            // What was never synced is not remembered.
            if log.recovery_point() == 0 {
                continue;
            }
            let remembered = Remembered {
                topic_id: log.topic_id(),
                recovery_point: log.recovery_point(),
                start_offset: log.log_start_offset(),
                epochs_checksum: log.epochs_checksum(),
                has_snapshot: log.has_snapshot(),
            };
            checkpoint.logs.insert(log.name().clone(), remembered);
            high_watermarks.insert(log.name().clone(), log.watermark().value());
        }
        checkpoint.write(&self.disk, &self.path).await.map_err(LogError::io(&self.path))?;
        for log in &members {
            if let Some(remembered) = checkpoint.of(log.name(), log.topic_id()) {
                log.checkpointed(remembered.recovery_point);
            }
        }
        checkpoint.write_for_tools(&self.disk, &self.path, &high_watermarks).map_err(LogError::io(&self.path))
    }
}

/// Syncs when a file of the journal is full, and from time to time, until the directory is closed.
pub(super) async fn checkpoint_regularly(shared: Arc<Shared>) {
    if shared.config.is_ephemeral {
        return;
    }
    loop {
        // Either way round it is time: the ring, or the interval.
        let has_rung =
            shared.host.timeout(shared.config.checkpoint_interval, shared.journal.has_work()).await;
        if shared.journal.is_closing() {
            return;
        }
        let heavy = shared.journal.take_heavy();
        let is_ahead = has_rung.is_ok() && !heavy.is_empty() && shared.journal.closed_generation().is_none();
        if is_ahead {
            shared.sync_ahead(heavy).await;
            continue;
        }
        if let Err(error) = shared.checkpoint().await {
            tracing::warn!(directory = %shared.path.display(), %error, "the checkpoint failed");
        }
        if shared.journal.check_online().is_err() {
            return;
        }
    }
}
