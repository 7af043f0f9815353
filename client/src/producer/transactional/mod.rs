//! Transactions, as users call them: records and offsets of a group that count together or not at all.
//!
//! [`super::transaction`] decides what may be done and what is asked next; this file carries it out, one call at a time.
//! A call that is dropped before its end, or that gives up, can be made again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::ErrorCode;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::coordinator::{self, Coordinators};
use super::partition_queue::ProducerIdentity;
use super::transaction::{EndRequest, Next, Protocol, Question, Transaction, not_begun};
use super::{Producer, Shared};
use crate::cluster::{Client, CoordinatorKind};
use crate::config::ProducerConfig;
use crate::connection::Connection;
use crate::consumer::GroupMetadata;
use crate::error::{ClientError, ErrorKind, Result};
use crate::group_offsets::OffsetAndMetadata;
use crate::metadata::Metadata;
use crate::retry::Retry;
use crate::topic_partition::TopicPartition;

/// What a producer with a transactional id has besides.
pub(super) struct Transactional {
    pub(super) id: String,
    timeout_ms: i32,
    pub(super) state: Mutex<Transaction>,
    coordinators: Coordinators,
    /// Held by whoever talks to coordinators in the user's name.
    calls: tokio::sync::Mutex<()>,
    /// Tells that an answer has come in.
    pub(super) answered: Notify,
}

impl Transactional {
    pub(super) fn new(config: &ProducerConfig) -> Option<Self> {
        Some(Transactional {
            id: config.transactional_id.clone()?,
            timeout_ms: config.transaction_timeout_ms,
            state: Mutex::new(Transaction::new()),
            coordinators: Coordinators::default(),
            calls: tokio::sync::Mutex::new(()),
            answered: Notify::new(),
        })
    }

    async fn connection(&self, client: &Client) -> Result<Connection> {
        self.coordinators.connection(client, CoordinatorKind::Transaction, &self.id).await
    }

    /// Asks for an identity once.
    async fn identity(
        &self,
        client: &Client,
        had: Option<ProducerIdentity>,
    ) -> Result<(ErrorCode, ProducerIdentity, Protocol)> {
        let connection = self.connection(client).await?;
        coordinator::init_producer_id(&connection, Some(&self.id), self.timeout_ms, had).await
    }

    /// What follows when no answer came: most likely the same again.
    fn unanswered(&self, error: ClientError) -> Next {
        match error.kind() {
            ErrorKind::Retriable => Next::Elsewhere(error),
            // The connection is closed; what was asked may have been done, which is why it is asked again.
            ErrorKind::Corrupt => Next::Elsewhere(error.with_kind(ErrorKind::Retriable)),
            _ => {
                self.state.lock().broken(error.clone());
                Next::Stop(error)
            }
        }
    }

    /// Waits as the next attempt demands; false if none is needed.
    async fn pause(
        &self,
        next: Next,
        retry: &mut Retry<'_>,
        kind: CoordinatorKind,
        key: &str,
    ) -> Result<bool> {
        match next {
            Next::Done => return Ok(false),
            Next::Retry(error) => retry.after(error).await?,
            Next::RetrySoon(error) => retry.soon_after(error).await?,
            Next::Elsewhere(error) => {
                self.coordinators.forget(kind, key);
                retry.after(error).await?;
            }
            Next::Stop(error) => return Err(error),
        }
        Ok(true)
    }

    /// Announces partitions until the coordinator has them, or the transaction is lost.
    pub(super) async fn announce(&self, shared: &Shared, names: &[TopicPartition]) -> Result<()> {
        let client = &shared.client;
        let mut retry = client.retry_for(shared.max_block());
        loop {
            let identity = {
                let state = self.state.lock();
                state.identity().filter(|_| state.goes_on_adding())
            };
            let Some(identity) = identity else {
                return Err(ClientError::invalid("the transaction has ended").must_abort());
            };
            let asked = retry.attempt(async {
                let connection = self.connection(client).await?;
                coordinator::add_partitions(&connection, &self.id, identity, names).await
            });
            let next = match asked.await {
                Ok(codes) => self.state.lock().partitions_answered(&codes),
                Err(error) => self.unanswered(error),
            };
            if !self.pause(next, &mut retry, CoordinatorKind::Transaction, &self.id).await? {
                return Ok(());
            }
        }
    }

    /// Gives offsets to the transaction.
    async fn give_offsets(
        &self,
        shared: &Shared,
        identity: ProducerIdentity,
        group: &GroupMetadata,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Result<()> {
        let client = &shared.client;
        let mut retry = client.retry_for(shared.max_block());
        let protocol = self.state.lock().protocol();
        if protocol == Protocol::Announced {
            let what = format!("adding group {} to the transaction", group.group_id);
            loop {
                let asked = retry.attempt(async {
                    let connection = self.connection(client).await?;
                    coordinator::add_group(&connection, &self.id, identity, &group.group_id).await
                });
                let next = match asked.await {
                    Ok(code) => self.state.lock().offsets_answered(&what, Question::Group, code),
                    Err(error) => self.unanswered(error),
                };
                if !self.pause(next, &mut retry, CoordinatorKind::Transaction, &self.id).await? {
                    break;
                }
            }
        }
        let mut missing = offsets.clone();
        loop {
            let asked = retry.attempt(async {
                self.until(|| self.state.lock().start_group()).await;
                let connection =
                    self.coordinators.connection(client, CoordinatorKind::Group, &group.group_id).await?;
                coordinator::commit_offsets(&connection, protocol, &self.id, identity, group, &missing).await
            });
            let asked = asked.await;
            self.state.lock().group_answered();
            shared.wake.notify_one();
            let next = match asked {
                Ok(codes) => match self.offsets_answered(&codes, &mut missing) {
                    Next::Retry(_) if has_lost_a_partition(client, &codes).await => {
                        // It does not come back for being waited for: what was done is to be done again without.
                        let what = "the transaction's offsets of a partition that is gone";
                        let code = ErrorCode::TRANSACTION_ABORTABLE;
                        self.state.lock().offsets_answered(what, Question::Offsets, code)
                    }
                    next => next,
                },
                Err(error) => self.unanswered(error),
            };
            if !self.pause(next, &mut retry, CoordinatorKind::Group, &group.group_id).await? {
                return Ok(());
            }
        }
    }

    /// Takes out what is done; of the rest, what nothing mends speaks for all.
    fn offsets_answered(
        &self,
        codes: &BTreeMap<TopicPartition, ErrorCode>,
        missing: &mut BTreeMap<TopicPartition, OffsetAndMetadata>,
    ) -> Next {
        let mut state = self.state.lock();
        let mut all = Next::Done;
        for (name, code) in codes {
            let what = format!("the transaction's offset of {name}");
            match state.offsets_answered(&what, Question::Offsets, *code) {
                Next::Done => drop(missing.remove(name)),
                stop @ Next::Stop(_) => return stop,
                next => all = next,
            }
        }
        all
    }

    /// Asks the coordinator for the end until it is settled.
    async fn finish(&self, shared: &Shared) -> Result<()> {
        let client = &shared.client;
        let mut retry = client.retry_for(shared.max_block());
        loop {
            let (request, protocol) = {
                let mut state = self.state.lock();
                (state.next_end_request()?, state.protocol())
            };
            let next = match request {
                None => return Ok(()),
                Some(EndRequest::End { identity, commit }) => {
                    let asked = retry.attempt(async {
                        let connection = self.connection(client).await?;
                        coordinator::end(&connection, protocol, &self.id, identity, commit).await
                    });
                    match asked.await {
                        Ok((code, identity)) => self.state.lock().end_answered(code, identity),
                        Err(error) => self.unanswered(error),
                    }
                }
                Some(EndRequest::Renew(identity)) => {
                    match retry.attempt(self.identity(client, Some(identity))).await {
                        Ok((code, identity, protocol)) => {
                            self.state.lock().identified(code, identity, protocol)
                        }
                        Err(error) => self.unanswered(error),
                    }
                }
            };
            if let Err(error) = self.pause(next, &mut retry, CoordinatorKind::Transaction, &self.id).await {
                let retriable = error.is_retriable();
                return Err(if retriable { self.state.lock().end_unanswered(error) } else { error });
            }
        }
    }

    /// Waits until nothing is on its way any more: a late request must not come behind the end of its transaction.
    async fn quiet(&self, shared: &Shared) {
        let limit = Duration::from_millis(shared.client.config().request_timeout_ms) + QUIET_MARGIN;
        let host = shared.client.host();
        let is_quiet = || shared.accumulator.lock().in_flight() == 0 && !self.state.lock().is_adding();
        if host.timeout(limit, self.until(is_quiet)).await.is_err() {
            self.state.lock().gave_up(true);
        }
    }

    /// Waits until the condition holds; it is asked again after every answer.
    async fn until(&self, mut holds: impl FnMut() -> bool) {
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            if holds() {
                return;
            }
            answered.await;
        }
    }
}

/// By then every connection has given up what was asked.
const QUIET_MARGIN: Duration = Duration::from_secs(1);

impl Shared {
    fn max_block(&self) -> Duration {
        Duration::from_millis(self.config.max_block_ms)
    }

    /// Gives up all batches there are and takes no more, for this reason.
    pub(super) fn abandon(&self, error: &ClientError) {
        let (settled, numbered) = self.accumulator.lock().abandon(self.now(), error);
        if let Some(transactional) = &self.transactional {
            transactional.state.lock().gave_up(numbered);
        }
        self.settle(settled);
    }

    /// If the transaction has failed, gives up what is left of it.
    pub(super) fn abandon_failed(&self) {
        let failure = self.transactional.as_ref().and_then(|one| one.state.lock().failure());
        if let Some(error) = failure {
            self.abandon(&error);
        }
    }
}

/// Whether a partition whose offset was not taken, since the group's coordinator does not know it, is known to nobody: its
/// topic is gone, or was made anew with fewer.
async fn has_lost_a_partition(client: &Client, codes: &BTreeMap<TopicPartition, ErrorCode>) -> bool {
    let unknown = codes.iter().filter(|(_, code)| **code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    let unknown: Vec<&TopicPartition> = unknown.map(|(name, _)| name).collect();
    let topics: BTreeSet<Arc<str>> = unknown.iter().map(|name| Arc::clone(&name.topic)).collect();
    let topics: Vec<Arc<str>> = topics.into_iter().collect();
    if topics.is_empty() {
        return false;
    }
    let asked = client.refresh_topics(&topics, client.host().now(), false);
    let gone = |name: &TopicPartition, metadata: &Metadata| {
        metadata.refusal(&name.topic) == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            || metadata.partition_count(&name.topic).is_some_and(|count| name.partition >= count)
    };
    asked.await.is_ok_and(|metadata| unknown.iter().any(|name| gone(name, &metadata)))
}

impl Producer {
    fn transactional(&self) -> Result<&Transactional> {
        let transactional = self.shared().transactional.as_ref();
        transactional.ok_or_else(|| ClientError::invalid("the producer has no transactional.id"))
    }

    /// Takes the transactional id: whoever had it before is fenced, and what it had begun is ended. To be called first,
    /// and again when the outcome of a commit is unknown and shall no longer change. Waits at most for `max.block.ms`.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer in time; Fenced, if somebody else took the id after this producer
    /// had it; Invalid, without a `transactional.id` or if it is refused.
    pub async fn init_transactions(&self) -> Result<()> {
        let (shared, transactional) = (self.shared(), self.transactional()?);
        let _one_at_a_time = transactional.calls.lock().await;
        transactional.state.lock().claim()?;
        shared.abandon(&not_begun());
        transactional.quiet(shared).await;
        let mut retry = shared.client.retry_for(shared.max_block());
        loop {
            let next = match retry.attempt(transactional.identity(&shared.client, None)).await {
                Ok((code, identity, protocol)) => {
                    transactional.state.lock().identified(code, identity, protocol)
                }
                Err(error) => transactional.unanswered(error),
            };
            let kind = CoordinatorKind::Transaction;
            if !transactional.pause(next, &mut retry, kind, &transactional.id).await? {
                self.take_identity(transactional);
                return Ok(());
            }
        }
    }

    /// Gives the accumulator the identity of the next transaction.
    fn take_identity(&self, transactional: &Transactional) {
        if let Some(identity) = transactional.state.lock().identity() {
            let shared = self.shared();
            shared.accumulator.lock().identify(shared.now(), identity);
        }
    }

    /// Begins a transaction: what is sent from now on belongs to it.
    ///
    /// # Errors
    /// Invalid, before [`Producer::init_transactions`] or while another is not ended; whatever broke the producer.
    pub fn begin_transaction(&self) -> Result<()> {
        let transactional = self.transactional()?;
        transactional.state.lock().begin()?;
        self.shared().accumulator.lock().shut(None);
        Ok(())
    }

    /// Makes offsets of a group, each that of the next record to read, part of the transaction: they are committed when
    /// it is. `group` says on whose behalf; the group refuses them if it has gone on without that member.
    ///
    /// # Errors
    /// Abort, if they are refused or nobody answers within `max.block.ms`; Fenced; Invalid, without a transaction.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: &BTreeMap<TopicPartition, OffsetAndMetadata>,
        group: &GroupMetadata,
    ) -> Result<()> {
        let (shared, transactional) = (self.shared(), self.transactional()?);
        let _one_at_a_time = transactional.calls.lock().await;
        if offsets.is_empty() {
            return transactional.state.lock().check_open();
        }
        let identity = transactional.state.lock().start_offsets()?;
        let outcome = transactional.give_offsets(shared, identity, group, offsets).await;
        let outcome = transactional.state.lock().offsets_ended(outcome);
        shared.abandon_failed();
        outcome
    }

    /// Waits until all that was sent is written, then commits the transaction.
    ///
    /// # Errors
    /// Abort, if something was not written or the coordinator refuses: nothing is committed, and
    /// [`Producer::abort_transaction`] is to be called. OutcomeUnknown, if nobody answered within `max.block.ms`, or a
    /// refusal came after a request that nobody answered: call this again, or [`Producer::init_transactions`]; if that is
    /// Fenced, another producer must take the id before what is committed no longer changes. Fenced; Invalid, without a
    /// transaction.
    pub async fn commit_transaction(&self) -> Result<()> {
        let (shared, transactional) = (self.shared(), self.transactional()?);
        let _one_at_a_time = transactional.calls.lock().await;
        transactional.state.lock().start_end(true)?;
        shared.accumulator.lock().shut(Some(not_begun()));
        if let Err(error) = self.flush().await {
            // Most likely it is known already.
            transactional.state.lock().batch_failed(&error);
        }
        let ended = transactional.finish(shared).await;
        self.after_end(transactional, ended)
    }

    /// Gives up all that was sent in the transaction, and ends it.
    ///
    /// # Errors
    /// Retriable, if the coordinator does not answer within `max.block.ms`: call it again, or
    /// [`Producer::init_transactions`]. Fenced; Invalid, without a transaction, or if a commit was asked for before whose
    /// outcome is not known.
    pub async fn abort_transaction(&self) -> Result<()> {
        let (shared, transactional) = (self.shared(), self.transactional()?);
        let _one_at_a_time = transactional.calls.lock().await;
        transactional.state.lock().start_end(false)?;
        shared.abandon(&ClientError::invalid("the transaction was aborted").with_kind(ErrorKind::Abort));
        transactional.quiet(shared).await;
        let ended = transactional.finish(shared).await;
        self.after_end(transactional, ended)
    }

    fn after_end(&self, transactional: &Transactional, ended: Result<()>) -> Result<()> {
        let shared = self.shared();
        match ended {
            Ok(()) => {
                self.take_identity(transactional);
                shared.accumulator.lock().shut(Some(not_begun()));
            }
            Err(_) => shared.abandon_failed(),
        }
        ended
    }

    /// Aborts what is open, for a producer that closes.
    pub(super) async fn abort_open(&self) {
        let open = self.transactional().is_ok_and(|transactional| transactional.state.lock().is_open());
        if open && let Err(error) = self.abort_transaction().await {
            // Its coordinator does it after `transaction.timeout.ms`.
            tracing::debug!(%error, "the transaction of a closed producer is not aborted");
        }
    }
}

/// Announces partitions beside the sender.
pub(super) async fn announce(shared: &Arc<Shared>, names: &[TopicPartition]) -> Result<()> {
    match &shared.transactional {
        Some(transactional) => transactional.announce(shared, names).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
