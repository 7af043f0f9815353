//! Stores of records that wait (suppressed, within grace, not joined yet) against a model of maps: aborts, and crashes after
//! which the changelog brings them back.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use super::check::{Logged, Random, Tested};
use super::{GraceState, Side, StoreSupplier, SuppressState, Take, TaskStore, UnjoinedState};
use crate::serdes::{BigEndian, Serde, big_endian, text};

const KEYS: [&str; 3] = ["a", "aa", "b"];

trait Waiting: TaskStore + Sized {
    type Model: Clone + Default + Debug;

    /// Does something to both.
    fn act(store: &mut Tested<Self>, model: &mut Self::Model, random: &mut Random, step: i64);

    /// Fails if they hold different things.
    fn compare(store: &mut Self, model: &Self::Model);
}

fn key(random: &mut Random) -> String {
    KEYS[random.below(3) as usize].to_string()
}

impl Waiting for SuppressState<String, String> {
    /// New and prior value, by time, then by key.
    type Model = BTreeMap<(i64, String), (Option<String>, Option<String>)>;

    fn act(store: &mut Tested<Self>, model: &mut Self::Model, random: &mut Random, step: i64) {
        if random.below(3) == 0 {
            let taken = store.store.take_first().map(|taken| store.store.read(&taken).unwrap());
            let expected = model.pop_first().map(|((_, key), (new, prior))| (key, new, prior));
            assert_eq!(taken, expected);
            return;
        }
        let (key, time) = (key(random), random.below(50));
        let new = (random.below(4) > 0).then(|| step.to_string());
        let old = (random.below(2) > 0).then(|| (step - 1).to_string());
        store.at(time, |store, write| store.put(time, &key, new.as_ref(), old.as_ref(), write));
        let since = model.keys().find(|(_, known)| *known == key).cloned();
        let prior = since.as_ref().map_or(old, |since| model[since].1.clone());
        model.insert(since.unwrap_or((time, key)), (new, prior));
    }

    fn compare(store: &mut Self, model: &Self::Model) {
        assert_eq!(store.records(), model.len() as u64);
        assert_eq!(store.first_time(), model.first_key_value().map(|((time, _), _)| *time));
        for key in KEYS {
            let waits = model.iter().find(|((_, known), _)| known == key);
            assert_eq!(store.prior(&key.to_string()).unwrap(), waits.map(|(_, (_, prior))| prior.clone()));
        }
    }
}

impl Waiting for GraceState<String, String> {
    type Model = BTreeMap<(i64, String, u32), String>;

    fn act(store: &mut Tested<Self>, model: &mut Self::Model, random: &mut Random, step: i64) {
        let time = random.below(50);
        if random.below(3) == 0 {
            for due in store.store.due(time).unwrap() {
                store.at(time, |store, write| store.remove(&due, write));
            }
            model.retain(|(waits, ..), _| *waits > time);
            return;
        }
        let (key, sequence) = (key(random), step as u32);
        store.at(time, |store, write| store.add(&key, &step.to_string(), sequence, write));
        model.insert((time, key, sequence), step.to_string());
    }

    fn compare(store: &mut Self, model: &Self::Model) {
        let due = store.due(i64::MAX).unwrap().into_iter();
        let due: Vec<_> = due.map(|due| (due.record.timestamp, due.key, due.value)).collect();
        let expected = model.iter().map(|((time, key, _), value)| (*time, key.clone(), value.clone()));
        assert_eq!(due, expected.collect::<Vec<_>>());
    }
}

impl Waiting for UnjoinedState<String> {
    /// By time, then right before left, then by key.
    type Model = BTreeMap<(i64, bool, String), Vec<i64>>;

    fn act(store: &mut Tested<Self>, model: &mut Self::Model, random: &mut Random, step: i64) {
        let (key, time, is_left) = (key(random), random.below(10), random.below(2) == 0);
        let side = if is_left { Side::Left } else { Side::Right };
        if random.below(3) == 0 {
            store.at(time, |store, write| store.remove_joined(time, side, &key, write));
            model.remove(&(time, is_left, key));
            return;
        }
        let serde: &dyn Serde<i64> = &BigEndian;
        store.at(time, |store, write| store.add(side, &key, (serde, &step), write));
        model.entry((time, is_left, key)).or_default().push(step);
    }

    fn compare(store: &mut Self, model: &Self::Model) {
        let rows = store.rows(|_, _| Take::It).unwrap().into_iter();
        let rows = rows.map(|row| {
            let values = store.values_of::<i64>(&row, &big_endian()).unwrap();
            ((row.time, row.side == Side::Left, store.key_of(&row).unwrap()), values)
        });
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows, model.clone().into_iter().collect::<Vec<_>>());
    }
}

fn check<S: Waiting>(supplier: &StoreSupplier, seed: u64) {
    let mut random = Random(seed);
    let mut store = Tested::<S>::new(supplier);
    let (mut model, mut committed, mut logged) = (S::Model::default(), S::Model::default(), 0);
    for step in 0..600 {
        match random.below(12) {
            0 => {
                store.commit();
                assert_eq!(store.store.uncommitted_bytes(), 0);
                (committed, logged) = (model.clone(), store.log().len());
            }
            1 => {
                store.store.abort();
                assert_eq!(store.store.uncommitted_bytes(), 0);
                store.forget(logged);
                model = committed.clone();
            }
            2 => {
                let log: Vec<Logged> = store.log()[..logged].to_vec();
                store = Tested::restored(supplier, &log);
                model = committed.clone();
            }
            _ => S::act(&mut store, &mut model, &mut random, step),
        }
        S::compare(&mut store.store, &model);
        assert_eq!(store.store.resident_bytes(), 0, "nothing can be forgotten of it");
    }
}

fn agrees_with_the_model<S: Waiting>(supplier: &StoreSupplier) {
    for seed in 1..9 {
        let run = std::panic::AssertUnwindSafe(|| check::<S>(supplier, seed));
        let agrees = std::panic::catch_unwind(run).is_ok();
        assert!(agrees, "to replay: check::<{}>(.., {seed})", std::any::type_name::<S>());
    }
}

#[test]
fn suppressed_updates_agree_with_the_model() {
    type Suppressed = SuppressState<String, String>;
    agrees_with_the_model::<Suppressed>(&Suppressed::supplier(Arc::new(text()), Arc::new(text())));
}

/// What waits is counted where it lies, and what an abort would bring back is counted until the commit.
#[test]
fn what_waits_is_counted() {
    fn check<S: Waiting>(supplier: &StoreSupplier) {
        let (mut random, mut model) = (Random(3), S::Model::default());
        let mut store = Tested::<S>::new(supplier);
        let (mut uncommitted, mut pinned) = (0, 0);
        for step in 0..30 {
            S::act(&mut store, &mut model, &mut random, step);
            uncommitted = uncommitted.max(store.store.uncommitted_bytes());
            pinned = pinned.max(store.store.pinned_bytes());
        }
        assert!(uncommitted > 0 && pinned > 30, "{}: {uncommitted} {pinned}", std::any::type_name::<S>());
        store.commit();
        assert_eq!(store.store.uncommitted_bytes(), 0);
    }
    let texts = || (Arc::new(text()), Arc::new(text()));
    check::<SuppressState<String, String>>(&SuppressState::<String, String>::supplier(texts().0, texts().1));
    check::<GraceState<String, String>>(&GraceState::<String, String>::supplier(texts().0, texts().1));
    check::<UnjoinedState<String>>(&UnjoinedState::<String>::supplier(texts().0));
}

#[test]
fn records_within_grace_agree_with_the_model() {
    type Grace = GraceState<String, String>;
    agrees_with_the_model::<Grace>(&Grace::supplier(Arc::new(text()), Arc::new(text())));
}

#[test]
fn unjoined_records_agree_with_the_model() {
    type Unjoined = UnjoinedState<String>;
    agrees_with_the_model::<Unjoined>(&Unjoined::supplier(Arc::new(text())));
}
