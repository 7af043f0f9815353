//! Instances of one application as processes on the built server, killed, stopped and cut off again and again: the result is
//! that of an undisturbed run.
//!
//! The application has an aggregation, a stream-stream join, a windowed count behind a repartition, sessions, a suppression,
//! a global table and versions of rows. Input is written all the while. At about one kill in eight, files of the instance's state directory are damaged before it comes back. 20
//! kills; `ANABRANCH_FULL=1` makes 200. What happens when comes from a seed (`ANABRANCH_SEED` replays it as
//! well as a real machine can). On a server that `ANABRANCH_KAFKA=host:port` names, only instances are disturbed.
//!
//! Reading order: [`judge`] and [`kinds`] (what must be true in the end), [`application`] (what is computed, and the process that does),
//! [`instance`], [`process`] (the server), [`proxy`] (what cuts connections), [`topics`], [`world`] (all of them
//! together), [`faults`], then the runs here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::disallowed_methods, reason = "these tests are about processes and their files")]

mod application;
mod faults;
mod instance;
mod judge;
mod kinds;
#[path = "../kill_9/process.rs"]
mod process;
mod proxy;
mod topics;
mod world;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anabranch::prelude::{AtLeastOnce, ExactlyOnce};
use anabranch_host::Host;

use application::INSTANCE;
use world::{Setting, World};

/// What runs in the processes of instances, which are this program once more. Nothing is to be done if it is run for itself.
#[test]
fn an_instance_of_the_application() {
    match std::env::var(INSTANCE) {
        Ok(settings) => application::run(&settings),
        Err(_) => eprintln!("SKIPPED: it is the process that the other tests start"),
    }
}

fn is_on_kafka() -> bool {
    std::env::var_os("ANABRANCH_KAFKA").is_some()
}

/// How many kills, where the tests run and how much of them is wanted.
fn kills(usual: usize) -> usize {
    match std::env::var_os("ANABRANCH_FULL") {
        Some(_) => usual * 10,
        None if is_on_kafka() => usual / 3,
        None => usual,
    }
}

/// A run of its own world under a seed; one at a time, since each has enough to do for a machine.
fn run(test: &str, body: impl AsyncFn(&Host, u64, &mut fastrand::Rng)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _this_one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (host, runtime) = Host::real(2).unwrap();
    let seed =
        std::env::var("ANABRANCH_SEED").ok().map(|seed| seed.parse().expect("ANABRANCH_SEED is a number"));
    let seed = seed.unwrap_or_else(|| host.random_u64());
    println!("replay: ANABRANCH_SEED={seed} cargo test -p anabranch-cli --test instances {test}");
    let mut dice = fastrand::Rng::with_seed(seed);
    runtime.block_on(async { body(&host, seed, &mut dice).await });
}

/// After how long an instance is missed: as short as the server lets it be.
fn session() -> Duration {
    Duration::from_millis(if is_on_kafka() { 6000 } else { 2000 })
}

fn exactly_once(standbys: u64, dice: &mut fastrand::Rng) -> Setting {
    Setting {
        guarantee: ExactlyOnce,
        instances: dice.usize(2..4),
        threads: dice.u64(1..3),
        standbys,
        cache_max_bytes: dice.choice([0, 10_000_000]).expect("one of two"),
        commit_interval_ms: dice.choice([10, 30, 100]).expect("one of three"),
        load: dice.choice([1, 1, 10]).expect("one of three"),
        session: session(),
    }
}

async fn disturbed(host: &Host, setting: Setting, seed: u64, dice: &mut fastrand::Rng, kills: usize) {
    let mut world = World::start(host, setting.clone(), seed).await;
    world.instances.iter_mut().for_each(instance::Instance::start);
    faults::happen(&mut world, &setting, dice, kills).await;
    world.let_it_get_on(20 * kills).await;
    world.end().await;
}

#[test]
fn exactly_once_leaves_no_trace_of_faults() {
    run("exactly_once_leaves_no_trace_of_faults", async |host, seed, dice| {
        let setting = exactly_once(0, dice);
        disturbed(host, setting, seed, dice, kills(10)).await;
    });
}

#[test]
fn exactly_once_with_standbys_leaves_no_trace_of_faults() {
    run("exactly_once_with_standbys_leaves_no_trace_of_faults", async |host, seed, dice| {
        let setting = exactly_once(1, dice);
        disturbed(host, setting, seed, dice, kills(10)).await;
    });
}

#[test]
fn at_least_once_misses_nothing() {
    run("at_least_once_misses_nothing", async |host, seed, dice| {
        let standbys = dice.u64(0..2);
        // Long, lest one is missed that is alive: nothing keeps it and its heir apart.
        let setting = Setting {
            guarantee: AtLeastOnce,
            session: Duration::from_secs(30),
            ..exactly_once(standbys, dice)
        };
        disturbed(host, setting, seed, dice, kills(6)).await;
    });
}

/// Results to get on with before an instance joins: far more than come while its copies are behind.
const MANY: usize = 4000;

#[test]
fn tasks_move_when_they_are_warm_and_come_back_to_whom_had_them() {
    run("tasks_move_when_they_are_warm_and_come_back_to_whom_had_them", async |host, seed, dice| {
        let setting = Setting { instances: 2, cache_max_bytes: 0, load: 1, ..exactly_once(0, dice) };
        let mut world = World::start(host, setting, seed).await;
        world.start_instance(0).await;
        world.let_it_get_on(MANY).await;

        // It has nothing, warms up and only then gets its share.
        world.start_instance(1).await;
        let share = world.tasks(1, |tasks| tasks.len() >= 4).await;
        let restored = world.restored(1).await;
        assert!(restored < MANY / 4, "{restored} records restored of tasks that were to be warm");
        world.let_it_get_on(200).await;

        // Killed or closed, it is the same when it comes back, and has kept its state.
        for is_killed in [true, false] {
            match is_killed {
                true => world.instances[1].kill(),
                false => world.instances[1].close(host).await,
            }
            world.sleep(Duration::from_millis(dice.u64(0..500))).await;
            world.start_instance(1).await;
            world.tasks(1, |tasks| tasks == share).await;
            let restored = world.restored(1).await;
            assert!(restored < MANY / 4, "{restored} records restored of state that was there");
            world.let_it_get_on(200).await;
        }
        world.end().await;
    });
}
