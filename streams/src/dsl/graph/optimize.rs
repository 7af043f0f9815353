//! Rewrites of the plan: equal sources become one, always; repartition topics of one re-keyed stream become one, if
//! asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{PlanId, PlanNode, RepartitionPlan, Role};
use crate::topology::Optimization;

pub(super) fn optimize(plan: &mut Vec<PlanNode>, wanted: Optimization, faults: &mut Vec<String>) {
    merge_sources(plan, faults);
    if wanted.merge_repartitions {
        merge_repartitions(plan);
    }
    if wanted.single_store_self_join {
        join_selves(plan);
    }
}

/// An inner join of a stream with itself keeps one side: its other side would hold the same records.
fn join_selves(plan: &mut [PlanNode]) {
    for join in 0..plan.len() {
        if !matches!(plan[join].role, Role::StreamJoin { inner: true, .. }) {
            continue;
        }
        let &[this, that] = plan[join].parents.as_slice() else { continue };
        if plan[this].parents != plan[that].parents {
            continue;
        }
        for parent in plan[that].parents.clone() {
            detach(plan, parent, that);
        }
        detach(plan, that, join);
        plan[that].role = Role::Gone;
    }
}

/// Sources of the same topics become the first of them.
fn merge_sources(plan: &mut [PlanNode], faults: &mut Vec<String>) {
    let mut readers: BTreeMap<(bool, String), PlanId> = BTreeMap::new();
    for id in 0..plan.len() {
        let Role::Source(source) = &plan[id].role else { continue };
        let reads = || source.topics.iter().map(|topic| (source.by_pattern, topic.clone()));
        let first = reads().find_map(|topic| readers.get(&topic).copied());
        let Some(first) = first else {
            readers.extend(reads().map(|topic| (topic, id)));
            continue;
        };
        let Role::Source(other) = &plan[first].role else { continue };
        let (mut ours, mut theirs) = (source.topics.clone(), other.topics.clone());
        ours.sort();
        theirs.sort();
        if ours != theirs {
            faults.push(format!(
                "sources `{}` and `{}` read some topics in common ({ours:?}, {theirs:?}): let both read the same topics, or none in common",
                plan[first].name, plan[id].name
            ));
        } else if source.supplier.output != other.supplier.output {
            faults.push(format!(
                "topic `{}` is read as {} and as {}: read it with one type and convert with `map`",
                ours[0], other.supplier.output, source.supplier.output
            ));
        } else if source.offset_reset != other.offset_reset {
            faults.push(format!("topic `{}` is read with two offset resets: settle on one", ours[0]));
        } else {
            let children = std::mem::take(&mut plan[id].children);
            for &child in &children {
                for parent in &mut plan[child].parents {
                    if *parent == id {
                        *parent = first;
                    }
                }
            }
            plan[first].children.extend(children);
            // Without children and without a role it is written nowhere.
            plan[id].role = Role::Gone;
        }
    }
}

/// All repartitions of a re-keyed stream become one right below the node that re-keyed it, if nothing in between
/// changes keys or values.
fn merge_repartitions(plan: &mut Vec<PlanNode>) {
    let changers: Vec<PlanId> = (0..plan.len()).filter(|&id| changes_key(plan, id)).collect();
    for changer in changers {
        let repartitions = repartitions_below(plan, changer);
        let Some(&first) = repartitions.first() else { continue };
        let Role::Repartition(model) = &plan[first].role else { continue };
        let merged = merged(model);
        let new = plan.len();
        let mut node = PlanNode::of(merged.source.clone(), Role::Repartition(merged));
        // It is written before all that stood below the re-keying node.
        node.priority = plan[changer].priority;
        plan.push(node);
        for &old in &repartitions {
            replace(plan, changer, old, new);
        }
        attach(plan, changer, new);
    }
}

/// The new topic takes the whole name of the old one as its prefix, so its nodes never have generated names.
fn merged(model: &RepartitionPlan) -> RepartitionPlan {
    let topic = model.topic.clone();
    RepartitionPlan {
        sink: format!("{topic}-sink"),
        filter: format!("{topic}-filter"),
        source: format!("{topic}-source"),
        topic,
        types: Arc::clone(&model.types),
        explicit: false,
        partitions: None,
    }
}

/// What stood below the old repartition, and what stood between it and the re-keying node, reads the new topic.
fn replace(plan: &mut [PlanNode], changer: PlanId, old: PlanId, new: PlanId) {
    let mut top = old;
    while let Some(&parent) = plan[top].parents.first() {
        if parent == changer {
            detach(plan, changer, top);
            attach(plan, new, top);
        }
        if parent == changer || parent == new {
            break;
        }
        top = parent;
    }
    let parents = plan[old].parents.clone();
    for child in std::mem::take(&mut plan[old].children) {
        plan[child].parents.retain(|&parent| parent != old);
        for &parent in &parents {
            attach(plan, parent, child);
        }
    }
    for &parent in &parents {
        detach(plan, parent, old);
    }
    plan[old].role = Role::Gone;
}

/// A merge of re-keyed streams re-keys.
fn changes_key(plan: &[PlanNode], id: PlanId) -> bool {
    match &plan[id].role {
        Role::Gone => false,
        Role::Merge(_) => plan[id].parents.iter().any(|&parent| rekeyed(plan, parent)),
        _ => plan[id].changes_key,
    }
}

/// Whether a node's records come from a re-keying node with no repartition in between.
fn rekeyed(plan: &[PlanNode], id: PlanId) -> bool {
    match &plan[id].role {
        Role::Repartition(_) | Role::Source(_) => false,
        _ => plan[id].changes_key || plan[id].parents.iter().any(|&parent| rekeyed(plan, parent)),
    }
}

/// The repartitions that may be merged below a re-keying node, in the order of the plan.
fn repartitions_below(plan: &[PlanNode], changer: PlanId) -> Vec<PlanId> {
    let mut found = Vec::new();
    let mut open = plan[changer].children.clone();
    while let Some(id) = open.pop() {
        match &plan[id].role {
            Role::Repartition(repartition) if repartition.explicit => {}
            Role::Repartition(_) => found.push(id),
            Role::Gone | Role::Merge(_) => {}
            _ if plan[id].changes_key || plan[id].changes_value => {}
            _ => open.extend(&plan[id].children),
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn detach(plan: &mut [PlanNode], parent: PlanId, child: PlanId) {
    plan[parent].children.retain(|&id| id != child);
    plan[child].parents.retain(|&id| id != parent);
}

fn attach(plan: &mut [PlanNode], parent: PlanId, child: PlanId) {
    plan[parent].children.push(child);
    plan[child].parents.push(parent);
}
