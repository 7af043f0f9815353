//! Stores that are filled at once, by every engine.

use anabranch_host::Host;

use super::journal::JournalEngine;
use super::long_keys::PREFIX_BYTES;
use super::memory::MemoryEngine;
use super::runs::Runs;
use super::tests::{Model, ON_DISK, model_range, read, write};
use super::*;
use crate::random::Random;

/// Waits until all is in a store.
pub(super) fn finish(mut loading: Loading, store: &mut dyn EngineStore) -> Result<()> {
    loop {
        loading.wait();
        if loading.advance(store)? {
            return Ok(());
        }
    }
}

/// Rows that are loaded into a new store are there, the newest of each key, and again after the end; what is given up on the
/// way leaves no checkpoint.
fn loads_what_was_collected(
    mut engine: Box<dyn Engine>,
    reopen: impl Fn(Box<dyn Engine>) -> Box<dyn Engine>,
) {
    for seed in 0..12 {
        let random = &mut Random(seed);
        let name = format!("0_0-loaded-{seed}");
        let mut store = engine.open_store(&name).expect("sound");
        let mut runs = Runs::new(&name, store.engine());
        runs.set_limit([usize::MAX, 100_000, 0][seed as usize % 3]);
        let mut model = Model::new();
        for _ in 0..[0, 1, 30, 3000][seed as usize % 4] {
            let mut key = random.bytes(2);
            if random.below(100) == 0 {
                // In a bucket, if the engine has them.
                key.resize(PREFIX_BYTES - 1 + random.below(3), 7);
                key[2] = random.below(2) as u8;
            }
            let value = (random.below(4) > 0).then(|| random.bytes(300));
            let row = value.as_deref().map(|value| Row::new(value, 3));
            runs.push(&key, row, || Ok(store.scratch_file()?.map(Arc::new))).expect("sound");
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
        }
        let checkpoint = Checkpoint { offset: seed as i64, wall_clock_ms: 1 };
        let mut loading = store.load(runs.merge(), Some(checkpoint)).expect("sound");
        if seed % 5 == 4 {
            let is_in = loading.advance(&mut *store).expect("sound");
            drop((loading, store));
            engine = reopen(engine);
            let store = engine.open_store(&name).expect("sound");
            let known = store.checkpoint().expect("sound");
            assert!(known == Some(checkpoint) || known.is_none() && !is_in, "{known:?}");
            continue;
        }
        finish(loading, &mut *store).expect("sound");
        for _ in 0..2 {
            assert_eq!(store.checkpoint().expect("sound"), Some(checkpoint), "seed {seed}");
            for order in [Order::Forward, Order::Reverse] {
                let (snapshot, all) = (store.snapshot().expect("sound"), KeyRange::all());
                assert!(read(&*snapshot, &all, order) == model_range(&model, &all, order), "seed {seed}");
            }
            let mut row = RowBuffer::default();
            for (key, value) in &model {
                assert!(store.get(key, &mut row).expect("sound") && row.value == *value, "seed {seed}");
            }
            // What is written later is newer.
            let change = [(vec![1], Some(vec![seed as u8]))];
            write(&mut *store, &change, None).expect("sound");
            model.insert(vec![1], vec![seed as u8]);
            drop(store);
            engine = reopen(engine);
            store = engine.open_store(&name).expect("sound");
        }
    }
}

#[test]
fn every_engine_loads_what_was_collected() {
    loads_what_was_collected(Box::new(MemoryEngine::new()), |engine| engine);
    let (host, _runtime) = Host::real(1).expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let open = || -> Box<dyn Engine> {
        Box::new(JournalEngine::open(&host.disk(), directory.path()).expect("sound"))
    };
    loads_what_was_collected(open(), |engine| {
        drop(engine);
        open()
    });
    for (_, open) in ON_DISK {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || open(&host, directory.path()).expect("sound");
        loads_what_was_collected(open(), |engine| {
            drop(engine);
            open()
        });
    }
}
