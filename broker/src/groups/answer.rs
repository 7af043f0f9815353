//! Answers that leave when what they tell is durable.
//!
//! Nobody waits for ever: when that takes longer than `offsets.commit.timeout.ms`, or will never be known, the client is
//! told to look for its coordinator again. What it asked for may have been done all the same, as after a lost answer.

use std::time::Duration;

use anabranch_host::Host;
use anabranch_protocol::{ErrorCode, Message};
use tokio::sync::oneshot;

use super::Groups;
use crate::coordinator::group::effects::Reply as GroupReply;
use crate::reply::{Reply, RequestContext};
use crate::watermark::Durable;

/// The answer to a parked request, some day. Dropping it is fine: nobody is told then.
#[derive(Debug)]
pub(crate) struct Parked {
    receiver: oneshot::Receiver<(GroupReply, Durable)>,
    patience: Patience,
}

/// How long durability is waited for.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    host: Host,
    limit: Duration,
}

impl Patience {
    pub(super) fn new(host: Host, limit_ms: i32) -> Patience {
        Patience { host, limit: Duration::from_millis(u64::try_from(limit_ms).unwrap_or(0)) }
    }

    /// Whether all of these are durable in time.
    async fn wait(&self, durables: impl IntoIterator<Item = Durable>) -> bool {
        let all = async {
            for durable in durables {
                if durable.await.is_err() {
                    return false;
                }
            }
            true
        };
        self.host.timeout(self.limit, all).await.unwrap_or(false)
    }
}

impl Parked {
    pub(super) fn new(receiver: oneshot::Receiver<(GroupReply, Durable)>, patience: Patience) -> Parked {
        Parked { receiver, patience }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// NOT_COORDINATOR if what it would tell was lost, or is not known to be kept.
    pub(crate) async fn answer(self) -> Result<GroupReply, ErrorCode> {
        let (reply, durable) = self.receiver.await.map_err(|_| ErrorCode::NOT_COORDINATOR)?;
        if durable.outcome() == Some(Ok(())) || self.patience.wait([durable]).await {
            Ok(reply)
        } else {
            Err(ErrorCode::NOT_COORDINATOR)
        }
    }
}

impl Groups {
    /// `response` when all that it tells is durable, `failure` if that is not known in time.
    pub(crate) fn answer<'r, M: Message<'r>>(
        &self,
        request: &RequestContext<'_>,
        durables: impl IntoIterator<Item = Durable>,
        response: &M,
        failure: impl FnOnce() -> M,
    ) -> Reply {
        let mut open = durables.into_iter().filter(|durable| durable.outcome() != Some(Ok(()))).peekable();
        if open.peek().is_none() {
            return request.answer(response);
        }
        let open: Vec<Durable> = open.collect();
        // Both are encoded now: what they borrow does not outlive the request.
        let (answer, failure) = (request.answering.encode(response), request.answering.encode(&failure()));
        let patience = self.patience.clone();
        Reply::later(async move { if patience.wait(open).await { answer } else { failure } })
    }
}
