//! Standby tasks: state is followed on another instance, which goes on from there, and on another rack if there is one; an
//! instance that comes back gets its tasks back; a task moves when its target has caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_host::Host;

use super::outside::Outside;
use super::{App, counted, watched};

/// A broker that outlives the instances, and an application on it.
struct World {
    outside: Outside,
    app: App,
}

/// How many records an instance has restored of tasks that it runs.
#[derive(Clone, Default)]
struct Restored(Arc<AtomicU64>);

impl World {
    async fn start(test: &str) -> World {
        World { outside: Outside::start().await, app: App::new(test) }
    }

    /// An instance to be started; what it restores of tasks that it runs is counted.
    fn instance(&self, restored: &Restored) -> Streams {
        let restored = Arc::clone(&restored.0);
        self.of(self.app.word_count()).on_restore(move |event| {
            if let RestoreEvent::Batch { records, .. } = event {
                restored.fetch_add(*records, Ordering::Relaxed);
            }
        })
    }

    /// An instance with this topology.
    fn of(&self, topology: Topology) -> Streams {
        let streams = self.app.streams(topology);
        self.outside
            .run(streams)
            .config("num.standby.replicas", 1)
            .config("acceptable.recovery.lag", 0)
            .config("commit.interval.ms", 20)
            .config("consumer.session.timeout.ms", 6000)
            .config("consumer.heartbeat.interval.ms", 500)
    }
}

/// Writes lines of twenty words, from the first number up to the last.
async fn send(to: &RunningStreams, app: &App, from: i64, until: i64) -> Result<()> {
    let lines = to.producer(app.lines())?;
    for n in from..until {
        lines.send(None, format!("w{}", n % 20)).await?;
    }
    lines.flush().await
}

/// Waits until both instances have tasks, and gives all counts.
async fn shared(
    first: &RunningStreams,
    second: &RunningStreams,
    host: &Host,
) -> Result<BTreeMap<String, i64>> {
    loop {
        let (of_first, of_second) = (counted(first).await?, counted(second).await?);
        if !of_first.is_empty() && !of_second.is_empty() {
            assert!(of_first.keys().all(|word| !of_second.contains_key(word)), "a word has two owners");
            return Ok(of_first.into_iter().chain(of_second).collect());
        }
        host.sleep(millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_instances_tasks_go_on_from_the_standby() -> Result<()> {
    let world = World::start("standby").await;
    let (of_first, of_second) = (Restored::default(), Restored::default());
    let first = world.instance(&of_first).start().await?;
    send(&first, &world.app, 0, 2000).await?;
    first.drain().await?;

    // It warms up, and takes over a part.
    let second = world.instance(&of_second).start().await?;
    let counts = shared(&first, &second, &world.outside.host).await?;
    assert_eq!(counts.values().sum::<i64>(), 2000);
    send(&first, &world.app, 2000, 4000).await?;
    first.drain().await?;
    assert_eq!(
        of_first.0.load(Ordering::Relaxed),
        0,
        "the first restores nothing: it has all from the beginning"
    );

    // What the second knew is followed by the first, which goes on without reading it again.
    second.crash().await;
    send(&first, &world.app, 4000, 4400).await?;
    first.drain().await?;
    let counts = counted(&first).await?;
    assert!(counts.values().all(|count| *count == 220), "{counts:?}");
    assert_eq!(counts.len(), 20);
    let restored = of_first.0.load(Ordering::Relaxed);
    assert!(restored < 1000, "{restored} records restored: the standby was not used");
    first.close().await
}

/// What was told, by the store's changelog and partition.
type ByChangelog = BTreeMap<(Arc<str>, i32), Vec<StandbyEvent>>;

/// What an instance was told of its standbys.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<ByChangelog>>);

impl Told {
    fn listen(&self, streams: Streams) -> Streams {
        let told = Arc::clone(&self.0);
        streams.on_standby_update(move |event| {
            let (StandbyEvent::Start { place, .. }
            | StandbyEvent::Batch { place, .. }
            | StandbyEvent::Suspended { place, .. }) = event;
            let of = (Arc::clone(&place.topic), place.partition);
            told.lock().expect("nobody panics").entry(of).or_default().push(event.clone());
        })
    }

    /// Checks that what was told of each store is in order. How many records came, and why each store was followed no more.
    fn check(&self) -> (u64, Vec<SuspendReason>) {
        let (mut records, mut reasons) = (0, Vec::new());
        for (of, events) in &*self.0.lock().expect("nobody panics") {
            let mut at = None;
            for event in events {
                let context = || format!("{of:?}: {event:?} in {events:#?}");
                match (event, at) {
                    (StandbyEvent::Start { from, .. }, None) => at = Some(*from),
                    (StandbyEvent::Batch { next, end, records: more, .. }, Some(before)) => {
                        assert!(before <= *next && next <= end, "{}", context());
                        records += more;
                        at = Some(*next);
                    }
                    (StandbyEvent::Suspended { next, end, reason, .. }, Some(before)) => {
                        assert!(before == *next && next <= end, "{}", context());
                        reasons.push(*reason);
                        at = None;
                    }
                    _ => panic!("{}", context()),
                }
            }
        }
        (records, reasons)
    }
}

#[tokio::test]
async fn how_standbys_follow_is_told() -> Result<()> {
    let world = World::start("told").await;
    let (of_first, of_second) = (Told::default(), Told::default());
    let first = of_first.listen(world.instance(&Restored::default())).start().await?;
    send(&first, &world.app, 0, 2000).await?;
    first.drain().await?;
    let second = of_second.listen(world.instance(&Restored::default())).start().await?;
    shared(&first, &second, &world.outside.host).await?;
    send(&first, &world.app, 2000, 4000).await?;
    first.drain().await?;
    // Each follows what the other runs.
    let follows = async || {
        while of_first.check().0 == 0 || of_second.check().0 == 0 {
            world.outside.host.sleep(millis(20)).await;
        }
    };
    world.outside.host.timeout(Duration::from_secs(60), follows()).await.expect("both follow");
    second.close().await?;
    let (_, reasons) = of_second.check();
    assert!(reasons.contains(&SuspendReason::Migrated), "it ends with its instance: {reasons:?}");
    send(&first, &world.app, 4000, 4400).await?;
    first.drain().await?;
    let (_, reasons) = of_first.check();
    assert!(reasons.contains(&SuspendReason::Promoted), "the first has taken over: {reasons:?}");
    first.close().await
}

/// Its standbys are opened on another worker; the one that is stuck has the same changelogs still, and never asks for more.
#[tokio::test]
async fn standbys_of_a_worker_that_does_not_come_back_are_followed_by_another() -> Result<()> {
    let world = World::start("stuck-standby").await;
    let (release, released) = mpsc::channel::<()>();
    let (released, first) = (Mutex::new(released), AtomicBool::new(true));
    let waits = watched(&world.app, move |line| {
        if line == "wait" && first.swap(false, Ordering::Relaxed) {
            // It ends with an error, when the other end is gone.
            let _ = released.lock().expect("not poisoned").recv();
        }
    })?;
    let start = async |topology: Topology| {
        world.of(topology).config("consumer.max.poll.interval.ms", 1000).start().await
    };
    let first = start(waits).await?;
    send(&first, &world.app, 0, 2000).await?;
    first.drain().await?;
    let second = start(watched(&world.app, |_| ())?).await?;
    shared(&first, &second, &world.outside.host).await?;
    // One of them goes to the first one.
    let lines = second.producer(world.app.lines())?;
    for key in 0..20 {
        lines.send(Some(key.to_string()), "wait".to_string()).await?;
    }
    lines.flush().await?;
    second.drain().await?;
    send(&second, &world.app, 2000, 4000).await?;
    second.drain().await?;
    second.crash().await;
    send(&first, &world.app, 4000, 4400).await?;
    let taken_over = world.outside.host.timeout(Duration::from_secs(60), first.drain()).await;
    assert!(matches!(taken_over, Ok(Ok(()))), "{taken_over:?}");
    let counts = counted(&first).await?;
    assert_eq!(counts.get("w0"), Some(&220), "{counts:?}");
    drop(release);
    first.close().await
}

#[tokio::test]
async fn standbys_stand_on_other_racks() -> Result<()> {
    let world = World::start("racks").await;
    let racks = ["r", "r", "s"];
    let mut instances = Vec::new();
    for rack in racks {
        let streams = world.instance(&Restored::default()).config("client.tag.rack", rack);
        instances.push(streams.config("rack.aware.assignment.tags", "rack").start().await?);
    }
    send(&instances[0], &world.app, 0, 200).await?;
    // Word counts are in sub-topology 1. By task: the racks where it runs and where it is followed.
    let settled = || {
        let mut by_task: BTreeMap<i32, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
        for (running, rack) in instances.iter().zip(racks) {
            for status in running.tasks().into_iter().filter(|status| status.task.subtopology == 1) {
                let (active, standby) = by_task.entry(status.task.partition).or_default();
                if status.is_standby { standby.push(rack) } else { active.push(rack) }
            }
        }
        let runners: BTreeSet<&str> = by_task.values().flat_map(|(active, _)| active.clone()).collect();
        let is_apart = |(active, standby): &(Vec<&str>, Vec<&str>)| {
            active.len() == 1 && standby.len() == 1 && active != standby
        };
        by_task.len() == 3 && runners.len() == 2 && by_task.values().all(is_apart)
    };
    let wait = async {
        while !settled() {
            world.outside.host.sleep(millis(20)).await;
        }
    };
    world.outside.host.timeout(Duration::from_secs(60), wait).await.expect("each copy on the other rack");
    for running in instances {
        running.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_instance_that_comes_back_gets_its_tasks_back() -> Result<()> {
    let world = World::start("returned").await;
    let directories = [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")];
    let start = async |directory: &Path, restored: &Restored| {
        world.instance(restored).config("num.standby.replicas", 0).state_dir(directory).start().await
    };
    let (none, again) = (Restored::default(), Restored::default());
    let first = start(directories[0].path(), &none).await?;
    let second = start(directories[1].path(), &none).await?;
    send(&first, &world.app, 0, 2000).await?;
    first.drain().await?;
    shared(&first, &second, &world.outside.host).await?;
    let before = counted(&second).await?;
    second.close().await?;
    send(&first, &world.app, 2000, 2400).await?;
    let second = start(directories[1].path(), &again).await?;
    send(&first, &world.app, 2400, 2800).await?;
    first.drain().await?;
    shared(&first, &second, &world.outside.host).await?;
    let after = counted(&second).await?;
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "the words of the same tasks"
    );
    assert!(after.values().all(|count| *count == 140), "{after:?}");
    let restored = again.0.load(Ordering::Relaxed);
    assert!(restored < 1000, "{restored} records restored: its state was not used");
    first.close().await?;
    second.close().await
}

#[tokio::test]
async fn another_topology_is_refused_and_disturbs_nobody() -> Result<()> {
    let world = World::start("topology").await;
    let first = world.instance(&Restored::default()).start().await?;
    send(&first, &world.app, 0, 100).await?;
    let builder = StreamsBuilder::new();
    builder
        .stream(world.app.lines())
        .filter(|_, line| !line.is_empty())
        .to(format!("{}-others", world.app.id()));
    let other = world.outside.run(world.app.streams(builder.build()?)).start().await;
    let error = other.expect_err("it is refused").to_string();
    assert!(error.contains("another topology under the same application id"), "{error}");
    send(&first, &world.app, 100, 200).await?;
    first.drain().await?;
    assert_eq!(counted(&first).await?.values().sum::<i64>(), 200);
    first.close().await
}

#[tokio::test]
async fn state_of_a_store_that_is_no_more_is_refused() -> Result<()> {
    let world = World::start("orphan").await;
    let directory = tempfile::tempdir().expect("a directory");
    let first = world.instance(&Restored::default()).state_dir(directory.path()).start().await?;
    send(&first, &world.app, 0, 100).await?;
    first.drain().await?;
    first.close().await?;
    let builder = StreamsBuilder::new();
    builder
        .stream(world.app.lines())
        .group_by(|_, line| line.clone())
        .count_with(Store::<KeyValue<String, i64>>::named("renamed"));
    let streams = world.outside.run(world.app.streams(builder.build()?));
    let error = streams.state_dir(directory.path()).start().await.expect_err("it is refused").to_string();
    assert!(error.contains("`word-counts`"), "{error}");
    Ok(())
}
