//! What a task gives its nodes while a record passes through them.

use std::sync::Arc;

use super::{Memos, Punctuations};
use crate::error::{Error, ErrorKind, Result};
use crate::headers::{Headers, HeadersRef};
use crate::outbox::{OutRecord, OutTopics, Outbox};
use crate::policy::{ErrorPolicy, OnError, RecordError};
use crate::record::RecordMetadata;
use crate::state::{Stores, WriteContext};

/// What a node meets: the record's origin, the outbox, and the task.
pub(crate) struct Context<'c> {
    pub(crate) outbox: &'c mut dyn Outbox,
    pub(crate) origin: Origin<'c>,
    pub(crate) state: &'c mut TaskState,
}

/// Where the record that is being processed came from, and its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'c> {
    /// `None`: no record is being processed, but a punctuation.
    pub(crate) topic: Option<&'c Arc<str>>,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<&'c [u8]>,
    pub(crate) value: Option<&'c [u8]>,
    /// Encoded, see [`crate::headers`].
    pub(crate) headers: &'c [u8],
}

impl Origin<'_> {
    /// No record is being processed.
    pub(crate) const fn none() -> Self {
        Origin { topic: None, partition: -1, offset: -1, key: None, value: None, headers: &[] }
    }

    fn topic_name(&self) -> Arc<str> {
        self.topic.map_or_else(|| "".into(), Arc::clone)
    }

    pub(crate) fn metadata(&self) -> RecordMetadata {
        RecordMetadata { topic: self.topic_name(), partition: self.partition, offset: self.offset }
    }
}

/// The part of a task that its nodes share.
pub(crate) struct TaskState {
    /// The highest time of the records picked so far; -1 at first.
    pub(crate) stream_time: i64,
    /// What the wall clock showed when the round began.
    pub(crate) wall_clock_ms: i64,
    pub(crate) topics: OutTopics,
    pub(crate) policies: Policies,
    pub(crate) drops: Drops,
    pub(crate) memos: Memos,
    pub(crate) stores: Stores,
    pub(crate) punctuations: Punctuations,
    /// A processor asks for a commit soon.
    pub(crate) commit_requested: bool,
    /// How often results that come when a window closes are looked for, by the wall clock.
    pub(crate) emit_interval_ms: i64,
    /// The partition of the task, and so of its changelogs.
    pub(crate) partition: i32,
}

/// Whose failure it is: it decides which of the application's policies answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A source could not read the record.
    Read,
    /// A closure or processor failed.
    Process,
    /// A sink could not write the record.
    Write,
}

/// The application's error policies.
#[derive(Clone, Debug)]
pub(crate) struct Policies {
    pub(crate) read: ErrorPolicy,
    pub(crate) process: ErrorPolicy,
    pub(crate) write: ErrorPolicy,
}

impl Policies {
    /// The same answer to all failures.
    pub(crate) fn all(answer: OnError) -> Self {
        let policy = ErrorPolicy::from(answer);
        Policies { read: policy.clone(), process: policy.clone(), write: policy }
    }
}

/// Why a record went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// Its key is null where an operator needs one.
    NullKey,
    /// Its value is null where an operator needs one.
    NullValue,
    /// Its time is negative.
    NegativeTimestamp,
    /// It came after its window had closed.
    Late,
    /// It answers a question about a row that has changed since.
    Stale,
    /// It failed, and the error policy said to go on.
    Failed,
}

impl DropReason {
    pub(crate) const ALL: [DropReason; 6] = [
        DropReason::NullKey,
        DropReason::NullValue,
        DropReason::NegativeTimestamp,
        DropReason::Late,
        DropReason::Stale,
        DropReason::Failed,
    ];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            DropReason::NullKey => "null_key",
            DropReason::NullValue => "null_value",
            DropReason::NegativeTimestamp => "negative_timestamp",
            DropReason::Late => "late",
            DropReason::Stale => "stale",
            DropReason::Failed => "failed",
        }
    }
}

/// How many records were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    /// How many more than in an earlier count.
    pub(crate) fn since(&self, earlier: &Drops) -> Drops {
        let mut more = *self;
        more.0.iter_mut().zip(earlier.0).for_each(|(count, before)| *count = count.saturating_sub(before));
        more
    }

    /// How many for this reason.
    pub(crate) fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many in all.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Context<'_> {
    /// The task's stores, and what a write to one is told while a record of this time and these headers is processed.
    #[inline]
    pub(crate) fn stores<'a>(
        &'a mut self,
        timestamp: i64,
        headers: &'a [u8],
    ) -> (&'a mut Stores, WriteContext<'a>) {
        let write = WriteContext {
            outbox: &mut *self.outbox,
            task_partition: self.state.partition,
            timestamp,
            headers,
            topic: self.origin.topic,
            partition: self.origin.partition,
            offset: self.origin.offset,
        };
        (&mut self.state.stores, write)
    }

    /// Counts a record that an operator drops by its semantics.
    #[inline]
    pub(crate) fn drop_record(&mut self, reason: DropReason) {
        self.state.drops.count(reason);
    }

    /// Answers the failure of a node: a record error is given to the policy, any other is passed on.
    #[cold]
    pub(crate) fn settle(
        &mut self,
        error: Error,
        node: &Arc<str>,
        stage: Stage,
        own: Option<&OnError>,
        timestamp: i64,
    ) -> Result<()> {
        if error.kind() != ErrorKind::Record {
            return Err(error);
        }
        let failed = RecordError {
            message: error.to_string(),
            node: Arc::clone(node),
            topic: self.origin.topic_name(),
            partition: self.origin.partition,
            offset: self.origin.offset,
            timestamp,
            headers: Headers::from_encoded(bytes::Bytes::copy_from_slice(self.origin.headers)),
        };
        let answer = own.cloned().unwrap_or_else(|| {
            let policies = &self.state.policies;
            match stage {
                Stage::Read => policies.read.answer(&failed),
                Stage::Process => policies.process.answer(&failed),
                Stage::Write => policies.write.answer(&failed),
            }
        });
        match answer {
            OnError::Fail => {
                let RecordError { topic, partition, offset, .. } = failed;
                Err(error.reworded(
                    ErrorKind::Fatal,
                    format_args!("node `{node}`, record {topic}-{partition}@{offset}"),
                ))
            }
            OnError::Skip => {
                tracing::warn!(%node, %error, topic = %failed.topic, offset = failed.offset, "record skipped");
                self.drop_record(DropReason::Failed);
                Ok(())
            }
            OnError::DeadLetter(topic) => {
                self.dead_letter(&topic, &failed)?;
                self.drop_record(DropReason::Failed);
                Ok(())
            }
        }
    }

    /// Writes the source record as it was read, with Kafka's headers (KIP-1034).
    fn dead_letter(&mut self, topic: &str, failed: &RecordError) -> Result<()> {
        let (partition, offset) = (failed.partition.to_string(), failed.offset.to_string());
        let place = format!("at node {}", failed.node);
        let added: [(&str, &str); 6] = [
            ("__streams.errors.exception", std::any::type_name::<Error>()),
            ("__streams.errors.message", &failed.message),
            ("__streams.errors.stacktrace", &place),
            ("__streams.errors.topic", &failed.topic),
            ("__streams.errors.partition", &partition),
            ("__streams.errors.offset", &offset),
        ];
        let added = added.iter().map(|(key, value)| (*key, Some(value.as_bytes())));
        let headers: Headers = HeadersRef(self.origin.headers).iter().chain(added).collect();
        let record = OutRecord {
            key: self.origin.key,
            value: self.origin.value,
            timestamp: Some(failed.timestamp.max(0)),
            headers: headers.encoded(),
        };
        let topic = self.state.topics.intern(topic);
        let written = match self.outbox.append(topic, None, record) {
            Err(error) if error.kind() == ErrorKind::Record && record.value.is_some() => {
                tracing::error!(
                    topic = %failed.topic, partition, offset, %error,
                    "a dead letter is written without the value of its record, which is where its headers say"
                );
                self.outbox.append(topic, None, OutRecord { value: None, ..record })
            }
            written => written,
        };
        written.map_err(|error| match error.kind() {
            // A dead letter that cannot be written has nowhere to go.
            ErrorKind::Record => {
                error.reworded(ErrorKind::Fatal, format_args!("dead letter topic `{}`", topic.name))
            }
            _ => error,
        })
    }
}
