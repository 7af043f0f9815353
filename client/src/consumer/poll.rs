//! Polling: what the group says first, then what was fetched, waiting if there is neither.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Instant;
use tokio::sync::futures::Notified;

use super::Consumer;
use super::membership::RebalanceEvent;
use super::positions::Take;
use super::record::{ConsumerRecord, Decoding, FetchedBatches};
use crate::error::Result;
use crate::topic_partition::TopicPartition;

/// What a poll returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled<T> {
    /// Changes of what the consumer owns, in order. The member goes on when the consumer polls again. Records come only
    /// with a poll that has none.
    pub events: Vec<RebalanceEvent>,
    /// What was read, per partition in order.
    pub records: Vec<T>,
}

/// A chunk that is being handed out record by record.
pub(super) struct Open {
    name: TopicPartition,
    turn: u64,
    decoding: Decoding,
    ends: bool,
}

impl Consumer {
    /// Waits for records or events, at most for `timeout`; returns up to `max.poll.records`. With `enable.auto.commit`,
    /// what earlier polls returned counts as processed.
    ///
    /// A poll that has events to tell of (partitions assigned, revoked) returns them at once, without records: poll in a loop, as
    /// with any Kafka consumer.
    ///
    /// The future may be dropped before its end (in a `select!`, say): nothing is lost.
    ///
    /// # Errors
    /// Invalid or Fenced, if the member or a partition cannot go on; Corrupt, if records do not parse; Closed.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Polled<ConsumerRecord>> {
        let deadline = self.now() + timeout;
        let events = self.begin_poll().await?;
        if !events.is_empty() {
            return Ok(Polled { events, records: Vec::new() });
        }
        loop {
            let changed = Arc::clone(&self.fetcher.changed);
            let mut changed = std::pin::pin!(changed.notified());
            // Before looking, so that what comes after is not missed.
            changed.as_mut().enable();
            self.fetcher.drive();
            let records = self.take_records()?;
            if !records.is_empty() {
                // The next are fetched while these are processed.
                self.fetcher.drive();
                return Ok(Polled { events: Vec::new(), records });
            }
            let events = self.wait(deadline, changed).await?;
            if let Some(events) = events {
                return Ok(Polled { events, records: Vec::new() });
            }
        }
    }

    /// As [`Consumer::poll`], but returns all that is here as raw batches, unchecked and not decompressed.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub async fn poll_batches(&mut self, timeout: Duration) -> Result<Polled<FetchedBatches>> {
        let deadline = self.now() + timeout;
        let events = self.begin_poll().await?;
        if !events.is_empty() {
            return Ok(Polled { events, records: Vec::new() });
        }
        self.drop_open();
        loop {
            let changed = Arc::clone(&self.fetcher.changed);
            let mut changed = std::pin::pin!(changed.notified());
            changed.as_mut().enable();
            self.fetcher.drive();
            let mut records = Vec::new();
            while let Some(chunk) = self.fetcher.take_chunk() {
                let mut state = self.fetcher.state.lock();
                let (next_offset, epoch) = (chunk.batches.next_offset, chunk.batches.leader_epoch);
                state.positions.advance(&chunk.name, chunk.turn, next_offset, epoch);
                if chunk.ends {
                    state.positions.chunk_taken(&chunk.name, chunk.turn);
                }
                records.push(chunk.batches);
            }
            if !records.is_empty() {
                self.fetcher.drive();
                return Ok(Polled { events: Vec::new(), records });
            }
            let events = self.wait(deadline, changed).await?;
            if let Some(events) = events {
                return Ok(Polled { events, records: Vec::new() });
            }
        }
    }

    /// What every poll begins with: the group learns that the user is there and has dealt with the events of before.
    async fn begin_poll(&mut self) -> Result<Vec<RebalanceEvent>> {
        self.check_open()?;
        let now = self.now();
        if let Some(group) = &self.group {
            let goes_on = group.membership.lock().polled(now);
            if goes_on {
                self.fetcher.state.lock().positions.drop_revoked();
                group.wake.notify_one();
            }
        }
        if self.auto_commits() && now >= self.auto_commit_at {
            self.commit_beside();
        }
        self.take_events().await
    }

    /// Takes the group's events and follows them. Whoever drops the future before its end finds them with the next poll.
    async fn take_events(&mut self) -> Result<Vec<RebalanceEvent>> {
        let Some(group) = self.group.clone() else { return Ok(Vec::new()) };
        let mut committed = BTreeSet::new();
        let events = loop {
            let revoked = {
                let mut membership = group.membership.lock();
                let mut revoked = membership.revoked();
                revoked.retain(|name| !committed.contains(name));
                if revoked.is_empty() || !self.auto_commits() {
                    break membership.take_events();
                }
                revoked
            };
            let mut offsets = self.fetcher.state.lock().positions.to_commit();
            offsets.retain(|name, _| revoked.contains(name));
            // If that fails, whoever gets the partitions reads some records again.
            if let Err(error) = self.commit_offsets(&offsets).await {
                tracing::warn!(%error, "offsets of revoked partitions are not committed");
            }
            committed.extend(revoked);
        };
        let mut state = self.fetcher.state.lock();
        for event in &events {
            match event {
                RebalanceEvent::Assigned { partitions, .. } => state.positions.add(partitions),
                RebalanceEvent::Revoked(partitions) => state.positions.revoke(partitions),
                RebalanceEvent::Lost(partitions) => state.positions.remove(partitions),
            }
        }
        drop(state);
        if events.is_empty()
            && let Some(error) = group.membership.lock().failure()
        {
            return Err(error.clone());
        }
        Ok(events)
    }

    /// Waits until something changes; gives back events, or nothing at all when the time is up.
    async fn wait(
        &mut self,
        deadline: Instant,
        changed: Pin<&mut Notified<'_>>,
    ) -> Result<Option<Vec<RebalanceEvent>>> {
        let events = self.take_events().await?;
        if !events.is_empty() {
            return Ok(Some(events));
        }
        if let Some(error) = self.fetcher.take_error() {
            return Err(error);
        }
        let now = self.now();
        if now >= deadline {
            return Ok(Some(Vec::new()));
        }
        let until = self.fetcher.next_deadline(now).map_or(deadline, |at| at.max(now).min(deadline));
        let host = self.client.host();
        // Either way everything is looked at again.
        let _ = host.timeout(until.saturating_duration_since(now), changed).await;
        Ok(None)
    }

    /// Up to `max.poll.records` of what is here.
    fn take_records(&mut self) -> Result<Vec<ConsumerRecord>> {
        let mut taken = Vec::new();
        let mut at = 0;
        while taken.len() < self.config.max_poll_records {
            if at == self.open.len() {
                let Some(chunk) = self.fetcher.take_chunk() else { break };
                let decoding = Decoding::new(chunk.batches, self.config.check_crcs);
                self.open.push_back(Open { name: chunk.name, turn: chunk.turn, decoding, ends: chunk.ends });
            }
            let open = &mut self.open[at];
            // Bound before: the guard of a scrutinee lives through the whole match.
            let may_take = self.fetcher.state.lock().positions.may_take(&open.name, open.turn);
            match may_take {
                Take::Later => {
                    at += 1;
                    continue;
                }
                Take::Never => {
                    self.open.remove(at);
                    continue;
                }
                Take::Now => {}
            }
            let before = taken.len();
            let decoded = open.decoding.take(self.config.max_poll_records - before, &mut taken);
            let (position, epoch) = open.decoding.position();
            let mut state = self.fetcher.state.lock();
            state.positions.advance(&open.name, open.turn, position, epoch);
            match decoded {
                Ok(false) => {}
                Ok(true) => {
                    if open.ends {
                        state.positions.chunk_taken(&open.name, open.turn);
                    }
                    self.open.remove(at);
                }
                Err(error) => {
                    // Fetched again, so that whoever polls on finds the same. What is good comes first.
                    state.positions.seek(&open.name, position, epoch);
                    self.open.remove(at);
                    if taken.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// Puts decoded records back: they are fetched again.
    fn drop_open(&mut self) {
        let mut state = self.fetcher.state.lock();
        for open in self.open.drain(..) {
            if let Some(position) = state.positions.position(&open.name)
                && state.positions.may_take(&open.name, open.turn) != Take::Never
            {
                state.positions.seek(&open.name, position, -1);
            }
        }
    }
}
