//! Slots by group: the rows of one record key by time, which window stores and joins ask for with every record.
//!
//! The slots of a group lie in the order of their suffixes (a time and a number, see [`TimedKeys`]) in one ring. Rows
//! mostly come, and expire, in that order: then adding one is a push, removing one a pop, and no other group is touched,
//! unlike in one order of all keys.

use std::collections::VecDeque;

use super::index::Index;
use super::slab::Slab;
use super::timed::{Suffix, TimedKeys};

/// The groups of a table.
#[derive(Debug)]
pub(crate) struct Clusters {
    keys: TimedKeys,
    index: Index,
    clusters: Vec<VecDeque<Member>>,
    free: Vec<u32>,
    members: usize,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    suffix: Suffix,
    slot: u32,
}

impl Clusters {
    pub(crate) fn build(keys: TimedKeys, slab: &Slab, hash: impl Fn(&[u8]) -> u32) -> Self {
        let (index, clusters, free) = (Index::new(), Vec::new(), Vec::new());
        let mut clusters = Clusters { keys, index, clusters, free, members: 0 };
        for slot in (0..slab.slots()).filter(|slot| slab.get(*slot).occupied) {
            clusters.insert(slot, slab, &hash);
        }
        clusters
    }

    /// Adds the key in `slot`, which is in the slab already. A key that is too short is in no group.
    pub(crate) fn insert(&mut self, slot: u32, slab: &Slab, hash: impl Fn(&[u8]) -> u32) {
        let Some((group, suffix)) = self.keys.split(slab.get(slot).key()) else { return };
        let hash = hash(group);
        let cluster = match self.find(hash, group, slab) {
            Some(cluster) => cluster,
            None => self.add(hash),
        };
        let members = &mut self.clusters[cluster as usize];
        let member = Member { suffix, slot };
        if members.back().is_none_or(|last| last.suffix < suffix) {
            members.push_back(member);
        } else {
            let at = members.partition_point(|other| other.suffix < suffix);
            members.insert(at, member);
        }
        self.members += 1;
    }

    /// Removes the key in `slot`, which is in the slab still.
    pub(crate) fn remove(&mut self, slot: u32, slab: &Slab, hash: impl Fn(&[u8]) -> u32) {
        let Some((group, suffix)) = self.keys.split(slab.get(slot).key()) else { return };
        let hash = hash(group);
        // What expires is the first of its group.
        let is_first =
            |cluster: u32| self.clusters[cluster as usize].front().is_some_and(|first| first.slot == slot);
        let first_of = self.index.find(hash, is_first);
        let Some(cluster) = first_of.or_else(|| self.find(hash, group, slab)) else { return };
        let members = &mut self.clusters[cluster as usize];
        if first_of.is_some() {
            members.pop_front();
        } else {
            let at = members.partition_point(|other| other.suffix < suffix);
            if members.get(at).is_none_or(|member| member.slot != slot) {
                return;
            }
            members.remove(at);
        }
        self.members -= 1;
        if members.is_empty() {
            self.clusters[cluster as usize] = VecDeque::new();
            self.index.remove(hash, cluster);
            self.free.push(cluster);
        }
    }

    /// The slots of a group whose suffixes lie from `from` to `to`, in their order.
    pub(crate) fn range(
        &self,
        hash: u32,
        group: &[u8],
        from: Suffix,
        to: Suffix,
        slab: &Slab,
    ) -> impl DoubleEndedIterator<Item = u32> {
        let members = self.find(hash, group, slab).map(|cluster| &self.clusters[cluster as usize]);
        let places = members.map(|members| {
            let first = members.partition_point(|member| member.suffix < from);
            // Few are behind `from` in most windows.
            let last = members.range(first..).take_while(|member| member.suffix <= to).count();
            (members, first..first + last)
        });
        places.into_iter().flat_map(|(members, places)| members.range(places).map(|member| member.slot))
    }

    /// An estimate: rings are three quarters full on average.
    pub(crate) fn bytes(&self) -> usize {
        let clusters = self.clusters.len() - self.free.len();
        self.members * size_of::<Member>() * 4 / 3 + clusters * (size_of::<VecDeque<Member>>() + 16)
    }

    fn find(&self, hash: u32, group: &[u8], slab: &Slab) -> Option<u32> {
        self.index.find(hash, |cluster| {
            let first = self.clusters[cluster as usize].front();
            first
                .and_then(|first| self.keys.split(slab.get(first.slot).key()))
                .is_some_and(|(other, _)| other == group)
        })
    }

    fn add(&mut self, hash: u32) -> u32 {
        let cluster = self.free.pop().unwrap_or_else(|| {
            self.clusters.push(VecDeque::new());
            self.clusters.len() as u32 - 1
        });
        self.index.insert(hash, cluster);
        cluster
    }
}
