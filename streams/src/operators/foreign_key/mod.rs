//! Joins of tables by a key inside the left row, over two topics.
//!
//! ```text
//! left table ─▶ subscribe ─▶ (subscriptions) ─▶ receive ─▶ answer ─┐
//!      ▲                                           │ store          ├─▶ (responses) ─▶ resolve ─▶ result
//!      │                                           ▼                │        │
//!      │                 right table ─────────▶ fan_out ────────────┘        │
//!      └─────────────────────── looked up by ────────────────────────────────┘
//! ```
//!
//! Left and right rows lie in different tasks, so each left row *subscribes* at its foreign key's task, which answers with
//! the right row, now and whenever that changes. An answer carries the hash of the left value that it was asked for: if
//! the left row has changed since, the answer is stale, and the answer to the later subscription counts.
//!
//! Bytes on the topics and in the store are Kafka Streams' (4.3). Reading order: `value_hash`, `codec`, `subscription`,
//! `response`, then the operators in the order above.

mod answer;
mod codec;
mod fan_out;
mod receive;
mod resolve;
mod response;
mod subscribe;
mod subscription;
mod value_hash;

pub(crate) use answer::Answer;
pub(crate) use codec::Codec;
pub(crate) use fan_out::FanOut;
pub(crate) use receive::Receive;
pub(crate) use resolve::Resolve;
pub(crate) use response::{Response, ResponseSerde};
pub(crate) use subscribe::Subscribe;
pub(crate) use subscription::{Subscription, SubscriptionSerde};
