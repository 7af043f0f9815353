//! What the stores of a task on its worker reflect of the task's inputs.
//!
//! Of a task that processes this is what is committed: nothing need be noted while records are processed. A store that
//! follows its changelog does not know. So who asks looks what is committed, and then where the changelog ends; once the
//! store is there it reflects what was committed, since a commit waits for the changelog.

use std::collections::VecDeque;

use super::RunningTask;
use super::restoring::LoggedStore;
use crate::runtime::position::Position;

/// Looks ahead that may be kept: more bring nothing, since the first is reached first.
const LOOKS: usize = 16;

/// What a store reflects that follows its changelog.
#[derive(Default)]
pub(super) struct FollowedPosition {
    now: Position,
    /// What it reflects once the changelog is applied up to these offsets, the first first.
    ahead: VecDeque<(i64, Position)>,
}

impl FollowedPosition {
    fn applied_up_to(&mut self, next: i64) {
        while let Some((_, reached)) = self.ahead.pop_front_if(|(end, _)| *end <= next) {
            self.now.merge(&reached);
        }
    }
}

impl LoggedStore {
    fn followed_position(&mut self) -> Position {
        if let Some(next) = self.next {
            self.position.applied_up_to(next);
        }
        self.position.now.clone()
    }
}

impl RunningTask {
    /// What a store reflects.
    pub(crate) fn position(&mut self, store: &str) -> Position {
        if self.is_restored() {
            return self.committed_position();
        }
        self.logged_store(store).map(LoggedStore::followed_position).unwrap_or_default()
    }

    /// Notes what a store reflects once its changelog is applied up to an offset.
    pub(crate) fn look_ahead(&mut self, store: &str, end: i64, reached: Position) {
        if let Some(store) = self.logged_store(store)
            && store.position.ahead.len() < LOOKS
        {
            store.position.ahead.push_back((end, reached));
        }
    }

    /// It is to process no more: its stores reflect what is committed.
    pub(super) fn note_position(&mut self) {
        if self.is_restored() {
            let position = self.committed_position();
            for store in self.stores.iter_mut().flatten() {
                store.position = FollowedPosition { now: position.clone(), ahead: VecDeque::new() };
            }
        }
    }

    fn committed_position(&self) -> Position {
        position_of(self.offsets.all_committed())
    }

    fn logged_store(&mut self, store: &str) -> Option<&mut LoggedStore> {
        self.stores.iter_mut().flatten().find(|logged| *logged.changelog.store == *store)
    }
}

/// What is reflected where these offsets are committed.
pub(crate) fn position_of<'a>(
    offsets: impl IntoIterator<
        Item = (&'a anabranch_client::TopicPartition, &'a anabranch_client::OffsetAndMetadata),
    >,
) -> Position {
    let mut position = Position::new();
    for (place, next) in offsets.into_iter().filter(|(_, next)| next.offset > 0) {
        position.raise(std::sync::Arc::clone(&place.topic), place.partition, next.offset - 1);
    }
    position
}
