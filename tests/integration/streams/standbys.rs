//! Standby tasks: state is followed on another instance, which goes on from there; an instance that comes back gets its
//! tasks back; a task moves when its target has caught up.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anabranch::prelude::*;
use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{Host, RealRuntime};

use super::{App, counted};

/// A broker that outlives the instances, and an application on it.
struct World {
    host: Host,
    _runtime: RealRuntime,
    broker: EmbeddedBroker,
    app: App,
}

/// How many records an instance has restored of tasks that it runs.
#[derive(Clone, Default)]
struct Restored(Arc<AtomicU64>);

impl World {
    async fn start(test: &str) -> World {
        let (host, runtime) = Host::real(2).expect("threads");
        let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await.expect("a broker");
        World { host, _runtime: runtime, broker, app: App::new(test) }
    }

    /// An instance to be started; what it restores of tasks that it runs is counted.
    fn instance(&self, restored: &Restored) -> Streams {
        let restored = Arc::clone(&restored.0);
        self.app
            .streams(self.app.word_count())
            .on(self.host.clone(), self.broker.dialer())
            .config("num.standby.replicas", 1)
            .config("acceptable.recovery.lag", 0)
            .config("commit.interval.ms", 20)
            .config("consumer.session.timeout.ms", 6000)
            .config("consumer.heartbeat.interval.ms", 500)
            .on_restore(move |event| {
                if let RestoreEvent::Batch { records, .. } = event {
                    restored.fetch_add(*records, Ordering::Relaxed);
                }
            })
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
    let counts = shared(&first, &second, &world.host).await?;
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
    shared(&first, &second, &world.host).await?;
    let before = counted(&second).await?;
    second.close().await?;
    send(&first, &world.app, 2000, 2400).await?;
    let second = start(directories[1].path(), &again).await?;
    send(&first, &world.app, 2400, 2800).await?;
    first.drain().await?;
    shared(&first, &second, &world.host).await?;
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
    let other =
        world.app.streams(builder.build()?).on(world.host.clone(), world.broker.dialer()).start().await;
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
    let streams = world.app.streams(builder.build()?).on(world.host.clone(), world.broker.dialer());
    let error = streams.state_dir(directory.path()).start().await.expect_err("it is refused").to_string();
    assert!(error.contains("`word-counts`"), "{error}");
    Ok(())
}
