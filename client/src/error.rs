//! The one error of this crate. Its kind says what the caller must do; its text says what happened, in one line.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anabranch_protocol::ErrorCode;

/// What came back, or a [`ClientError`].
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// What the caller must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The same call may succeed later: a leader moves, a broker is away, a deadline passed. The client has already
    /// retried for as long as its time-outs allow.
    Retriable,
    /// Somebody else has taken this member's or producer's place: give up what was owned and start anew.
    Fenced,
    /// The call can never succeed as it is: change the call, the configuration or the cluster.
    Invalid,
    /// The transaction under way is lost: abort it, and go on with another.
    Abort,
    /// A commit of a transaction was asked for, and nobody said whether it happened: ask again, or take the
    /// transactional id anew, after which nothing can change any more, and look at what is committed.
    OutcomeUnknown,
    /// Bytes from the broker or from a log are not what they must be: stop and look.
    Corrupt,
    /// The client, producer or consumer was closed.
    Closed,
}

/// Why a call failed. Cheap to clone: every record of a failed batch is told the same error.
#[derive(Clone)]
pub struct ClientError(Arc<Detail>);

struct Detail {
    kind: ErrorKind,
    code: Option<ErrorCode>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ClientError {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        ClientError(Arc::new(Detail { kind, code: None, message: message.into(), source: None }))
    }

    /// An error that may go away.
    pub fn retriable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Retriable, message)
    }

    /// An error that says that somebody else took over.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// An error in the call or the configuration.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message)
    }

    /// An error in what was read.
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// A call on something closed.
    pub fn closed(what: &str) -> Self {
        Self::new(ErrorKind::Closed, format!("the {what} is closed"))
    }

    /// `what` did not happen within `after`.
    pub fn timed_out(what: &str, after: Duration) -> Self {
        Self::new(ErrorKind::Retriable, format!("{what}: timed out after {} ms", after.as_millis()))
    }

    /// A broker answered `what` with `code`.
    pub fn from_code(what: &str, code: ErrorCode) -> Self {
        Self::from_code_and_text(what, code, None)
    }

    /// A broker answered `what` with `code` and perhaps a text of its own.
    pub fn from_code_and_text(what: &str, code: ErrorCode, text: Option<&str>) -> Self {
        let message = match text {
            Some(text) if !text.is_empty() => format!("{what}: {code}: {text}"),
            _ => format!("{what}: {code}"),
        };
        ClientError(Arc::new(Detail { kind: kind_of(code), code: Some(code), message, source: None }))
    }

    /// The same error, told as part of a larger one.
    #[must_use]
    pub fn context(self, what: &str) -> Self {
        let (kind, code) = (self.0.kind, self.0.code);
        let message = format!("{what}: {}", self.0.message);
        ClientError(Arc::new(Detail { kind, code, message, source: Some(Box::new(self)) }))
    }

    /// The same error with another kind.
    #[must_use]
    pub(crate) fn with_kind(self, kind: ErrorKind) -> Self {
        let (code, message) = (self.0.code, self.0.message.clone());
        ClientError(Arc::new(Detail { kind, code, message, source: Some(Box::new(self)) }))
    }

    /// The same error with the broker's code that has led to it.
    #[must_use]
    pub(crate) fn with_code(self, code: ErrorCode) -> Self {
        let (kind, message) = (self.0.kind, self.0.message.clone());
        ClientError(Arc::new(Detail { kind, code: Some(code), message, source: None }))
    }

    /// The same error as the reason for which a transaction must be aborted.
    #[must_use]
    pub(crate) fn must_abort(self) -> Self {
        match self.0.kind {
            ErrorKind::Abort => self,
            _ => self.context("the transaction must be aborted").with_kind(ErrorKind::Abort),
        }
    }

    /// The same error as the reason for which nobody knows whether a transaction is committed.
    #[must_use]
    pub(crate) fn outcome_unknown(self) -> Self {
        self.context("the transaction may be committed or not").with_kind(ErrorKind::OutcomeUnknown)
    }

    /// The same error with what caused it.
    pub(crate) fn caused_by(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        ClientError(Arc::new(Detail {
            kind,
            code: None,
            message: message.into(),
            source: Some(Box::new(source)),
        }))
    }

    /// What caused it, if that was an error; the text tells of it too.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }

    /// What the caller must do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The broker's error code, if a broker refused.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.0.kind == ErrorKind::Retriable
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({})", self.0.kind, self.0.message)
    }
}

/// It names no source: its text tells of the cause, and whoever prints an error with its sources would print it twice.
impl StdError for ClientError {}

/// What a broker's code asks of the caller of this crate. The producer and the consumer look at the codes themselves
/// where they can mend more than the caller could.
fn kind_of(code: ErrorCode) -> ErrorKind {
    match code {
        ErrorCode::CORRUPT_MESSAGE => ErrorKind::Corrupt,
        ErrorCode::PRODUCER_FENCED
        | ErrorCode::INVALID_PRODUCER_EPOCH
        | ErrorCode::INVALID_PRODUCER_ID_MAPPING
        | ErrorCode::TRANSACTION_COORDINATOR_FENCED
        | ErrorCode::FENCED_INSTANCE_ID
        | ErrorCode::FENCED_MEMBER_EPOCH
        | ErrorCode::STALE_MEMBER_EPOCH
        | ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::ILLEGAL_GENERATION => ErrorKind::Fenced,
        // Kafka does not count it among the retriable ones, because the caller must poll first.
        ErrorCode::REBALANCE_IN_PROGRESS => ErrorKind::Retriable,
        code if code.is_retriable() => ErrorKind::Retriable,
        _ => ErrorKind::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_tells_what_to_do() {
        let check = |code, kind| assert_eq!(ClientError::from_code("x", code).kind(), kind, "{code}");
        check(ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorKind::Retriable);
        check(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorKind::Retriable);
        check(ErrorCode::REBALANCE_IN_PROGRESS, ErrorKind::Retriable);
        check(ErrorCode::ILLEGAL_GENERATION, ErrorKind::Fenced);
        check(ErrorCode::PRODUCER_FENCED, ErrorKind::Fenced);
        check(ErrorCode::MESSAGE_TOO_LARGE, ErrorKind::Invalid);
        check(ErrorCode::TOPIC_ALREADY_EXISTS, ErrorKind::Invalid);
        check(ErrorCode::CORRUPT_MESSAGE, ErrorKind::Corrupt);
    }

    #[test]
    fn the_text_is_one_line_and_keeps_its_cause() {
        let inner = ClientError::from_code_and_text(
            "creating topic a",
            ErrorCode::TOPIC_ALREADY_EXISTS,
            Some("it is"),
        );
        let outer = inner.context("starting");
        assert_eq!(outer.to_string(), "starting: creating topic a: TOPIC_ALREADY_EXISTS (36): it is");
        assert_eq!(outer.code(), Some(ErrorCode::TOPIC_ALREADY_EXISTS));
        assert!(outer.cause().is_some());
        assert!(outer.source().is_none(), "it would be told twice");
    }
}
