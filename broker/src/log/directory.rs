//! The directory that holds the logs of a broker.
//!
//! It opens all logs at the start, makes and deletes logs, and runs two tasks: the journal's committer, and the
//! [checkpointer](super::checkpointer). With `flush=os` there is no journal, and only closed segments are synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{Disk, Host, JoinHandle, Volume};
use anabranch_protocol::Uuid;
use parking_lot::Mutex;

use super::Log;
use super::checkpoint::{CLEAN_SHUTDOWN, Remembered};
use super::checkpointer::checkpoint_regularly;
use super::error::LogError;
use super::leader_epochs::LeaderEpochs;
use super::producer_state::ProducerStates;
use super::producer_state::verifications::Verifications;
use super::recovery::{self, Recovered};
use super::retention::RemovedFiles;
use super::segment::SegmentFiles;
use crate::config::{Flush, TopicConfig};
use crate::journal::{self, Durability, Journal};
use crate::metrics::Histogram;
use crate::open_files::{LazyFile, OpenFiles};
use crate::partition_name::PartitionName;
use crate::watermark::{Durable, Gone, Watermark};

/// How a log directory works.
#[derive(Clone, Debug)]
pub struct LogDirectoryConfig {
    /// What an acknowledgement promises.
    pub flush: Flush,
    /// Whether nothing of the directory outlives this process: then nothing is ever synced.
    pub is_ephemeral: bool,
    /// Size of each of the journal's two files.
    pub journal_file_bytes: u64,
    /// Segment files open at one time.
    pub max_open_files: usize,
    /// From so many syncs on, a checkpoint syncs the volume as a whole instead.
    pub sync_volume_from: usize,
    /// How often segments are synced even if the journal has room.
    pub checkpoint_interval: Duration,
    /// The configuration of the logs that are found, until [`Log::set_config`] tells a better one.
    pub default_config: Arc<TopicConfig>,
}

impl LogDirectoryConfig {
    /// The defaults, durable.
    #[must_use]
    pub fn new(flush: Flush, default_config: Arc<TopicConfig>) -> Self {
        LogDirectoryConfig {
            flush,
            is_ephemeral: false,
            journal_file_bytes: 32 << 20,
            max_open_files: 8192,
            sync_volume_from: 16,
            checkpoint_interval: Duration::from_secs(60),
            default_config,
        }
    }
}

/// A log that was found when the directory was opened.
#[derive(Debug)]
pub struct RecoveredLog {
    /// The topic and partition.
    pub name: PartitionName,
    /// The id of the topic, if the directory says it.
    pub topic_id: Option<Uuid>,
    /// The log; or why it is offline, and then nothing of it was touched.
    pub log: Result<Log, LogError>,
}

/// A directory of logs. Cheap to clone; [`LogDirectory::shutdown`] ends it.
#[derive(Clone, Debug)]
pub struct LogDirectory {
    shared: Arc<Shared>,
}

/// What a directory and its tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) host: Host,
    pub(super) disk: Disk,
    /// Looked at since before anything was written, so that it tells of every failure.
    pub(super) volume: Option<Volume>,
    pub(super) path: PathBuf,
    pub(super) config: LogDirectoryConfig,
    pub(super) journal: Journal,
    open_files: Arc<OpenFiles>,
    /// Logs that are offline since the start, and how far they are known to have been durable: the next start must not
    /// take them for torn.
    pub(super) offline: Mutex<BTreeMap<PartitionName, Remembered>>,
    /// One checkpoint at a time.
    pub(super) checkpointing: tokio::sync::Mutex<()>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl LogDirectory {
    /// Opens the logs in `path`, which exists and is nobody else's, and recovers them if the last stop was not clean.
    ///
    /// # Errors
    /// If the disk fails, or the journal is damaged where it was durable. A damaged log is no error of the directory.
    pub async fn open(
        host: &Host,
        path: &Path,
        config: LogDirectoryConfig,
    ) -> Result<(LogDirectory, Vec<RecoveredLog>), LogError> {
        let disk = host.disk();
        if !config.is_ephemeral {
            // The directory may be new, and nothing in it lasts longer than its own name.
            let parent = path.parent().unwrap_or(path);
            match disk.sync_dir(parent).await {
                // Whoever may not look into the parent has not made the directory.
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                    return Err(LogError::io(parent)(error));
                }
                _ => {}
            }
        }
        let volume = disk.volume(path).map_err(LogError::io(path))?;
        let open_files = OpenFiles::new(disk.clone(), config.max_open_files);
        let found = recovery::recover(host, path, &open_files, volume.as_ref(), &config).await?;
        journal::reset(&disk, path).await.map_err(LogError::io(path))?;
        let journal = Journal::start(host, path.to_path_buf(), config.flush, config.journal_file_bytes).await;
        let (journal, committer) = journal.map_err(LogError::io(path))?;
        let directory = LogDirectory {
            shared: Arc::new(Shared {
                host: host.clone(),
                disk,
                volume,
                path: path.to_path_buf(),
                config,
                journal,
                open_files,
                offline: Mutex::default(),
                checkpointing: tokio::sync::Mutex::new(()),
                tasks: Mutex::default(),
            }),
        };
        let logs = found.into_iter().map(|(name, found)| directory.adopt(name, found)).collect();
        if directory.shared.journal_bytes().is_some() {
            // From here on both files of the journal are missed if they are gone.
            directory.shared.write_checkpoints().await?;
        }
        let committing = host.spawn(committer.run());
        let checkpointing = host.spawn(checkpoint_regularly(directory.shared.clone()));
        directory.shared.tasks.lock().extend([committing, checkpointing]);
        Ok((directory, logs))
    }

    /// The directory's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// A new log, empty. Nothing is written before its first append.
    #[must_use]
    pub fn create(&self, name: PartitionName, topic_id: Uuid, config: Arc<TopicConfig>) -> Log {
        let found = Recovered {
            topic_id: Some(topic_id),
            segments: Vec::new(),
            start_offset: 0,
            end_offset: 0,
            recovery_point: 0,
            producers: ProducerStates::default(),
            epochs: LeaderEpochs::default(),
            unsynced_from: None,
        };
        self.log(name, topic_id, config, found, false)
    }

    /// Deletes a log: whoever waits for it learns so, its directory gets another name at once, and its files go some time
    /// later. Resolves when that is durable; after a crash before, the log may be found again.
    ///
    /// # Errors
    /// If the directory cannot be renamed.
    pub fn delete(&self, log: &Log) -> Result<Durable, LogError> {
        let deleted = self.begin_deletion(log);
        // Last, so that a checkpoint that sees it closed finds the deletion in the journal.
        log.watermark().close(Gone::Deleted);
        deleted
    }

    fn begin_deletion(&self, log: &Log) -> Result<Durable, LogError> {
        if !log.has_directory {
            self.shared.journal.leave(&log.durability);
            return Ok(Durable::already());
        }
        let to = self
            .shared
            .path
            .join(log.name().deleted_directory(u128::from_be_bytes(self.shared.host.random_uuid())));
        self.shared.disk.rename(log.path(), &to).map_err(LogError::io(log.path()))?;
        self.shared.journal.delete(&log.durability);
        let shared = self.shared.clone();
        let delay = Duration::from_millis(u64::try_from(log.config.file_delete_delay_ms).unwrap_or(0));
        let durable = self.shared.journal.settled();
        self.shared.host.spawn(async move {
            shared.host.sleep(delay).await;
            if durable.await.is_err() {
                // The next start finds out whether it was deleted.
                return;
            }
            // Else the directory might come back under its old name, without its files.
            let synced = match shared.config.is_ephemeral {
                true => Ok(()),
                false => shared.disk.sync_dir(&shared.path).await,
            };
            if let Err(error) = synced.and_then(|()| shared.disk.remove_dir_all(&to)) {
                tracing::warn!(path = %to.display(), %error, "a deleted log's files stay behind");
            }
        });
        Ok(self.shared.journal.settled())
    }

    /// Removes a log that is offline since the start, by its directory.
    ///
    /// # Errors
    /// If the directory cannot be renamed.
    pub fn delete_offline(&self, name: &PartitionName) -> Result<(), LogError> {
        let from = self.shared.path.join(name.to_string());
        let to = self
            .shared
            .path
            .join(name.deleted_directory(u128::from_be_bytes(self.shared.host.random_uuid())));
        match self.shared.disk.rename(&from, &to) {
            // It is offline because it was gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(LogError::io(&from))?,
        }
        // Once the metadata says so for good, nobody misses it. The files are removed at the next start, when the new name
        // is durable.
        let (shared, name, durable) = (self.shared.clone(), name.clone(), self.shared.journal.settled());
        self.shared.host.spawn(async move {
            if durable.await.is_ok() {
                shared.offline.lock().remove(&name);
            }
        });
        Ok(())
    }

    /// Removes files that a log let go of, after `delay`.
    pub fn remove(&self, files: RemovedFiles, delay: Duration) {
        if files.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        self.shared.host.spawn(async move {
            shared.host.sleep(delay).await;
            for path in files.paths {
                if let Err(error) = shared.disk.remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "an old file stays behind");
                }
            }
        });
    }

    /// Resolves when all that was appended, cut or deleted up to now is durable.
    pub fn settled(&self) -> Durable {
        self.shared.journal.settled()
    }

    /// How long the syncs took that made appends durable.
    pub(crate) fn sync_times(&self) -> &Histogram {
        self.shared.journal.sync_times()
    }

    /// Whether a write or a sync failed, so that nothing is taken any more.
    #[must_use]
    pub fn is_offline(&self) -> bool {
        self.shared.journal.check_online().is_err()
    }

    /// Up to where a crash leaves the segments of a log alone: what is behind may be written again from the journal.
    pub(super) fn settled_end(&self, log: &Durability) -> i64 {
        if self.shared.config.is_ephemeral { i64::MAX } else { log.checkpointed_end() }
    }

    /// Makes the bytes of a file durable that the journal knows nothing of.
    pub(super) async fn sync_file(&self, file: &LazyFile) -> Result<(), LogError> {
        if self.shared.config.is_ephemeral {
            return Ok(());
        }
        let synced = match file.get() {
            Ok(file) => file.sync_data().await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        synced.map_err(LogError::io(&file.path()))
    }

    /// Makes the names in a partition's directory durable. If that fails nobody knows what they are.
    pub(super) async fn sync_names(&self, partition: &Path) -> Result<(), LogError> {
        if self.shared.config.is_ephemeral {
            return Ok(());
        }
        match self.shared.disk.sync_dir(partition).await {
            // The partition was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                self.shared.journal.fail("a directory cannot be synced", &error);
                Err(LogError::Gone(Gone::Offline))
            }
            Ok(()) => Ok(()),
        }
    }

    /// A secret for a hash.
    pub(super) fn random_secret(&self) -> [u64; 2] {
        [self.shared.host.random_u64(), self.shared.host.random_u64()]
    }

    /// Syncs the segments that have changed and writes the checkpoints.
    ///
    /// # Errors
    /// If a sync fails; the directory is offline then.
    pub async fn checkpoint(&self) -> Result<(), LogError> {
        self.shared.checkpoint().await
    }

    /// Stops cleanly: call [`Log::close`] on all logs before. What is appended afterwards is lost or not.
    ///
    /// # Errors
    /// If the disk fails; the next start then recovers.
    pub async fn shutdown(&self) -> Result<(), LogError> {
        let journal = &self.shared.journal;
        journal.close();
        let tasks = std::mem::take(&mut *self.shared.tasks.lock());
        for task in tasks {
            // A task that panicked has said so; what it did not sync is not durable.
            if task.await.is_err() {
                journal.fail("a task of the log directory ended", &io::ErrorKind::Other.into());
            }
        }
        journal.stopped();
        if self.shared.config.is_ephemeral {
            return Ok(());
        }
        journal.check_online()?;
        self.shared.checkpoint().await?;
        let marker = self.shared.path.join(CLEAN_SHUTDOWN);
        self.shared.disk.write_atomically(&marker, b"").await.map_err(LogError::io(&marker))
    }

    fn adopt(&self, name: PartitionName, found: recovery::Found) -> RecoveredLog {
        match found.outcome {
            Ok(recovered) => {
                let topic_id = recovered.topic_id;
                let config = self.shared.config.default_config.clone();
                let log = self.log(name.clone(), topic_id.unwrap_or(Uuid::ZERO), config, recovered, true);
                RecoveredLog { name, topic_id, log: Ok(log) }
            }
            Err(error) => {
                tracing::error!(partition = %name, %error, "the log is offline");
                self.shared.offline.lock().insert(name.clone(), found.remembered);
                RecoveredLog { name, topic_id: found.topic_id, log: Err(error) }
            }
        }
    }

    fn log(
        &self,
        name: PartitionName,
        topic_id: Uuid,
        config: Arc<TopicConfig>,
        found: Recovered,
        has_directory: bool,
    ) -> Log {
        let directory = self.shared.path.join(name.to_string());
        let durability = Durability::new(
            name,
            topic_id,
            directory.clone(),
            Watermark::new(found.end_offset),
            found.recovery_point,
            found.start_offset,
        );
        if has_directory {
            durability.epochs_are(&found.epochs.to_text());
        }
        self.shared.journal.join(&durability);
        let mut log = Log {
            config: config.clone(),
            journal: self.shared.journal.clone(),
            durability,
            files: SegmentFiles::new(directory, self.shared.open_files.clone()),
            segments: found.segments,
            start_offset: found.start_offset,
            end_offset: found.end_offset,
            producers: found.producers,
            verifications: Verifications::default(),
            epochs: found.epochs,
            has_directory,
            jitter: self.shared.host.random_u64() as u32,
            truncating_to: None,
            is_swapping: false,
            is_closed: false,
        };
        log.set_config(config);
        log
    }
}
