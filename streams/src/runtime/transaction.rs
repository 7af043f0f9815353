//! A worker's transaction: begun by the first batch of an epoch, ended with it.
//!
//! All that a worker writes in an epoch (outputs, changelogs, repartition topics) and the offsets up to which it has read
//! count together or not at all. Its transactional id is its own, so whoever starts under the same id ends what was left
//! open. The unit of rollback is the worker: if the transaction is lost, all its tasks go back to their last commit.
//!
//! What fences a member that has lost a task is its group, asked with the offsets: it refuses a member of a generation that
//! is over, and whoever takes over waits for offsets that are pending. So a transaction names an offset of each task that
//! it writes for, one that has not moved if none has (an epoch of punctuations alone); where nothing was ever committed for
//! a task, that is where it begins to read, which is looked up when the task is opened (`beginnings`).
//!
//! The outcome of a commit may stay unknown. Then the id is claimed anew, after which nothing can change any more, and
//! the group's offsets tell: they are those of the epoch, or it never happened. Where they do not tell (an epoch that has
//! written and read nothing) nobody can say what the stores should hold, so they are restored from their changelogs, whose
//! transactions are decided by then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_client::{
    Client, ClientError, ErrorCode, ErrorKind, GroupMetadata, OffsetAndMetadata, Producer, ProducerConfig,
    TopicPartition,
};
use anabranch_host::Host;

use super::offsets::Offsets;
use super::task_timeout::TaskTimeout;

/// Between two attempts to end a transaction.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Transactions that fail in a row are begun at most so long after one another.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Codes that end the transaction under way, or its producer, and no more: another may succeed. What a coordinator or a
/// leader has forgotten, or remembers otherwise, is told by them.
const OF_THE_TRANSACTION: [ErrorCode; 8] = [
    ErrorCode::INVALID_TXN_STATE,
    ErrorCode::INVALID_PRODUCER_ID_MAPPING,
    ErrorCode::INVALID_PRODUCER_EPOCH,
    ErrorCode::PRODUCER_FENCED,
    ErrorCode::UNKNOWN_PRODUCER_ID,
    ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
    ErrorCode::TRANSACTION_ABORTABLE,
    ErrorCode::UNKNOWN_SERVER_ERROR,
];

/// Whether an error ends no more than the transaction under way: another may succeed where it has failed.
pub(crate) fn ends_the_transaction(error: &ClientError) -> bool {
    let by_kind = matches!(
        error.kind(),
        ErrorKind::Abort | ErrorKind::OutcomeUnknown | ErrorKind::Fenced | ErrorKind::Retriable
    );
    by_kind || error.code().is_some_and(|code| OF_THE_TRANSACTION.contains(&code))
}

/// Whether the partition is there no more, as far as the client has heard: who reads it hears of it at once. A topic that
/// was made anew may have fewer.
fn is_gone(client: &Client, partition: &TopicPartition) -> bool {
    client.metadata().partition_count(&partition.topic).is_none_or(|count| partition.partition >= count)
}

/// The transaction of one worker.
pub(crate) struct WorkerTransaction {
    client: Client,
    group: String,
    config: ProducerConfig,
    producer: Producer,
    open: bool,
    /// How many in a row were undone.
    undone: u32,
    /// So long a commit in flight asks who does not answer.
    task_timeout: Duration,
    /// A commit was asked for, and what the group has does not tell whether it happened.
    unsure: Arc<AtomicBool>,
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
        task_timeout: Duration,
    ) -> Result<Self, ClientError> {
        Ok(WorkerTransaction {
            client: client.clone(),
            group: group.to_string(),
            producer: Producer::new(client, config.clone())?,
            config,
            open: false,
            undone: 0,
            task_timeout,
            unsure: Arc::default(),
        })
    }

    /// Whether nobody knows if a commit has happened: memory is not to be trusted then.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure.load(Ordering::Relaxed)
    }

    /// What the worker sends with; another one after [`WorkerTransaction::undo`].
    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Takes the transactional id: what an earlier owner has left open is ended.
    ///
    /// # Errors
    /// If the coordinator refuses, or does not answer for too long.
    pub(crate) async fn claim(&self, timeout: &mut TaskTimeout) -> Result<(), ClientError> {
        claim(&self.client, &self.producer, timeout).await
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

    /// Commits it with these offsets, and with `ties`, which are committed already and do not move. The future does not
    /// hold the worker up.
    ///
    /// # Errors
    /// Of the future: if it is not committed, and never will be; or [`WorkerTransaction::is_unsure`] from then on.
    pub(crate) fn commit(
        &mut self,
        offsets: Offsets,
        ties: Offsets,
        group: impl Future<Output = Result<GroupMetadata, ClientError>> + 'static,
    ) -> impl Future<Output = Result<(), ClientError>> + 'static {
        self.open = false;
        let (client, producer, name) = (self.client.clone(), self.producer.clone(), self.group.clone());
        let (config, unsure) = (self.config.clone(), Arc::clone(&self.unsure));
        let mut timeout = TaskTimeout::new(self.task_timeout);
        async move {
            let group = group.await?;
            if let Some(gone) = offsets.keys().find(|partition| is_gone(&client, partition)) {
                // Its group would be asked for long. What is done again does without it: nobody can read it any more.
                let what = format!("the transaction's offset of {gone}");
                return Err(ClientError::from_code(&what, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
            }
            let ties = ties.into_iter().filter(|(partition, _)| !is_gone(&client, partition));
            let all: Offsets = offsets.clone().into_iter().chain(ties).collect();
            in_phase("offsets", producer.send_offsets_to_transaction(&all, &group)).await?;
            match in_phase("end", producer.commit_transaction()).await {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                    // Until it is known, also if this future is dropped.
                    unsure.store(true, Ordering::Relaxed);
                    in_phase("claim", claim_anew(&client, &producer, &config, &mut timeout)).await?;
                    if offsets.is_empty() {
                        return Err(error);
                    }
                    let committed = are_committed(&client, &name, &offsets, &mut timeout).await?;
                    let found = if committed { "committed" } else { "not committed" };
                    tracing::debug!(phase = "outcome", outcome = found, "commit");
                    unsure.store(false, Ordering::Relaxed);
                    if committed { Ok(()) } else { Err(error) }
                }
                ended => ended,
            }
        }
    }

    /// Notes that one was committed.
    pub(crate) fn committed(&mut self) {
        self.undone = 0;
    }

    /// Ends it without effect. Waits the longer, the more in a row were undone.
    ///
    /// # Errors
    /// If the coordinator refuses for good, or nothing has come of it for too long.
    pub(crate) async fn undo(&mut self, timeout: &mut TaskTimeout) -> Result<(), ClientError> {
        self.open = false;
        let host = self.client.host().clone();
        loop {
            match self.producer.abort_transaction().await {
                Ok(()) => break,
                Err(error) if error.is_retriable() => go_on(&host, timeout, &error)?,
                // It was never begun, or it is ended already. Or its coordinator has ended it, since it took too long:
                // then this producer is fenced, and nobody else has the id of this worker.
                Err(_) => match self.claim(timeout).await {
                    Ok(()) => break,
                    Err(error) if ends_the_transaction(&error) => {
                        go_on(&host, timeout, &error)?;
                        self.producer = Producer::new(&self.client, self.config.clone())?;
                    }
                    Err(error) => return Err(error),
                },
            }
            host.sleep(TRY_AGAIN).await;
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

/// Whether a call that has failed may be made again.
fn go_on(host: &Host, timeout: &mut TaskTimeout, error: &ClientError) -> Result<(), ClientError> {
    match timeout.is_over(host.now()) {
        true => Err(timeout.over_in_a_call(error)),
        false => Ok(()),
    }
}

async fn claim(client: &Client, producer: &Producer, timeout: &mut TaskTimeout) -> Result<(), ClientError> {
    loop {
        match producer.init_transactions().await {
            Err(error) if error.is_retriable() => go_on(client.host(), timeout, &error)?,
            claimed => return claimed,
        }
        client.host().sleep(TRY_AGAIN).await;
    }
}

/// Claims the id for a producer whose commit may have happened; if that is fenced, for another in its place.
async fn claim_anew(
    client: &Client,
    producer: &Producer,
    config: &ProducerConfig,
    timeout: &mut TaskTimeout,
) -> Result<(), ClientError> {
    match claim(client, producer, timeout).await {
        Err(error) if error.kind() == ErrorKind::Fenced => {
            let another = Producer::new(client, config.clone())?;
            let claimed = claim(client, &another, timeout).await;
            if let Err(error) = another.close().await {
                tracing::debug!(%error, "closing a producer");
            }
            claimed
        }
        claimed => claimed,
    }
}

/// Whether these offsets are among those found, with what stands beside them: of an epoch of punctuations alone a memo may be
/// all that has moved.
fn are_these(found: &Offsets, wanted: &Offsets) -> bool {
    let is_found = |(name, wanted): (&TopicPartition, &OffsetAndMetadata)| {
        let same =
            |found: &OffsetAndMetadata| found.offset == wanted.offset && found.metadata == wanted.metadata;
        found.get(name).is_some_and(same)
    };
    wanted.iter().all(is_found)
}

/// Whether the group's offsets are these.
async fn are_committed(
    client: &Client,
    group: &str,
    offsets: &Offsets,
    timeout: &mut TaskTimeout,
) -> Result<bool, ClientError> {
    let partitions: Vec<TopicPartition> = offsets.keys().cloned().collect();
    loop {
        match client.admin().stable_offsets(group, Some(&partitions)).await {
            Ok(committed) => {
                return Ok(are_these(&committed, offsets));
            }
            Err(error) if error.is_retriable() => go_on(client.host(), timeout, &error)?,
            Err(error) => return Err(error),
        }
        client.host().sleep(TRY_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_transaction_does_not_end_the_instance() {
        let check = |code, expected| {
            let error = ClientError::from_code("ending", code);
            assert_eq!(ends_the_transaction(&error), expected, "{error}");
        };
        for code in OF_THE_TRANSACTION {
            check(code, true);
        }
        check(ErrorCode::CONCURRENT_TRANSACTIONS, true);
        check(ErrorCode::ILLEGAL_GENERATION, true);
        check(ErrorCode::NOT_COORDINATOR, true);
        check(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED, false);
        check(ErrorCode::TOPIC_AUTHORIZATION_FAILED, false);
        check(ErrorCode::INVALID_TRANSACTION_TIMEOUT, false);
        check(ErrorCode::MESSAGE_TOO_LARGE, false);
        assert!(!ends_the_transaction(&ClientError::closed("producer")));
    }

    #[test]
    fn what_is_committed_is_told_by_offsets_and_what_stands_beside_them() {
        let offsets = |all: &[(i32, i64, &str)]| -> Offsets {
            let one = |(partition, offset, metadata): &(i32, i64, &str)| {
                let at = OffsetAndMetadata::new(*offset).with_metadata((*metadata).to_owned());
                (TopicPartition::new("in", *partition), at)
            };
            all.iter().map(one).collect()
        };
        let check = |found: &[(i32, i64, &str)], wanted: &[(i32, i64, &str)], expected: bool| {
            assert_eq!(are_these(&offsets(found), &offsets(wanted)), expected, "{wanted:?} in {found:?}");
        };
        let found = &[(0, 7, "a"), (1, 3, "b")];
        check(found, &[(0, 7, "a")], true);
        check(found, &[(0, 7, "a"), (1, 3, "b")], true);
        check(found, &[(0, 8, "a")], false);
        check(found, &[(0, 7, "a"), (1, 4, "b")], false);
        check(found, &[(2, 0, "")], false);
        // A memo has moved, and no offset.
        check(found, &[(0, 7, "later")], false);
    }
}
