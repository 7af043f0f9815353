//! State that comes back: changelogs are read beside the work, and applied by the worker that owns the task.
//!
//! For each store a task of its own reads the changelog partition, from behind the offset that the store's engine
//! reflects to the end at the time of the start, and passes raw batches on through a short queue: a worker that is busy
//! slows the reading down, nothing piles up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anabranch_client::{
    Client, ClientError, Consumer, ConsumerConfig, FetchedBatches, IsolationLevel, OffsetSpec, TopicPartition,
};
use tokio::sync::mpsc;

/// Fetched runs that may wait for the worker, per store.
const QUEUE: usize = 4;
/// How long one poll of a changelog waits.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// The changelog of a store.
#[derive(Clone, Debug)]
pub(crate) struct Changelog {
    pub(crate) topic: Arc<str>,
    /// The highest offset that the store reflects already.
    pub(crate) reflected: Option<i64>,
}

/// What a changelog brings.
pub(crate) enum Restored {
    /// Records to be applied.
    Batches(FetchedBatches),
    /// All up to the end that was aimed at, which is the next offset to be written.
    End(i64),
    /// It cannot be read.
    Failed(ClientError),
}

/// The changelogs of one task, being read.
pub(crate) struct Restoration {
    feeds: Vec<Feed>,
}

struct Feed {
    store: usize,
    receiver: mpsc::Receiver<Restored>,
    /// Taken from the queue by a poll, not yet by the worker.
    ready: Option<Restored>,
    done: bool,
}

impl Restoration {
    /// Starts reading partition `partition` of each changelog; none if there is none.
    pub(crate) fn begin(
        client: &Client,
        config: &ConsumerConfig,
        changelogs: &[Option<Changelog>],
        partition: i32,
    ) -> Option<Self> {
        let feed = |(store, changelog): (usize, Changelog)| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let partition = TopicPartition::new(Arc::clone(&changelog.topic), partition);
            let from = changelog.reflected.map(|offset| offset + 1);
            let (client, config) = (client.clone(), config.clone());
            let host = client.host().clone();
            host.spawn(async move {
                if let Err(error) = read(&client, config, partition, from, &sender).await {
                    // Nobody listens if the task is gone.
                    let _ = sender.send(Restored::Failed(error)).await;
                }
            });
            Feed { store, receiver, ready: None, done: false }
        };
        let logged = |(store, changelog): (usize, &'_ Option<Changelog>)| {
            changelog.as_ref().map(|it| (store, it.clone()))
        };
        let feeds: Vec<Feed> = changelogs.iter().enumerate().filter_map(logged).map(feed).collect();
        (!feeds.is_empty()).then_some(Restoration { feeds })
    }

    /// Whether something waits to be taken; wakes the caller when something does.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> bool {
        let mut any = false;
        for feed in self.feeds.iter_mut().filter(|feed| !feed.done) {
            if feed.ready.is_none()
                && let Poll::Ready(restored) = feed.receiver.poll_recv(context)
            {
                let gone = || Restored::Failed(ClientError::closed("changelog reader"));
                feed.ready = Some(restored.unwrap_or_else(gone));
            }
            any |= feed.ready.is_some();
        }
        any
    }

    /// The next of what has arrived, and whose store it is.
    pub(crate) fn take(&mut self) -> Option<(usize, Restored)> {
        for feed in self.feeds.iter_mut().filter(|feed| !feed.done) {
            if let Some(restored) = feed.ready.take().or_else(|| feed.receiver.try_recv().ok()) {
                feed.done = matches!(restored, Restored::End(_));
                return Some((feed.store, restored));
            }
        }
        None
    }

    /// Whether every changelog is read to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.feeds.iter().all(|feed| feed.done)
    }
}

async fn read(
    client: &Client,
    config: ConsumerConfig,
    partition: TopicPartition,
    from: Option<i64>,
    sender: &mpsc::Sender<Restored>,
) -> Result<(), ClientError> {
    let start = offset_of(client, &partition, OffsetSpec::Earliest).await?;
    let end = offset_of(client, &partition, OffsetSpec::Latest).await?;
    let mut position = from.unwrap_or(start).max(start);
    if position < end {
        let mut consumer = Consumer::new(client, config)?;
        consumer.assign(std::slice::from_ref(&partition))?;
        consumer.seek(&partition, position)?;
        while position < end {
            for fetched in consumer.poll_batches(POLL).await?.records {
                position = fetched.next_offset;
                if sender.send(Restored::Batches(fetched)).await.is_err() {
                    return Ok(());
                }
            }
        }
        consumer.close().await?;
    }
    // If nobody listens any more, nobody misses it.
    let _ = sender.send(Restored::End(end)).await;
    Ok(())
}

async fn offset_of(
    client: &Client,
    partition: &TopicPartition,
    spec: OffsetSpec,
) -> Result<i64, ClientError> {
    let wanted = BTreeMap::from([(partition.clone(), spec)]);
    let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
    match listed.into_values().next() {
        Some(offset) => Ok(offset?.offset),
        None => Err(ClientError::retriable(format!("no answer for {partition}"))),
    }
}
