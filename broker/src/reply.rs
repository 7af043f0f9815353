//! What a request is answered with, and when: the shape of every handler.
//!
//! A handler is a plain function `handle(node, request, message) -> Reply`. What it must do in the order of the
//! connection (append, change state) it does before it returns; what it must wait for (a sync of the disk, bytes to
//! read, other members) goes into the future of [`Reply::Later`]. The connection hands answers out in the order of the
//! requests, and takes the next request while earlier ones wait, but for one that reads logs. It drops a future whose client
//! is gone, and with it everything the future holds: a parked request needs no other end.
//!
//! ```text
//! fn handle(node: &Arc<Node>, request: &RequestContext<'_>, message: FindCoordinatorRequest<'_>) -> Reply {
//!     ...
//!     request.answer(&FindCoordinatorResponse { .. })                      at once
//!     request.answer_after(appended.durable, &response)                    when a record is durable
//!     let answering = request.answering();                                 when something else has happened
//!     Reply::later(async move { answering.encode(&receiver.await...) })
//! }
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use anabranch_host::Instant;
use anabranch_protocol::{ApiKey, Message, Segments, encode_response};

use crate::config::Endpoint;
use crate::watermark::Durable;

/// An answer that comes later.
pub(crate) type PendingAnswer = Pin<Box<dyn Future<Output = Segments> + Send>>;

/// What comes of one request.
pub(crate) enum Reply {
    /// This answer, now.
    Now(Segments),
    /// An answer when the future is ready. It is dropped if the client hangs up.
    Later(PendingAnswer),
    /// No answer at all: a Produce with acks=0.
    Silent,
    /// The connection is closed after the answers before this one have left; the reason is for the log.
    Close(String),
}

impl Reply {
    /// An answer when `future` is ready.
    pub(crate) fn later(future: impl Future<Output = Segments> + Send + 'static) -> Reply {
        Reply::Later(Box::pin(future))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Now(segments) => write!(f, "Now({} bytes)", segments.len()),
            Reply::Later(_) => f.write_str("Later"),
            Reply::Silent => f.write_str("Silent"),
            Reply::Close(reason) => write!(f, "Close({reason})"),
        }
    }
}

/// What an answer must repeat of its request. Small and `Copy`: a future keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answering {
    /// The API called.
    pub(crate) api_key: ApiKey,
    /// In this version, and so the answer.
    pub(crate) api_version: i16,
    /// The client's number for the request.
    pub(crate) correlation_id: i32,
}

impl Answering {
    /// The frame of an answer.
    pub(crate) fn encode<'r>(self, response: &impl Message<'r>) -> Segments {
        encode_response(self.api_key, self.api_version, self.correlation_id, response)
    }
}

/// What a handler knows of a request besides its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestContext<'a> {
    /// The header's part that the answer repeats.
    pub(crate) answering: Answering,
    /// How the client calls itself.
    pub(crate) client_id: Option<&'a str>,
    /// The other end, for groups and logs: an address, or `in-process`.
    pub(crate) peer: &'a str,
    /// What clients of this listener are told to connect to.
    pub(crate) endpoint: &'a Endpoint,
    /// When the request was read.
    pub(crate) received: Instant,
}

impl RequestContext<'_> {
    /// The version the client speaks.
    pub(crate) fn api_version(&self) -> i16 {
        self.answering.api_version
    }

    /// This answer, now.
    pub(crate) fn answer<'r>(&self, response: &impl Message<'r>) -> Reply {
        Reply::Now(self.answering.encode(response))
    }

    /// This answer when what it tells is durable; `failure` if that will never be known.
    pub(crate) fn answer_after<'r, M: Message<'r>>(
        &self,
        durable: Durable,
        response: &M,
        failure: impl FnOnce() -> M,
    ) -> Reply {
        match durable.outcome() {
            Some(Ok(())) => self.answer(response),
            Some(Err(_)) => self.answer(&failure()),
            None => {
                // Both are encoded now: what they borrow does not outlive the request.
                let (answer, failure) = (self.answering.encode(response), self.answering.encode(&failure()));
                Reply::later(async move { if durable.await.is_ok() { answer } else { failure } })
            }
        }
    }

    /// This answer when all that it tells is durable; `failure` if that will never be known.
    pub(crate) fn answer_after_all<'r, M: Message<'r>>(
        &self,
        durables: impl IntoIterator<Item = Durable>,
        response: &M,
        failure: impl FnOnce() -> M,
    ) -> Reply {
        let mut open = Vec::new();
        for durable in durables {
            match durable.outcome() {
                Some(Ok(())) => {}
                Some(Err(_)) => return self.answer(&failure()),
                None => open.push(durable),
            }
        }
        if open.is_empty() {
            return self.answer(response);
        }
        // Both are encoded now: what they borrow does not outlive the request.
        let (answer, failure) = (self.answering.encode(response), self.answering.encode(&failure()));
        Reply::later(async move {
            for durable in open {
                if durable.await.is_err() {
                    return failure;
                }
            }
            answer
        })
    }

    /// This answer when the metadata it shows is decided.
    pub(crate) fn answer_settled<'r>(&self, durable: Durable, response: &impl Message<'r>) -> Reply {
        if durable.outcome().is_some() {
            return self.answer(response);
        }
        let answer = self.answering.encode(response);
        Reply::later(async move {
            // What cannot be decided any more has been shown by nobody else either; the next change fails by itself.
            let _ = durable.await;
            answer
        })
    }
}
