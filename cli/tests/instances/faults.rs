//! What happens to instances and server, by a seed.

use std::time::Duration;

use anabranch::prelude::ExactlyOnce;

use crate::proxy::{
    ADD_PARTITIONS_TO_TXN, Cut, END_TXN, INIT_PRODUCER_ID, JOIN_GROUP, OFFSET_COMMIT, OTHERS, PRODUCE,
    SYNC_GROUP, TXN_OFFSET_COMMIT,
};
use crate::world::{Setting, World};

/// After so many faults the application is left alone until it has got on.
const FAULTS_ON_END: usize = 6;
/// So many results are got on with.
const RESULTS: usize = 50;

/// What may happen.
#[derive(Clone, Copy, Debug)]
enum Fault {
    KillInstance,
    KillServer,
    PauseServer,
    KillBoth,
    CloseInstance,
    ChangeThreads,
    PauseInstance,
    CutConnection,
}

/// Lets faults happen until so many processes were killed.
pub(crate) async fn happen(world: &mut World, setting: &Setting, dice: &mut fastrand::Rng, kills: usize) {
    let (mut killed, mut faults) = (0, 0);
    while killed < kills {
        world.sleep(Duration::from_millis(dice.u64(1..1200))).await;
        faults += 1;
        if faults % FAULTS_ON_END == 0 {
            world.let_it_get_on(RESULTS).await;
        }
        let fault = match dice.u32(0..100) {
            0..30 => Fault::KillInstance,
            30..40 => Fault::KillServer,
            40..45 => Fault::PauseServer,
            45..55 => Fault::KillBoth,
            55..60 => Fault::CloseInstance,
            60..65 => Fault::ChangeThreads,
            // Who wakes up when others have its tasks is kept apart from them by nothing but transactions.
            65..80 if setting.guarantee == ExactlyOnce => Fault::PauseInstance,
            _ => Fault::CutConnection,
        };
        println!("{:?}: {fault:?}", world.host.now().since_start());
        match fault {
            Fault::KillInstance => killed += kill_instance(world, setting, dice),
            Fault::KillServer => killed += kill_server(world, dice).await,
            Fault::PauseServer => pause_server(world, dice).await,
            Fault::KillBoth => {
                killed += kill_instance(world, setting, dice);
                killed += kill_server(world, dice).await;
            }
            Fault::CloseInstance => close_instance(world, dice),
            Fault::ChangeThreads => change_threads(world, dice),
            Fault::PauseInstance => pause_instance(world, setting, dice),
            Fault::CutConnection => cut_connection(world, setting, dice),
        }
    }
}

/// One that runs, if any does.
fn one_of_the_running(world: &World, dice: &mut fastrand::Rng) -> Option<usize> {
    dice.choice(world.running())
}

/// Kills an instance, which comes back at once or when it is missed; with its state, without it, or with one that is damaged.
fn kill_instance(world: &mut World, setting: &Setting, dice: &mut fastrand::Rng) -> usize {
    let Some(number) = one_of_the_running(world, dice) else { return 0 };
    world.instances[number].kill();
    // Under at-least-once, whoever lost its state is another member: all wait until this one is missed.
    if setting.guarantee == ExactlyOnce && dice.u32(0..6) == 0 {
        world.instances[number].lose_state();
    }
    if dice.u32(0..8) == 0
        && let Some(damage) = world.instances[number].damage_state(dice)
    {
        println!("instance {number}: {damage}");
    }
    let after = match dice.u32(0..3) {
        0 if setting.guarantee == ExactlyOnce => setting.session + Duration::from_millis(dice.u64(0..1500)),
        _ => Duration::from_millis(dice.u64(0..500)),
    };
    world.start_later(number, after);
    1
}

async fn kill_server(world: &mut World, dice: &mut fastrand::Rng) -> usize {
    let Some(mut server) = world.server.take() else { return 0 };
    server.kill();
    world.sleep(Duration::from_millis(dice.u64(0..500))).await;
    server.start_again(&world.host).await;
    world.server = Some(server);
    1
}

/// The server stands still: connections stay, and nobody answers.
async fn pause_server(world: &mut World, dice: &mut fastrand::Rng) {
    let Some(server) = world.server.take() else { return };
    server.signal("-STOP");
    world.sleep(Duration::from_millis(dice.u64(0..3000))).await;
    server.signal("-CONT");
    world.server = Some(server);
}

/// An instance is told to end, and comes back.
fn close_instance(world: &mut World, dice: &mut fastrand::Rng) {
    let Some(number) = one_of_the_running(world, dice) else { return };
    world.instances[number].close_by_itself();
    world.start_later(number, Duration::from_millis(dice.u64(0..2000)));
}

/// An instance gets a worker more, or one less if it has several.
fn change_threads(world: &mut World, dice: &mut fastrand::Rng) {
    let Some(number) = one_of_the_running(world, dice) else { return };
    world.instances[number].tell(if dice.bool() { "more" } else { "fewer" });
}

/// An instance stands still, mostly for so long that others have its tasks when it wakes up.
fn pause_instance(world: &mut World, setting: &Setting, dice: &mut fastrand::Rng) {
    let Some(number) = one_of_the_running(world, dice) else { return };
    world.instances[number].stop();
    let session_ms = setting.session.as_millis() as u64;
    let after = match dice.u32(0..3) {
        0 => dice.u64(0..session_ms),
        _ => session_ms + dice.u64(300..2000),
    };
    world.go_on_later(number, Duration::from_millis(after));
}

/// The next requests of some kinds are lost, or their responses, or come late. What comes late from an instance that has
/// been killed may undo what the next one does, unless there are transactions.
fn cut_connection(world: &mut World, setting: &Setting, dice: &mut fastrand::Rng) {
    let Some(proxy) = &world.proxy else { return };
    let api_keys: &[i16] = match setting.guarantee == ExactlyOnce {
        true => &[
            END_TXN,
            END_TXN,
            END_TXN,
            TXN_OFFSET_COMMIT,
            TXN_OFFSET_COMMIT,
            PRODUCE,
            INIT_PRODUCER_ID,
            ADD_PARTITIONS_TO_TXN,
            JOIN_GROUP,
            SYNC_GROUP,
        ],
        false => &[OFFSET_COMMIT, OFFSET_COMMIT, OFFSET_COMMIT, PRODUCE, JOIN_GROUP, SYNC_GROUP],
    };
    for _ in 0..dice.u32(1..5) {
        let api_key = match dice.u32(0..5) {
            0 => dice.choice(OTHERS).expect("some"),
            _ => dice.choice(api_keys.iter().copied()).expect("some"),
        };
        let cut = match dice.u32(0..5) {
            0..3 => Cut::After,
            3 => Cut::Before,
            _ if setting.guarantee == ExactlyOnce => Cut::Late(Duration::from_millis(dice.u64(0..2000))),
            _ => Cut::After,
        };
        proxy.cut(api_key, cut);
    }
}
