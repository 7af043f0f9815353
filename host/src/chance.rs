//! Hash maps whose seed is ours.
//!
//! `std`'s maps draw a seed per thread and would make two runs of one simulation differ. These share one seed a process:
//! a constant until a real world starts, then a random one (so that nobody can flood a server's maps). Within a
//! simulation they take the simulation's. Even so, never let the order of a hash map reach behaviour: use a `BTreeMap`
//! there.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// A hash map with our hasher.
pub type HashMap<K, V> = hashbrown::HashMap<K, V, SeededState>;
/// A hash set with our hasher.
pub type HashSet<K> = hashbrown::HashSet<K, SeededState>;

static SEED: OnceLock<u64> = OnceLock::new();
const UNSETTLED_SEED: u64 = 0x0a2a_b2a2_c400_5eed;

/// Gives the maps made from now on a random seed, unless one has been settled before.
pub(crate) fn seed_maps(seed: u64) {
    // The first to come settles it: a map must not change its hasher while it lives.
    let _ = SEED.set(seed);
}

thread_local! {
    /// The seed of maps made while this thread runs a simulation.
    static SIMULATED_SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// As long as this lives, maps made on this thread take their seed from a simulation.
pub(crate) struct SeededMaps {
    before: Option<u64>,
}

impl SeededMaps {
    pub(crate) fn begin(seed: u64) -> SeededMaps {
        SeededMaps { before: SIMULATED_SEED.replace(Some(seed)) }
    }
}

impl Drop for SeededMaps {
    fn drop(&mut self) {
        SIMULATED_SEED.set(self.before);
    }
}

/// The hasher of [`HashMap`] and [`HashSet`].
#[derive(Clone, Copy, Debug)]
pub struct SeededState(u64);

impl Default for SeededState {
    fn default() -> Self {
        SeededState(SIMULATED_SEED.get().unwrap_or_else(|| *SEED.get_or_init(|| UNSETTLED_SEED)))
    }
}

impl BuildHasher for SeededState {
    type Hasher = foldhash::fast::FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        foldhash::fast::FixedState::with_seed(self.0).build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(keys: u32) -> Vec<u32> {
        (0..keys).collect::<HashSet<u32>>().into_iter().collect()
    }

    #[test]
    fn order_within_a_simulation_depends_on_its_seed_only() {
        let under = |seed| {
            let _maps = SeededMaps::begin(seed);
            order(100)
        };
        assert_eq!(under(1), under(1));
        assert_ne!(under(1), under(2), "so that a dependence on the order shows under some seed");
    }

    #[test]
    fn the_former_seed_comes_back() {
        let before = order(100);
        let outer = SeededMaps::begin(1);
        let outer_order = order(100);
        drop(SeededMaps::begin(2));
        assert_eq!(order(100), outer_order);
        drop(outer);
        assert_eq!(order(100), before);
    }
}
