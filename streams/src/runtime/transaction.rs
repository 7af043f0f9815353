//! A worker's transaction: begun by the first batch of an epoch, ended with it.
//!
//! All that a worker writes in an epoch (outputs, changelogs, repartition topics) and the offsets up to which it has read
//! count together or not at all. Its transactional id is its own, so whoever starts under the same id ends what was left
//! open. The unit of rollback is the worker: if the transaction is lost, all its tasks go back to their last commit.
//!
//! The outcome of a commit may stay unknown. Then the id is claimed anew, after which nothing can change any more, and
//! the group's offsets tell: they are those of the epoch, or it never happened.

use std::time::Duration;

use anabranch_client::{
    Client, ClientError, ErrorCode, ErrorKind, GroupMetadata, OffsetAndMetadata, Producer, ProducerConfig,
    TopicPartition,
};
use anabranch_host::Instant;

use super::worker::Offsets;

/// Between two attempts to end a transaction.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Transactions that fail in a row are begun at most so long after one another.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether the topic is there no more, as far as the client has heard: who reads it hears of it at once.
fn is_gone(client: &Client, partition: &TopicPartition) -> bool {
    client.metadata().topic(&partition.topic).is_none()
}

/// The transaction of one worker.
pub(crate) struct WorkerTransaction {
    client: Client,
    group: String,
    config: ProducerConfig,
    producer: Producer,
    open: bool,
    /// How many in a row were undone, and since when.
    undone: u32,
    undone_since: Option<Instant>,
    /// So long may transactions be undone and none be committed (`task.timeout.ms`).
    patience: Duration,
}

impl WorkerTransaction {
    /// The transactional id of a worker: whoever knows application, process and number can end what it has left open.
    pub(crate) fn id(application_id: &str, process: &str, worker: usize) -> String {
        format!("{application_id}-{process}-{worker}")
    }

    /// One for a worker whose offsets are those of `group`; `config` names the transactional id.
    ///
    /// # Errors
    /// If the producer cannot be made.
    pub(crate) fn new(
        client: &Client,
        group: &str,
        config: ProducerConfig,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        Ok(WorkerTransaction {
            client: client.clone(),
            group: group.to_string(),
            producer: Producer::new(client, config.clone())?,
            config,
            open: false,
            undone: 0,
            undone_since: None,
            patience,
        })
    }

    /// What the worker sends with; another one after [`WorkerTransaction::undo`].
    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Takes the transactional id: what an earlier owner has left open is ended.
    ///
    /// # Errors
    /// If the coordinator refuses.
    pub(crate) async fn claim(&self) -> Result<(), ClientError> {
        claim(&self.client, &self.producer).await
    }

    /// Begins one, unless it is begun.
    ///
    /// # Errors
    /// If the producer is broken.
    pub(crate) fn begin(&mut self) -> Result<(), ClientError> {
        if !self.open {
            self.producer.begin_transaction()?;
            self.open = true;
        }
        Ok(())
    }

    /// Whether anything was begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Commits it with these offsets; the future does not hold the worker up.
    ///
    /// # Errors
    /// Of the future: if it is not committed, and never will be.
    pub(crate) fn commit(
        &mut self,
        offsets: Offsets,
        group: impl Future<Output = Result<GroupMetadata, ClientError>> + 'static,
    ) -> impl Future<Output = Result<(), ClientError>> + 'static {
        self.open = false;
        let (client, producer, name) = (self.client.clone(), self.producer.clone(), self.group.clone());
        async move {
            let group = group.await?;
            if let Some(gone) = offsets.keys().find(|partition| is_gone(&client, partition)) {
                // Its group would be asked for long. What is done again does without it: nobody can read it any more.
                let what = format!("the transaction's offset of {gone}");
                return Err(ClientError::from_code(&what, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            }
            in_phase("offsets", producer.send_offsets_to_transaction(&offsets, &group)).await?;
            match in_phase("end", producer.commit_transaction()).await {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                    in_phase("claim", claim(&client, &producer)).await?;
                    if offsets.is_empty() {
                        let unknown = "a commit without offsets has an unknown outcome";
                        return Err(ClientError::invalid(unknown));
                    }
                    let committed = are_committed(&client, &name, &offsets).await?;
                    let found = if committed { "committed" } else { "not committed" };
                    tracing::debug!(phase = "outcome", outcome = found, "commit");
                    if committed { Ok(()) } else { Err(error) }
                }
                ended => ended,
            }
        }
    }

    /// Notes that one was committed.
    pub(crate) fn committed(&mut self) {
        (self.undone, self.undone_since) = (0, None);
    }

    /// Ends it without effect, however long the coordinator takes. Waits the longer, the more in a row were undone.
    ///
    /// # Errors
    /// If the coordinator refuses, or none was committed for too long.
    pub(crate) async fn undo(&mut self) -> Result<(), ClientError> {
        self.open = false;
        loop {
            match self.producer.abort_transaction().await {
                Ok(()) => break,
                Err(error) if error.is_retriable() => self.client.host().sleep(TRY_AGAIN).await,
                // It was never begun, or it is ended already. Or its coordinator has ended it, since it took too long:
                // then this producer is fenced, and nobody else has the id of this worker.
                Err(_) => match self.claim().await {
                    Err(error) if error.kind() == ErrorKind::Fenced => {
                        self.producer = Producer::new(&self.client, self.config.clone())?;
                    }
                    claimed => {
                        claimed?;
                        break;
                    }
                },
            }
        }
        let host = self.client.host();
        let since = *self.undone_since.get_or_insert(host.now());
        if self.undone > 0 && host.now() - since > self.patience {
            return Err(ClientError::invalid(format!(
                "no transaction was committed for {:?} (task.timeout.ms)",
                host.now() - since
            )));
        }
        host.sleep(LONGEST_PAUSE.min(TRY_AGAIN * 2u32.saturating_pow(self.undone).min(100))).await;
        self.undone = self.undone.saturating_add(1);
        Ok(())
    }

    /// Ends what is open, and the producer.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.producer.close().await {
            tracing::debug!(%error, "closing a producer");
        }
    }
}

/// Tells the log when a phase of a commit begins and how it ends.
async fn in_phase(
    phase: &'static str,
    work: impl Future<Output = Result<(), ClientError>>,
) -> Result<(), ClientError> {
    tracing::debug!(phase, outcome = "begins", "commit");
    let done = work.await;
    let outcome = match &done {
        Ok(()) => "done",
        Err(error) if error.kind() == ErrorKind::OutcomeUnknown => "unknown",
        Err(_) => "failed",
    };
    tracing::debug!(phase, outcome, "commit");
    done
}

async fn claim(client: &Client, producer: &Producer) -> Result<(), ClientError> {
    loop {
        match producer.init_transactions().await {
            Err(error) if error.is_retriable() => client.host().sleep(TRY_AGAIN).await,
            claimed => return claimed,
        }
    }
}

/// Whether the group's offsets are these.
async fn are_committed(client: &Client, group: &str, offsets: &Offsets) -> Result<bool, ClientError> {
    let partitions: Vec<TopicPartition> = offsets.keys().cloned().collect();
    loop {
        match client.admin().stable_offsets(group, Some(&partitions)).await {
            Ok(committed) => {
                let same = |(name, wanted): (&TopicPartition, &OffsetAndMetadata)| {
                    committed.get(name).is_some_and(|found| found.offset == wanted.offset)
                };
                return Ok(offsets.iter().all(same));
            }
            Err(error) if error.is_retriable() => client.host().sleep(TRY_AGAIN).await,
            Err(error) => return Err(error),
        }
    }
}
