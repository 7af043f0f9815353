//! User code that does not come back: it is named, and the tasks of its worker are given up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use anabranch::prelude::*;
use anabranch_client::{ConfigResource, ProducerRecord};
use anabranch_host::Host;
use tokio::sync::watch;

use super::outside::Outside;
use super::place::Place;
use super::{App, count, counted, expected, told, watched};

/// Whoever waits first after it was armed waits until its release is dropped.
struct Gate {
    armed: AtomicBool,
    released: Mutex<mpsc::Receiver<()>>,
}

/// Whoever waits goes on when this is dropped.
pub(crate) struct Release {
    gate: Arc<Gate>,
    _sender: mpsc::Sender<()>,
}

impl Release {
    /// Until somebody waits.
    async fn is_wanted(&self, host: &Host) {
        while self.gate.armed.load(Ordering::Relaxed) {
            host.sleep(millis(2)).await;
        }
    }
}

impl Gate {
    fn new(armed: bool) -> (Arc<Gate>, Release) {
        let (sender, released) = mpsc::channel();
        let gate = Arc::new(Gate { armed: AtomicBool::new(armed), released: Mutex::new(released) });
        (gate.clone(), Release { gate, _sender: sender })
    }

    fn wait(&self) {
        if self.armed.swap(false, Ordering::Relaxed) {
            // It ends with an error, when the other end is gone.
            let _ = self.released.lock().expect("not poisoned").recv();
        }
    }
}

/// How often a worker of an application was named that does not come back from a task.
fn named(app: &App, worker: usize, task: &str) -> usize {
    let name =
        format!("the worker {}-StreamThread-{worker} has been in user code of task {task} for", app.id());
    told::lines(&["ERROR", &name, "longer than max.poll.interval.ms: its tasks are given up"]).len()
}

/// A line "wait" does not come back from user code until the release is dropped.
pub(crate) fn waiting(app: &App) -> Result<(Topology, Release)> {
    let (gate, release) = Gate::new(true);
    let topology = watched(app, move |line| {
        if line == "wait" {
            gate.wait();
        }
    })?;
    Ok((topology, release))
}

#[tokio::test]
async fn tasks_of_a_worker_that_does_not_come_back_are_given_up() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let app = App::new("stuck");
        let (topology, release) = waiting(&app)?;
        let streams = app.streams(topology).guarantee(guarantee).config("consumer.max.poll.interval.ms", 500);
        let running = streams.start().await?;
        count(&running, app.lines(), &["a b c"]).await?;
        // Another worker reads the line again, and comes back at once.
        count(&running, app.lines(), &["a", "wait", "b"]).await?;
        assert_eq!(counted(&running).await?, expected(&[("a", 2), ("b", 2), ("c", 1), ("wait", 1)]));
        // The first one comes back late, and has no say any more.
        drop(release);
        count(&running, app.lines(), &["c", "wait"]).await?;
        let counts = counted(&running).await?;
        assert_eq!(counts, expected(&[("a", 2), ("b", 2), ("c", 2), ("wait", 2)]), "{guarantee:?}");
        running.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn another_instance_goes_on_for_a_worker_that_does_not_come_back() -> Result<()> {
    told::collect();
    let outside = Outside::start().await;
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let app = App::new("stuck-beside");
        // Whichever instance reads the line first does not come back from it; the other one does at once.
        let (topology, release) = waiting(&app)?;
        let start = async |topology: Topology| {
            let streams = outside.run(app.streams(topology).guarantee(guarantee));
            let streams = streams.config("consumer.max.poll.interval.ms", 1000);
            streams.create_topics(1).config("consumer.heartbeat.interval.ms", 100).start().await
        };
        let first = start(topology.clone()).await?;
        count(&first, app.lines(), &["a b c"]).await?;
        let second = start(topology).await?;
        let lines = first.producer(app.lines())?;
        for line in ["a", "wait", "b"] {
            lines.send(None, line.to_string()).await?;
        }
        lines.flush().await?;
        // The group hears of a commit before the instance does that shows what it has counted.
        for running in [&second, &first] {
            let drained = outside.host.timeout(seconds(60), running.drain()).await;
            assert!(matches!(drained, Ok(Ok(()))), "{drained:?} {:#?}", told::lines(&[]));
        }
        let mut counts = counted(&first).await?;
        counts.extend(counted(&second).await?);
        assert_eq!(counts, expected(&[("a", 2), ("b", 2), ("c", 1), ("wait", 1)]), "{guarantee:?}");
        assert_eq!(named(&app, 1, "0_0"), 1, "{guarantee:?}");
        drop(release);
        second.close().await?;
        first.close().await?;
    }
    Ok(())
}

/// What waits for the worker to commit waits no longer than others do.
#[tokio::test]
async fn a_worker_that_does_not_come_back_cannot_be_removed_but_is_given_up() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let place = Place::start("stuck-removed").await;
        let (topology, release) = waiting(&place.app)?;
        let streams = place.streams(topology, guarantee).create_topics(2).threads(2);
        let running = streams.config("consumer.max.poll.interval.ms", 3000).start().await?;
        let lines = place.app.lines();
        let write = |partition, line| {
            place.write_record(ProducerRecord::new(lines.name()).partition(partition).value(line))
        };
        write(0, "a b").await;
        write(1, "b c").await;
        running.drain().await?;
        // The second worker has the second task.
        write(0, "a").await;
        write(1, "wait").await;
        release.is_wanted(&place.host).await;
        let error = running.remove_thread().await.expect_err("it cannot commit").to_string();
        assert!(error.contains("worker 2 could not commit"), "{error}");
        assert_eq!(running.threads(), 2, "another one has taken its place");
        running.drain().await?;
        let counts = expected(&[("a", 2), ("b", 2), ("c", 1), ("wait", 1)]);
        assert_eq!(counted(&running).await?, counts, "{guarantee:?}");
        assert_eq!((running.remove_thread().await?, running.threads()), (3, 1));
        drop(release);
        write(1, "wait").await;
        running.drain().await?;
        assert_eq!(counted(&running).await?.get("wait"), Some(&2), "{guarantee:?}");
        running.close().await?;
        place.end().await;
    }
    Ok(())
}

/// At the end, while the first worker is in user code, the second one fails. The first one's last commit is heard all the same.
#[tokio::test]
async fn a_worker_that_fails_at_the_end_does_not_keep_another_from_its_last_commit() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let place = Place::start("fails-at-the-end").await;
        let (of_first, first) = Gate::new(true);
        let (of_second, second) = Gate::new(true);
        let topology = watched(&place.app, move |line| match line {
            "first" => of_first.wait(),
            "second" => {
                of_second.wait();
                panic!("it fails")
            }
            _ => {}
        })?;
        let streams = place.streams(topology.clone(), guarantee).create_topics(2).threads(2);
        let (states, mut state) = watch::channel(State::Created);
        let streams = streams.on_processing_error(fail()).on_state_change(move |new, _| {
            states.send_replace(new);
        });
        let running = streams.config("commit.interval.ms", 5000).start().await?;
        for (partition, line) in [(0, "first"), (1, "second")] {
            let lines = place.app.lines();
            let record = ProducerRecord::new(lines.name()).partition(partition);
            place.write_record(record.value(line)).await;
        }
        first.is_wanted(&place.host).await;
        second.is_wanted(&place.host).await;
        let in_turn = async {
            state.wait_for(|state| *state == State::PendingShutdown).await.expect("it is there");
            drop(second);
            // Time for the failure to be heard; it does not matter if it is not.
            place.host.sleep(millis(200)).await;
            drop(first);
        };
        let ended = async { tokio::join!(running.close(), in_turn).0 };
        let ended = place.host.timeout(seconds(60), ended).await.expect("it ends");
        assert!(ended.expect_err("a worker has failed").to_string().contains("it fails"), "{guarantee:?}");
        // What the first one has counted is committed: it is not counted again.
        let passes = watched(&place.app, |_| {})?;
        let running = place.streams(passes, guarantee).start().await?;
        running.drain().await?;
        assert_eq!(counted(&running).await?, expected(&[("first", 1), ("second", 1)]), "{guarantee:?}");
        running.close().await?;
        place.end().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_restore_listener_that_does_not_come_back_is_named() -> Result<()> {
    told::collect();
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let place = Place::start("stuck-listener").await;
        let streams = || {
            let streams = place.streams(place.app.word_count(), guarantee).create_topics(1);
            streams.config("consumer.max.poll.interval.ms", 500)
        };
        let running = streams().start().await?;
        count(&running, place.app.lines(), &["to be or not to be"]).await?;
        running.close().await?;
        let (gate, release) = Gate::new(true);
        let running = streams().on_restore(move |_| gate.wait()).start().await?;
        assert_eq!(named(&place.app, 1, "1_0"), 1, "{guarantee:?}");
        count(&running, place.app.lines(), &["to"]).await?;
        let counts = expected(&[("to", 3), ("be", 2), ("or", 1), ("not", 1)]);
        assert_eq!(counted(&running).await?, counts, "{guarantee:?}");
        drop(release);
        running.close().await?;
        place.end().await;
    }
    Ok(())
}

/// Passes on what comes.
struct AsItIs;

impl Processor for AsItIs {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = Option<String>;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<Option<String>, String>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        ctx.forward(record);
        Ok(())
    }
}

/// A record that is refused makes what is not committed be undone, and with that processors be made anew.
#[tokio::test]
async fn a_processor_whose_making_does_not_come_back_is_named() -> Result<()> {
    told::collect();
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let place = Place::start("stuck-made").await;
        let out: Topic<Option<String>, String> = Topic::named(format!("{}-out", place.app.id()));
        let (gate, release) = Gate::new(false);
        let (builder, asked) = (StreamsBuilder::new(), Arc::clone(&gate));
        let made = move |_: &mut InitContext<'_, AsItIs>| {
            asked.wait();
            AsItIs
        };
        builder.stream(place.app.lines()).process(made).to(out.clone());
        let streams = place.streams(builder.build()?, guarantee).create_topics(1);
        let streams = streams.on_production_error(skip()).config("consumer.max.poll.interval.ms", 500);
        let running = streams.start().await?;
        let topic = ConfigResource::Topic(out.name().to_string());
        let (admin, small) = (place.client.admin(), [("max.message.bytes", Some("5000"))]);
        admin.alter_configs(&topic, &small).await.expect("a setting of the topic");
        gate.armed.store(true, Ordering::Relaxed);
        count(&running, place.app.lines(), &["first", &"x".repeat(9000), "last"]).await?;
        assert_eq!(named(&place.app, 1, "0_0"), 1, "{guarantee:?}");
        let mut written = running.consumer(out).await?.from_the_start()?;
        let mut values = vec![written.next().await?.value];
        while values.last().is_some_and(|value| value != "last") {
            values.push(written.next().await?.value);
        }
        assert!(values.iter().all(|value| value == "first" || value == "last"), "{values:?}");
        assert!(guarantee == AtLeastOnce || values.len() == 2, "{values:?}");
        drop(release);
        running.close().await?;
        place.end().await;
    }
    Ok(())
}
