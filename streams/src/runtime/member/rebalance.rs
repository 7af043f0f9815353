//! How the member follows its group: what is taken away, what is assigned, and what the leader says beside.

use std::collections::BTreeSet;

use anabranch_client::{RebalanceEvent, TopicPartition};

use super::Member;
use super::phase::Phase;
use crate::error::{Error, Result};
use crate::runtime::assignment::assignor::ANOTHER_TOPOLOGY;
use crate::runtime::assignment::user_data::{Assignment, Word};
use crate::runtime::state::State;
use crate::runtime::worker::ToWorker;

impl Member {
    /// Follows what the group says. What is taken away and assigned comes together, so that a task that is to be
    /// followed from now on need not be closed.
    pub(super) async fn rebalance(&mut self, events: Vec<RebalanceEvent>) -> Result<()> {
        let assignment = match self.take_assignment(&events).await {
            Ok(assignment) => assignment,
            Err(error) => {
                self.refused(error)?;
                None
            }
        };
        let mut owned: BTreeSet<TopicPartition> = self.consumer.assignment().into_iter().collect();
        for event in events {
            match event {
                // Nothing is begun any more, or for now.
                RebalanceEvent::Assigned { .. } if self.ending.is_some() || self.phase == Phase::Refused => {}
                RebalanceEvent::Assigned { partitions, .. } => {
                    let mut opened = self.shared.plan().readers_of(&owned);
                    opened.retain(|task| !self.waiting.contains(*task));
                    self.read_more(&opened, &partitions).await?;
                    opened.retain(|task| !self.waiting.contains(*task));
                    if let Some(assignment) = assignment.as_ref().filter(|_| !opened.is_empty()) {
                        self.fence(&assignment.gone).await;
                    }
                    self.open(&opened).await?;
                    self.open_what_is_left().await?;
                    self.follow_standbys().await?;
                    self.phase.join();
                    self.settle();
                }
                RebalanceEvent::Revoked(partitions) => {
                    self.known_inputs.forget(&partitions);
                    self.enter_rebalancing();
                    owned.retain(|partition| !partitions.contains(partition));
                    let gone = self.shared.plan().readers_of(&partitions);
                    self.waiting.forget(&gone);
                    let (kept, closed): (BTreeSet<_>, BTreeSet<_>) =
                        gone.into_iter().partition(|task| self.standing.contains(task));
                    self.demote(&kept).await?;
                    self.close(&closed, |tasks, reply| ToWorker::Close { tasks, reply }).await?;
                }
                RebalanceEvent::Lost(partitions) => {
                    self.known_inputs.forget(&partitions);
                    let tasks = self.shared.plan().readers_of(&partitions);
                    self.waiting.forget(&tasks);
                    self.enter_rebalancing();
                    self.close(&tasks, |tasks, reply| ToWorker::Lose { tasks, reply }).await?;
                }
            }
        }
        Ok(())
    }

    /// What the leader says with an assignment, if there is one.
    async fn take_assignment(&mut self, events: &[RebalanceEvent]) -> Result<Option<Assignment>> {
        let user_data = events.iter().filter_map(|event| match event {
            RebalanceEvent::Assigned { user_data, .. } => user_data.as_ref(),
            _ => None,
        });
        let Some(bytes) = user_data.last() else { return Ok(None) };
        let assignment = Assignment::decode(bytes);
        let assignment =
            assignment.map_err(|error| Error::invalid("joining the group").with_source(error))?;
        self.take_word(&assignment)?;
        self.take_sources(&assignment).await?;
        self.phase.accept();
        Ok(Some(assignment))
    }

    /// Takes over what the leader says beside who runs what.
    fn take_word(&mut self, assignment: &Assignment) -> Result<()> {
        if !assignment.refusal.is_empty() {
            return Err(Error::invalid(&assignment.refusal));
        }
        match assignment.word {
            Word::GoOn => {}
            Word::AnotherTopology => return Err(Error::invalid(ANOTHER_TOPOLOGY)),
            Word::ShutDown => {
                self.shut_down_with_all();
                return Ok(());
            }
        }
        self.standing = assignment.standby.union(&assignment.warmup).copied().collect();
        self.shared.holdings.set_peers(assignment.peers.clone());
        self.shared.holdings.set_hosts(assignment.hosts.clone());
        let now = self.shared.client.host().now();
        let look_again = assignment.probe.then(|| now + self.timing.probing_interval);
        self.probing.assigned(assignment.warmup.clone(), look_again);
        Ok(())
    }

    fn enter_rebalancing(&mut self) {
        if !self.phase.is_starting() {
            self.enter(State::Rebalancing);
        }
    }

    /// Running, once every task it has got is.
    pub(super) fn settle(&mut self) {
        if !self.phase.is_starting() && self.restoring.is_empty() && !self.waiting.is_pausing() {
            self.enter(State::Running);
        }
    }
}
