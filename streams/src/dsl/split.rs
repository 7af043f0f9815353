//! A stream in branches.

use std::sync::Arc;

use parking_lot::Mutex;

use super::graph::{Output, PlanNode};
use super::handle::{Effect, Handle};
use super::kstream::KStream;
use crate::data::Item;
use crate::operators::{Branch, Pass};
use crate::processor::NodeSupplier;

type Predicate<K, V> = Arc<dyn Fn(&K, &V) -> bool + Send + Sync>;

/// By branch; the default branch has no predicate.
type Branches<K, V> = Arc<Mutex<Vec<Option<Predicate<K, V>>>>>;

/// A stream that is being split: each record goes to the first branch that takes it, or to the default branch, or
/// nowhere.
///
/// ```
/// use anabranch::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let split = builder.stream("log").split().named("by-level-");
/// let errors = split.branch(|_, line| line.starts_with("ERROR")).named("errors");
/// let rest = split.default_branch();
/// errors.to("errors");
/// rest.to("rest");
/// let topology = builder.build()?;
/// assert!(topology.describe().contains("by-level-errors"));
/// # Ok::<(), anabranch::Error>(())
/// ```
pub struct Split<K, V> {
    handle: Handle,
    branches: Branches<K, V>,
}

impl<K: Item, V: Item> Split<K, V> {
    pub(super) fn below(stream: &Handle) -> Self {
        let branches: Branches<K, V> = Arc::default();
        let all = Arc::clone(&branches);
        let parent = stream.operation;
        let handle = stream.record("split", true, move |walk, call| {
            let all = all.lock().clone();
            let supplier = NodeSupplier::of(move |_| Ok(Branch::new(all.clone())));
            let stream = walk.below(parent, call, "KSTREAM-BRANCH-", |name| {
                PlanNode::processor(name, supplier, call.on_error.clone())
            });
            Output::Stream(stream)
        });
        Split { handle, branches }
    }

    /// Names the node, and with it the branches: their names begin with this one.
    pub fn named(self, prefix: &str) -> Self {
        self.handle.graph.name(self.handle.operation, prefix);
        self
    }

    /// The records that `predicate` accepts and no earlier branch has taken. See [`KStream::split`] for a figure.
    pub fn branch(&self, predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.add(Some(Arc::new(predicate)))
    }

    /// The records that no branch takes. See [`KStream::split`] for a figure.
    pub fn default_branch(self) -> KStream<K, V> {
        self.add(None)
    }

    fn add(&self, predicate: Option<Predicate<K, V>>) -> KStream<K, V> {
        let (position, default) = {
            let mut branches = self.branches.lock();
            branches.push(predicate);
            (branches.len(), branches.last().is_some_and(Option::is_none))
        };
        let parent = self.handle.operation;
        let handle = self.handle.record("branch", true, move |walk, call| {
            // The number is used up, the name is the split's with the branch's behind it.
            walk.number("KSTREAM-BRANCH-");
            let stream = walk.stream(parent).clone();
            let own = call.name.clone().unwrap_or_else(|| if default { 0 } else { position }.to_string());
            let name = format!("{}{own}", walk.plan[stream.node].name);
            let supplier = NodeSupplier::of(|_| Ok(Pass::<K, V>::new()));
            let node = walk.add(PlanNode::processor(name, supplier, call.on_error.clone()), &[stream.node]);
            Output::Stream(Effect::KEEPS.on(super::graph::StreamPlan { node, ..stream }))
        });
        KStream::of(handle)
    }
}
