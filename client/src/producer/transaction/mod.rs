//! Where a transactional producer stands, what it asks its coordinators next, and what their answers lead to. Pure:
//! `transactional` carries the requests, the sender asks here before it writes.
//!
//! ```text
//!   Outside --identity--> Ready --begin--> Open --commit, abort--> Ending --> Ready
//!      ^                                    |                        |
//!      |                          something fails:            no answer: ask again,
//!      |                          only abort is left          or init_transactions
//!      +------------- init_transactions, from everywhere but Fenced -+
//! ```
//! Two protocols differ in how partitions and epochs come into a transaction:
//! - [`Protocol::Announced`] (transaction.version 0 and 1): the client adds each partition before it writes there, and
//!   the group before its offsets. The epoch stays from one transaction to the next, so late requests of one would count
//!   for the next: after an abort that gave up batches, and after an end that was asked for and not answered the first
//!   time, the producer takes a new epoch.
//! - [`Protocol::Implicit`] (KIP-890, transaction.version 2): leaders and group coordinators add what they are sent, and
//!   each end of a transaction gives the producer a new epoch. A broker of Kafka asks the coordinator for one request of a
//!   producer at a time, and answers NETWORK_EXCEPTION to an older one that still waits for its turn. So to each leader one
//!   request at a time goes that brings new partitions, and none while offsets bring the group; partitions that have joined
//!   are not held up.
//!
//! A refusal of a commit says that it did not happen only if every request for it was answered: one whose answer was lost
//! may have been carried out, and the state that refuses the next may have come after it.

mod answer;

use std::collections::{BTreeMap, BTreeSet};

use anabranch_protocol::ErrorCode;

pub(super) use answer::Question;
use answer::{Meaning, meaning};

use super::partition_queue::ProducerIdentity;
use crate::error::{ClientError, ErrorKind, Result};
use crate::topic_partition::TopicPartition;

/// How partitions come into a transaction. See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The client adds them.
    #[default]
    Announced,
    /// Whoever writes adds them.
    Implicit,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Without an identity.
    Outside,
    /// Between transactions.
    Ready,
    /// In a transaction.
    Open,
    /// At the end of one; `asked` tells that the coordinator may know.
    Ending { commit: bool, asked: bool, doubt: Doubt },
    /// The transaction is at its end, but the producer needs a new epoch.
    Renewing { commit: bool },
    /// The producer can never go on as it is.
    Broken(ClientError),
}

/// What is not known of the requests for an end.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// One is on its way.
    awaits: bool,
    /// One was never answered: it may have been carried out, or yet be.
    lost: bool,
}

/// What to ask the coordinator next to end a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndRequest {
    /// To end it.
    End { identity: ProducerIdentity, commit: bool },
    /// For a new epoch.
    Renew(ProducerIdentity),
}

/// What follows from an answer.
#[derive(Clone, Debug)]
pub(super) enum Next {
    /// It is done.
    Done,
    /// The same again, after the usual pause.
    Retry(ClientError),
    /// The same again, after a short pause.
    RetrySoon(ClientError),
    /// The same again, of whoever coordinates now.
    Elsewhere(ClientError),
    /// Nothing more; the caller is told.
    Stop(ClientError),
}

/// The producer's transaction. See the module.
#[derive(Debug)]
pub(super) struct Transaction {
    phase: Phase,
    protocol: Protocol,
    identity: Option<ProducerIdentity>,
    /// What is written to, and may be.
    partitions: BTreeSet<TopicPartition>,
    /// What must be announced before.
    to_add: BTreeSet<TopicPartition>,
    /// What each leader is adding: the new partitions of the one request that it has.
    joining: BTreeMap<i32, BTreeSet<TopicPartition>>,
    /// The group's coordinator is adding the group.
    group_joins: bool,
    /// Partitions are being announced.
    adding: bool,
    /// The coordinator knows of it, and perhaps knows of it.
    begun: bool,
    may_have_begun: bool,
    /// Offsets are on their way; set for good if the caller does not wait for their answer.
    sending_offsets: bool,
    /// Why it can only be aborted.
    failure: Option<ClientError>,
    /// Requests were given up that may still arrive.
    gave_up: bool,
}

impl Transaction {
    pub(super) fn new() -> Self {
        Transaction {
            phase: Phase::Outside,
            protocol: Protocol::default(),
            identity: None,
            partitions: BTreeSet::new(),
            to_add: BTreeSet::new(),
            joining: BTreeMap::new(),
            group_joins: false,
            adding: false,
            begun: false,
            may_have_begun: false,
            sending_offsets: false,
            failure: None,
            gave_up: false,
        }
    }

    /// The protocol that the coordinator speaks.
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Who the producer is.
    pub(super) fn identity(&self) -> Option<ProducerIdentity> {
        self.identity
    }

    fn clear(&mut self) {
        self.partitions.clear();
        self.to_add.clear();
        self.joining.clear();
        self.group_joins = false;
        self.begun = false;
        self.may_have_begun = false;
        self.sending_offsets = false;
        self.failure = None;
        self.gave_up = false;
    }

    /// Whether the transactional id may be claimed.
    ///
    /// # Errors
    /// Fenced, if somebody else has claimed it after this producer.
    pub(super) fn claim(&mut self) -> Result<()> {
        if let Phase::Broken(error) = &self.phase
            && error.kind() == ErrorKind::Fenced
        {
            return Err(error.clone());
        }
        self.phase = Phase::Outside;
        self.identity = None;
        self.clear();
        Ok(())
    }

    /// The answer to a claim, or to the wish for a new epoch.
    pub(super) fn identified(
        &mut self,
        code: ErrorCode,
        identity: ProducerIdentity,
        protocol: Protocol,
    ) -> Next {
        let next = self.take("asking for a producer id", Question::Identity, code);
        if matches!(next, Next::Done) {
            self.phase = Phase::Ready;
            self.identity = Some(identity);
            self.protocol = protocol;
            self.clear();
        }
        next
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Invalid, if it is not the time; whatever broke the producer.
    pub(super) fn begin(&mut self) -> Result<()> {
        match &self.phase {
            Phase::Ready => {
                self.phase = Phase::Open;
                Ok(())
            }
            Phase::Broken(error) => Err(error.clone()),
            Phase::Outside => Err(ClientError::invalid("call init_transactions before begin_transaction")),
            Phase::Open => Err(ClientError::invalid("a transaction is under way already")),
            Phase::Ending { .. } | Phase::Renewing { .. } => Err(not_ended()),
        }
    }

    /// Whether something can be added to the transaction.
    ///
    /// # Errors
    /// Why not: Abort, if it has failed; Invalid, if there is none.
    pub(super) fn check_open(&self) -> Result<()> {
        match &self.phase {
            Phase::Open => self.check_good(),
            Phase::Broken(error) => Err(error.clone()),
            Phase::Outside | Phase::Ready => Err(not_begun()),
            Phase::Ending { .. } | Phase::Renewing { .. } => Err(not_ended()),
        }
    }

    /// Whether there is a transaction that nobody has asked to commit.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Ending { asked: false, .. })
    }

    fn check_good(&self) -> Result<()> {
        match &self.failure {
            Some(error) => Err(error.clone().must_abort()),
            None if self.sending_offsets => {
                Err(ClientError::invalid("offsets are still on their way to the transaction").must_abort())
            }
            None => Ok(()),
        }
    }

    /// Whether the transaction can only be aborted, or the producer not go on at all.
    pub(super) fn failure(&self) -> Option<ClientError> {
        match &self.phase {
            Phase::Broken(error) => Some(error.clone()),
            _ => self.failure.clone().map(ClientError::must_abort),
        }
    }

    /// A batch was not written.
    pub(super) fn batch_failed(&mut self, error: &ClientError) {
        self.gave_up = true;
        if error.kind() == ErrorKind::Fenced {
            self.phase = Phase::Broken(error.clone());
        } else if matches!(self.phase, Phase::Open | Phase::Ending { commit: true, asked: false, .. }) {
            self.failure.get_or_insert_with(|| error.clone());
        }
    }

    /// Whether the sender may write to a partition of this leader now; notes what must be announced before.
    pub(super) fn admits(&mut self, name: &TopicPartition, leader: i32) -> bool {
        if !matches!(self.phase, Phase::Open | Phase::Ending { commit: true, asked: false, .. }) {
            return false;
        }
        if self.partitions.contains(name) {
            return true;
        }
        match self.protocol {
            Protocol::Implicit => {
                self.may_have_begun = true;
                !self.group_joins && !self.joining.contains_key(&leader)
            }
            Protocol::Announced => {
                self.to_add.insert(name.clone());
                false
            }
        }
    }

    /// A leader is sent a batch for each of these.
    pub(super) fn sent<'n>(&mut self, leader: i32, names: impl Iterator<Item = &'n TopicPartition>) {
        if self.protocol == Protocol::Implicit {
            let new: BTreeSet<TopicPartition> =
                names.filter(|name| !self.partitions.contains(name)).cloned().collect();
            if !new.is_empty() {
                self.joining.insert(leader, new);
            }
        }
    }

    /// A leader has answered about a batch, or will not.
    pub(super) fn answered(&mut self, leader: i32, name: &TopicPartition, is_written: bool) {
        let Some(joining) = self.joining.get_mut(&leader) else { return };
        if joining.remove(name) && is_written {
            self.partitions.insert(name.clone());
        }
        if joining.is_empty() {
            self.joining.remove(&leader);
        }
    }

    /// Begins to ask the group's coordinator, unless new partitions must have their answer first.
    pub(super) fn start_group(&mut self) -> bool {
        self.group_joins = self.protocol == Protocol::Implicit && self.joining.is_empty();
        self.group_joins || self.protocol == Protocol::Announced
    }

    /// The group's coordinator has answered.
    pub(super) fn group_answered(&mut self) {
        self.group_joins = false;
    }

    /// The partitions to announce, if there are some and none are on their way.
    pub(super) fn start_adding(&mut self) -> Option<Vec<TopicPartition>> {
        if self.adding || self.to_add.is_empty() || self.failure.is_some() {
            return None;
        }
        self.adding = true;
        self.may_have_begun = true;
        Some(std::mem::take(&mut self.to_add).into_iter().collect())
    }

    /// Whether it is still worth while to announce them.
    pub(super) fn goes_on_adding(&self) -> bool {
        self.failure.is_none() && matches!(self.phase, Phase::Open | Phase::Ending { commit: true, .. })
    }

    /// The answer about announced partitions.
    pub(super) fn partitions_answered(&mut self, codes: &BTreeMap<TopicPartition, ErrorCode>) -> Next {
        let mut next = Next::Done;
        for (name, code) in codes {
            // All are taken or none; that some were not tried means nothing beside the reason.
            if *code == ErrorCode::OPERATION_NOT_ATTEMPTED && codes.values().any(|other| other != code) {
                continue;
            }
            let what = format!("adding {name} to the transaction");
            let this = self.take(&what, Question::Partitions, *code);
            if !matches!(this, Next::Done) {
                next = this;
            }
            if matches!(next, Next::Stop(_)) {
                return next;
            }
        }
        if matches!(next, Next::Done) {
            self.begun = true;
            // They were asked for again meanwhile.
            self.to_add.retain(|name| !codes.contains_key(name));
            self.partitions.extend(codes.keys().cloned());
        }
        next
    }

    /// Partitions are no longer on their way; `error` tells that they were given up.
    pub(super) fn adding_ended(&mut self, error: Option<&ClientError>) {
        self.adding = false;
        if let Some(error) = error {
            self.batch_failed(error);
        }
    }

    /// Whether partitions are on their way.
    pub(super) fn is_adding(&self) -> bool {
        self.adding
    }

    /// Begins to send offsets.
    ///
    /// # Errors
    /// Abort, if the transaction has failed; Invalid, if there is none.
    pub(super) fn start_offsets(&mut self) -> Result<ProducerIdentity> {
        self.check_open()?;
        let identity =
            self.identity.ok_or_else(|| ClientError::invalid("call init_transactions before all else"))?;
        self.may_have_begun = true;
        self.sending_offsets = true;
        Ok(identity)
    }

    /// The answer of the coordinator to the wish to add a group, or of the group's about one offset.
    pub(super) fn offsets_answered(&mut self, what: &str, question: Question, code: ErrorCode) -> Next {
        let next = self.take(what, question, code);
        self.begun |= matches!(next, Next::Done);
        next
    }

    /// Offsets are part of the transaction, or it has failed.
    pub(super) fn offsets_ended(&mut self, outcome: Result<()>) -> Result<()> {
        self.sending_offsets = false;
        outcome.map_err(|error| {
            if let Phase::Broken(error) = &self.phase {
                return error.clone();
            }
            self.gave_up = true;
            self.failure.get_or_insert_with(|| error.clone());
            error.must_abort()
        })
    }

    /// Begins to end the transaction: nothing can be added to it any more.
    ///
    /// # Errors
    /// Abort, if it cannot be committed; Invalid, if there is none, or if a commit is asked for already and the
    /// transaction cannot be aborted any more.
    pub(super) fn start_end(&mut self, commit: bool) -> Result<()> {
        match &self.phase {
            Phase::Open => {
                if commit {
                    self.check_good()?;
                }
                self.phase = Phase::Ending { commit, asked: false, doubt: Doubt::default() };
                Ok(())
            }
            Phase::Ending { commit: before, .. } | Phase::Renewing { commit: before }
                if *before == commit =>
            {
                Ok(())
            }
            Phase::Ending { commit: true, asked: false, .. } => {
                self.phase = Phase::Ending { commit: false, asked: false, doubt: Doubt::default() };
                Ok(())
            }
            Phase::Ending { commit: true, .. } | Phase::Renewing { commit: true } => {
                Err(ClientError::invalid(
                    "a commit was asked for: commit again, or call init_transactions and look at what is committed",
                ))
            }
            Phase::Ending { .. } | Phase::Renewing { .. } => Err(not_ended()),
            Phase::Broken(error) => Err(error.clone()),
            Phase::Outside | Phase::Ready => Err(not_begun()),
        }
    }

    /// What was not written, if anything, is given up; nothing of it is on its way any more.
    pub(super) fn gave_up(&mut self, anything: bool) {
        self.gave_up |= anything;
    }

    /// What to ask next, nothing when the transaction is at its end.
    ///
    /// # Errors
    /// Abort, if it was to be committed and cannot be.
    pub(super) fn next_end_request(&mut self) -> Result<Option<EndRequest>> {
        if let Phase::Ending { commit: true, asked: false, .. } = self.phase {
            self.check_good()?;
        }
        let Some(identity) = self.identity else { return Ok(None) };
        match &mut self.phase {
            Phase::Ending { commit, asked, doubt } => {
                let commit = *commit;
                if !self.may_have_begun {
                    // The coordinator has never heard of it.
                    self.end();
                    return Ok(None);
                }
                *asked = true;
                doubt.lost |= std::mem::replace(&mut doubt.awaits, true);
                Ok(Some(EndRequest::End { identity, commit }))
            }
            Phase::Renewing { .. } => Ok(Some(EndRequest::Renew(identity))),
            Phase::Broken(error) => Err(error.clone()),
            Phase::Outside | Phase::Ready | Phase::Open => Ok(None),
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Ready;
        self.clear();
    }

    /// The answer to an [`EndRequest::End`]. With the implicit protocol it brings the next identity.
    pub(super) fn end_answered(&mut self, code: ErrorCode, identity: Option<ProducerIdentity>) -> Next {
        let Phase::Ending { commit, doubt, .. } = &mut self.phase else { return Next::Done };
        doubt.awaits = false;
        let (commit, may_come_late) = (*commit, doubt.lost);
        let what = if commit { "committing the transaction" } else { "aborting the transaction" };
        if code == ErrorCode::INVALID_TXN_STATE && !commit && !self.begun {
            // What was to begin it never arrived.
            self.phase = Phase::Renewing { commit };
            return Next::Done;
        }
        let next = self.take(what, Question::End, code);
        if matches!(next, Next::Done) {
            match (self.protocol, identity) {
                (Protocol::Implicit, Some(identity)) => {
                    self.identity = Some(identity);
                    self.end();
                }
                // Late requests of this transaction must not count for the next.
                _ if self.gave_up || may_come_late => self.phase = Phase::Renewing { commit },
                _ => self.end(),
            }
        }
        next
    }

    /// Nobody answered in time. The error for the caller.
    pub(super) fn end_unanswered(&self, error: ClientError) -> ClientError {
        match self.phase {
            Phase::Ending { commit: true, asked: true, .. } | Phase::Renewing { commit: true } => {
                error.outcome_unknown()
            }
            _ => error,
        }
    }

    /// Whether the transaction may be committed, whatever an answer says now.
    fn may_be_committed(&self) -> bool {
        match self.phase {
            Phase::Ending { commit, doubt, .. } => commit && doubt.lost,
            Phase::Renewing { commit } => commit,
            _ => false,
        }
    }

    /// The producer cannot go on.
    pub(super) fn broken(&mut self, error: ClientError) {
        self.phase = Phase::Broken(error);
    }

    /// What an answer means; a bad one changes the phase.
    fn take(&mut self, what: &str, question: Question, code: ErrorCode) -> Next {
        let error = || ClientError::from_code(what, code);
        let in_doubt = self.may_be_committed();
        let told = |error: ClientError| if in_doubt { error.outcome_unknown() } else { error };
        match meaning(question, code) {
            Meaning::Done => Next::Done,
            Meaning::Retry => Next::Retry(error()),
            Meaning::RetrySoon => Next::RetrySoon(error()),
            Meaning::Elsewhere => Next::Elsewhere(error()),
            Meaning::Abort => {
                let error = error();
                self.failure.get_or_insert_with(|| error.clone());
                if in_doubt {
                    return Next::Stop(told(error));
                }
                if let Phase::Ending { commit: true, .. } = self.phase {
                    // The coordinator has refused, so it is not committed.
                    self.phase = Phase::Ending { commit: true, asked: false, doubt: Doubt::default() };
                }
                Next::Stop(error.must_abort())
            }
            Meaning::Fenced => {
                let error = error().with_kind(ErrorKind::Fenced);
                self.phase = Phase::Broken(error.clone());
                Next::Stop(told(error))
            }
            Meaning::Fatal => {
                self.phase = Phase::Broken(error());
                Next::Stop(told(error()))
            }
        }
    }
}

/// Why nothing can be done outside of a transaction.
pub(super) fn not_begun() -> ClientError {
    ClientError::invalid("no transaction is under way")
}

fn not_ended() -> ClientError {
    ClientError::invalid("the end of the transaction before is not settled: ask for it again")
}

#[cfg(test)]
mod tests;
