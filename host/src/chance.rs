//! Hash maps whose seed is ours.
//!
//! `std`'s maps draw a seed per thread and would make two runs of one simulation differ. These share one seed a process:
//! a constant until a real world starts, then a random one (so that nobody can flood a server's maps). Even so, never
//! let the order of a hash map reach behaviour: use a `BTreeMap` there.

use std::hash::BuildHasher;
use std::sync::OnceLock;

/// A hash map with our hasher.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, SeededState>;
/// A hash set with our hasher.
pub type HashSet<K> = hashbrown::HashSet<K, SeededState>;

static SEED: OnceLock<u64> = OnceLock::new();
const SIMULATION_SEED: u64 = 0x0a2a_b2a2_c400_5eed;

/// Gives the maps made from now on a random seed, unless one has been settled before.
pub(crate) fn seed_maps(seed: u64) {
    // The first to come settles it: a map must not change its hasher while it lives.
    let _ = SEED.set(seed);
}

/// The hasher of [`HashMap`] and [`HashSet`].
#[derive(Clone, Copy, Debug)]
pub struct SeededState(u64);

impl Default for SeededState {
    fn default() -> Self {
        SeededState(*SEED.get_or_init(|| SIMULATION_SEED))
    }
}

impl BuildHasher for SeededState {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        foldhash::fast::FixedState::with_seed(self.0).build_hasher()
    }
}
