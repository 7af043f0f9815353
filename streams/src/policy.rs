//! What happens to a record that cannot be read, processed or written: errors are values, and so is the answer.

use std::fmt;
use std::sync::Arc;

use crate::headers::Headers;

/// What to do with a record that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Stop: the error ends the task, the record is read again after a restart.
    Fail,
    /// Drop the record at the node where it failed, and count it.
    Skip,
    /// Write the source record, as it was read, to this topic, with Kafka's `__streams.errors.*` headers; then skip it.
    DeadLetter(Arc<str>),
}

/// Stop at the first record that fails: Kafka's default.
#[must_use]
pub fn fail() -> OnError {
    OnError::Fail
}

/// Drop records that fail.
#[must_use]
pub fn skip() -> OnError {
    OnError::Skip
}

/// Write records that fail to `topic` and go on.
#[must_use]
pub fn dead_letter(topic: impl Into<String>) -> OnError {
    OnError::DeadLetter(topic.into().into())
}

/// A record that failed: what an error policy looks at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RecordError {
    /// What is wrong.
    pub message: String,
    /// The node where it failed.
    pub node: Arc<str>,
    /// Topic of the source record.
    pub topic: Arc<str>,
    /// Partition of the source record; -1 if there is none (a flush, a punctuation).
    pub partition: i32,
    /// Offset of the source record; -1 if there is none.
    pub offset: i64,
    /// Time of the record at that node.
    pub timestamp: i64,
    /// Headers of the source record.
    pub headers: Headers,
}

/// An error policy: looks at the failed record and says what to do.
#[derive(Clone)]
pub struct ErrorPolicy(Arc<dyn Fn(&RecordError) -> OnError + Send + Sync>);

impl ErrorPolicy {
    /// A policy that looks at the record.
    pub fn with(policy: impl Fn(&RecordError) -> OnError + Send + Sync + 'static) -> Self {
        ErrorPolicy(Arc::new(policy))
    }

    /// What to do with this record.
    #[must_use]
    pub fn answer(&self, error: &RecordError) -> OnError {
        (self.0)(error)
    }
}

impl From<OnError> for ErrorPolicy {
    fn from(answer: OnError) -> Self {
        ErrorPolicy::with(move |_| answer.clone())
    }
}

impl fmt::Debug for ErrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorPolicy(..)")
    }
}
