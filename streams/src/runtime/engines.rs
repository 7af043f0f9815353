//! The engines that keep stores in a state directory, as one: each store is with the engine that its declaration names.
//!
//! ```text
//!   stores/         fjall's
//!   stores/sled/    sled's, if a store asks for it (feature `sled`)
//! ```
//!
//! What one engine has of a store that is another's by now is removed: the store comes back from its changelog.

use std::path::Path;
use std::sync::Arc;

use anabranch_host::Disk;
use anabranch_state_store::{Engine, Result, open_engine};

use crate::topology::Topology;

/// Opens the engines that the stores of a topology ask for.
///
/// # Errors
/// If one is in use, corrupt, of another version, or the disk fails.
#[cfg(not(feature = "sled"))]
pub(super) fn open(disk: &Disk, directory: &Path, topology: &Topology) -> Result<Arc<dyn Engine>> {
    let in_fjall =
        |store: &crate::topology::StoreDefinition| store.engine == crate::state::StoreEngine::Fjall;
    debug_assert!(topology.stores.iter().all(in_fjall), "there is no other");
    open_engine(disk, directory)
}

#[cfg(feature = "sled")]
pub(super) use with_sled::open;

#[cfg(feature = "sled")]
mod with_sled {
    use std::collections::BTreeSet;

    use anabranch_state_store::{EngineStore, SledEngine, SledOptions};

    use super::{Arc, Disk, Engine, Path, Result, Topology, open_engine};
    use crate::state::StoreEngine;

    /// As without sled.
    pub(in super::super) fn open(
        disk: &Disk,
        directory: &Path,
        topology: &Topology,
    ) -> Result<Arc<dyn Engine>> {
        let fjall = open_engine(disk, directory)?;
        let asks = |store: &&crate::topology::StoreDefinition| store.engine == StoreEngine::Sled;
        let in_sled: BTreeSet<String> =
            topology.stores.iter().filter(asks).map(|store| store.name.clone()).collect();
        // It has files of its own, which no simulation sees.
        if in_sled.is_empty() || disk.is_simulated() {
            return Ok(fjall);
        }
        let sled = SledEngine::open(disk, &directory.join("sled"), SledOptions::default())?;
        let engines = Engines { fjall, sled: Arc::new(sled), in_sled };
        engines.remove_strays()?;
        Ok(Arc::new(engines))
    }

    /// Two engines.
    #[derive(Debug)]
    struct Engines {
        fjall: Arc<dyn Engine>,
        sled: Arc<dyn Engine>,
        /// The stores, by their names in the topology, that are sled's.
        in_sled: BTreeSet<String>,
    }

    impl Engines {
        /// The engine of a store by its name on disk: `<task>-<store>`, for a segment with `#` and its number.
        fn of(&self, name: &str) -> &Arc<dyn Engine> {
            let store = name.split_once('-').map_or(name, |(_, store)| store);
            let store = store.split_once('#').map_or(store, |(store, _)| store);
            if self.in_sled.contains(store) { &self.sled } else { &self.fjall }
        }

        fn remove_strays(&self) -> Result<()> {
            for engine in [&self.fjall, &self.sled] {
                for name in engine.store_names()?.iter().filter(|name| !Arc::ptr_eq(engine, self.of(name))) {
                    tracing::info!(store = %name, "it is kept by another engine by now: it is restored");
                    engine.drop_store(name)?;
                }
            }
            Ok(())
        }
    }

    impl Engine for Engines {
        fn open_store(&self, name: &str) -> Result<Box<dyn EngineStore>> {
            self.of(name).open_store(name)
        }

        fn drop_store(&self, name: &str) -> Result<()> {
            self.of(name).drop_store(name)
        }

        fn store_names(&self) -> Result<Vec<String>> {
            let mut names = self.fjall.store_names()?;
            names.extend(self.sled.store_names()?);
            names.sort_unstable();
            Ok(names)
        }

        fn sync(&self) -> Result<()> {
            self.fjall.sync()?;
            self.sled.sync()
        }
    }

    #[cfg(test)]
    mod tests {
        use anabranch_state_store::MemoryEngine;

        use super::*;

        #[test]
        fn each_store_is_with_its_own_engine() {
            let (fjall, sled) = (Arc::new(MemoryEngine::new()), Arc::new(MemoryEngine::new()));
            let in_sled = BTreeSet::from(["counts".to_string(), "by-day".to_string()]);
            let engines = Engines { fjall: fjall.clone(), sled: sled.clone(), in_sled };
            let names =
                ["0_0-by-day#17", "0_0-counts", "0_0-other", "12_3-by-day", "global-counts", "global-names"];
            for name in names {
                let write = |engine: &dyn Engine| {
                    let mut store = engine.open_store(name).expect("made");
                    store.write(&mut std::iter::empty(), None).expect("written");
                };
                // Each has what the other should have.
                write(&*fjall);
                write(&*sled);
            }
            engines.remove_strays().expect("removed");
            assert_eq!(fjall.store_names().expect("names"), ["0_0-other", "global-names"]);
            assert_eq!(engines.store_names().expect("names"), names);
            engines.drop_store("0_0-counts").expect("dropped");
            assert!(!sled.store_names().expect("names").contains(&"0_0-counts".to_string()));
        }
    }
}
