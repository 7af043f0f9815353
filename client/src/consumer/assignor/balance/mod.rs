//! Distributes partitions so that members have as many as each other and keep what they had. Pure; the sticky assignors
//! call it.
//!
//! Balance comes first: no member that has two fewer than another could take one of the other's. Then stickiness: what a
//! member has it keeps, unless balance demands it. Where all want the same topics, as few partitions move as balance
//! allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::topic_partition::TopicPartition;

/// A member and what it says it has.
#[derive(Clone, Debug, Default)]
pub(super) struct Claimant {
    /// The topics it wants.
    pub(super) topics: BTreeSet<Arc<str>>,
    pub(super) has: Vec<TopicPartition>,
    /// The generation it has them from: a later one is right against an earlier one.
    pub(super) generation: i32,
}

/// Which partitions each member gets, in the order of `members`; `counts` are the partitions of the topics there are.
pub(super) fn distribute(counts: &BTreeMap<Arc<str>, i32>, members: &[Claimant]) -> Vec<Vec<TopicPartition>> {
    let Some(first) = members.first() else { return Vec::new() };
    let wanted = |member: &Claimant| {
        let there = member.topics.iter().filter(|topic| counts.contains_key(*topic));
        there.cloned().collect::<BTreeSet<_>>()
    };
    let all_alike = members.iter().all(|member| wanted(member) == wanted(first));
    let kept = rightful(counts, members);
    if all_alike {
        share_evenly(&names(counts, &wanted(first)), kept)
    } else {
        balance(counts, members, kept)
    }
}

fn names<'a>(
    counts: &BTreeMap<Arc<str>, i32>,
    topics: impl IntoIterator<Item = &'a Arc<str>>,
) -> BTreeSet<TopicPartition> {
    let of_topic = |topic: &Arc<str>| {
        let topic = Arc::clone(topic);
        let count = counts.get(&topic).copied().unwrap_or(0);
        (0..count).map(move |number| TopicPartition::new(Arc::clone(&topic), number))
    };
    topics.into_iter().flat_map(of_topic).collect()
}

/// What each member rightfully has: it still wants it, it is still there, and nobody claims it from as late a generation.
fn rightful(counts: &BTreeMap<Arc<str>, i32>, members: &[Claimant]) -> Vec<BTreeSet<TopicPartition>> {
    /// The latest generation, and who claims from there, if it is one.
    type Claim = (i32, Option<usize>);
    let mut claims: BTreeMap<&TopicPartition, Claim> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for name in &member.has {
            let exists = counts.get(&name.topic).is_some_and(|count| (0..*count).contains(&name.partition));
            if !exists || !member.topics.contains(&name.topic) {
                continue;
            }
            let claim = claims.entry(name).or_insert((i32::MIN, None));
            if member.generation > claim.0 {
                *claim = (member.generation, Some(index));
            } else if member.generation == claim.0 && claim.1 != Some(index) {
                claim.1 = None;
            }
        }
    }
    let mut kept = vec![BTreeSet::new(); members.len()];
    for (name, (_, owner)) in claims {
        if let Some(owner) = owner {
            kept[owner].insert(name.clone());
        }
    }
    kept
}

/// All may have all: everybody gets the same number, or one more.
fn share_evenly(
    names: &BTreeSet<TopicPartition>,
    kept: Vec<BTreeSet<TopicPartition>>,
) -> Vec<Vec<TopicPartition>> {
    let (least, mut with_one_more) = (names.len() / kept.len(), names.len() % kept.len());
    let mut free = names.clone();
    let mut shares: Vec<Vec<TopicPartition>> = Vec::with_capacity(kept.len());
    for has in kept {
        let mut quota = least;
        if has.len() > least && with_one_more > 0 {
            with_one_more -= 1;
            quota += 1;
        }
        let share: Vec<_> = has.into_iter().take(quota).collect();
        for name in &share {
            free.remove(name);
        }
        shares.push(share);
    }
    // Round and round, so that the partitions of a topic are spread: first those who lack some, then one more for some.
    let mut free = free.into_iter();
    loop {
        let mut given = false;
        for share in shares.iter_mut().filter(|share| share.len() < least) {
            if let Some(name) = free.next() {
                share.push(name);
                given = true;
            }
        }
        if !given {
            break;
        }
    }
    for (share, name) in shares.iter_mut().filter(|share| share.len() == least).zip(free) {
        share.push(name);
    }
    shares
}

/// Members want different topics: what is free goes where least is, beginning with what the fewest can take; then single
/// partitions move as long as that levels.
fn balance(
    counts: &BTreeMap<Arc<str>, i32>,
    members: &[Claimant],
    kept: Vec<BTreeSet<TopicPartition>>,
) -> Vec<Vec<TopicPartition>> {
    let mut takers: BTreeMap<&Arc<str>, Vec<usize>> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            takers.entry(topic).or_default().push(index);
        }
    }
    let mut owners: BTreeMap<TopicPartition, usize> = BTreeMap::new();
    let mut sizes = vec![0_usize; members.len()];
    for (index, has) in kept.iter().enumerate() {
        sizes[index] = has.len();
        owners.extend(has.iter().map(|name| (name.clone(), index)));
    }
    let mut all: Vec<TopicPartition> = names(counts, takers.keys().copied()).into_iter().collect();
    all.sort_by_key(|name| takers.get(&name.topic).map_or(0, Vec::len));
    let least = |sizes: &[usize], name: &TopicPartition| {
        takers.get(&name.topic)?.iter().copied().min_by_key(|taker| (sizes[*taker], *taker))
    };
    for name in &all {
        if !owners.contains_key(name)
            && let Some(taker) = least(&sizes, name)
        {
            sizes[taker] += 1;
            owners.insert(name.clone(), taker);
        }
    }
    // Each move lessens the sum of the squares of the sizes, so this ends.
    loop {
        let mut moved = false;
        for name in &all {
            let (Some(owner), Some(taker)) = (owners.get_mut(name), least(&sizes, name)) else { continue };
            if sizes[taker] + 1 < sizes[*owner] {
                // Back to whom it comes from, if that levels as well.
                let from = kept.iter().position(|has| has.contains(name));
                let taker = from.filter(|from| sizes[*from] + 1 < sizes[*owner]).unwrap_or(taker);
                sizes[*owner] -= 1;
                sizes[taker] += 1;
                *owner = taker;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let mut shares = vec![Vec::new(); members.len()];
    for (name, owner) in owners {
        shares[owner].push(name);
    }
    shares
}

#[cfg(test)]
mod tests;
