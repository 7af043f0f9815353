//! Administration. Every call retries what may pass for `default.api.timeout.ms`; what a broker says of one topic or
//! partition is that one's own result.
//!
//! Reading order: [`topics`], [`records`], [`configs`], [`offsets`], [`groups`], [`reset`], [`transactions`];
//! [`cluster`], [`replicas`], [`log_dirs`]; [`acls`], [`quotas`], [`scram`].

pub mod acls;
pub mod cluster;
pub mod configs;
pub mod groups;
pub mod log_dirs;
pub mod offsets;
pub mod quotas;
pub mod records;
pub mod replicas;
pub mod reset;
pub mod scram;
pub mod topics;
pub mod transactions;

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anabranch_protocol::ErrorCode;

use crate::cluster::Client;
use crate::error::{ClientError, Result};
use crate::retry::Retry;

/// Administers a cluster; made by [`Client::admin`]. Cheap to clone.
///
/// ```
/// use anabranch_client::NewTopic;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (host, runtime) = anabranch_host::Host::real(1)?;
/// # runtime.block_on(async {
/// # let config = anabranch_broker::BrokerConfig::from_pairs([("auto.create.topics.enable", "true")])?;
/// # let broker = anabranch_broker::embedded::EmbeddedBroker::start(host.clone(), config).await?;
/// # let client = anabranch_client::Client::connect(&host, broker.dialer(), Default::default()).await?;
/// let admin = client.admin();
/// let clicks = NewTopic::new("clicks", 3).config("cleanup.policy", "compact");
/// for (topic, created) in admin.create_topics(&[clicks]).await? {
///     println!("{topic}: {} partitions", created?.partitions);
/// }
/// for (topic, described) in admin.describe_topics(&["clicks"]).await? {
///     assert_eq!((topic.as_str(), described?.partitions.len()), ("clicks", 3));
/// }
/// admin.delete_topics(&["clicks"]).await?.remove("clicks").expect("it was named")?;
/// # broker.shutdown().await;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client,
}

impl Client {
    /// The means to administer the cluster.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin { client: self.clone() }
    }
}

impl Admin {
    /// How long a broker may take over a change.
    fn broker_timeout_ms(&self) -> i32 {
        i32::try_from(self.client.config().request_timeout_ms).unwrap_or(i32::MAX)
    }

    /// Attempts until one succeeds, or nothing mends it: nor will a topic come by waiting that is not there.
    async fn until_done<T, F>(&self, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut retry = self.client.retry();
        loop {
            match retry.attempt(attempt()).await {
                Ok(done) => return Ok(done),
                Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                    return Err(error);
                }
                Err(error) => self.before_next(&mut retry, error).await?,
            }
        }
    }

    /// Waits after a failure; where the controller had moved, asks who it is.
    async fn before_next(&self, retry: &mut Retry<'_>, error: ClientError) -> Result<()> {
        retry.after(error).await?;
        let refresh = self.client.refresh_topics(&[], self.client.host().now(), false);
        // If this fails too, the next attempt says so.
        let _ = self.client.host().timeout(Duration::from_secs(1).min(retry.time_left()), refresh).await;
        Ok(())
    }
}

/// One item's result.
fn outcome<T>(what: &str, code: ErrorCode, text: Option<&str>, value: T) -> Result<T> {
    if code == ErrorCode::NONE { Ok(value) } else { Err(ClientError::from_code_and_text(what, code, text)) }
}

/// Keeps what is settled: successes and what no retry mends. Gives back why another attempt is needed.
fn settle<K: Ord, T>(
    answers: Result<Vec<(K, Result<T>)>>,
    results: &mut BTreeMap<K, Result<T>>,
) -> Option<ClientError> {
    let mut reason = None;
    match answers {
        Err(error) => reason = Some(error),
        Ok(answers) => {
            for (key, result) in answers {
                match result {
                    // A topic that is not there will not come by waiting, whatever its code says of clients in general.
                    Err(error)
                        if error.is_retriable()
                            && error.code() != Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) =>
                    {
                        reason = Some(error);
                    }
                    result => {
                        results.insert(key, result);
                    }
                }
            }
        }
    }
    reason
}
