//! A running application under its user's control: states, workers that come and go, rest, failures, an end in time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use anabranch::prelude::*;
use anabranch_client::{ClientError, TransactionFilter};
use anabranch_host::Host;
use tokio::sync::mpsc::unbounded_channel;

use super::outside::Outside;
use super::stuck::waiting;
use super::{App, count, counted, expected, told, watched};

type States = Arc<Mutex<Vec<State>>>;

/// Notes every state that an application enters.
fn noting(streams: Streams) -> (Streams, States) {
    let states = States::default();
    let noted = Arc::clone(&states);
    (streams.on_state_change(move |new, _| noted.lock().expect("not poisoned").push(new)), states)
}

fn noted(states: &States) -> String {
    let states = states.lock().expect("not poisoned");
    states.iter().map(State::to_string).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn states_follow_one_another() -> Result<()> {
    let app = App::new("states");
    let (streams, states) = noting(app.streams(app.word_count()));
    let running = streams.start().await?;
    assert_eq!(running.state(), State::Running);
    running.close().await?;
    assert_eq!(noted(&states), "REBALANCING RUNNING PENDING_SHUTDOWN NOT_RUNNING");

    let app = App::new("failed");
    let topology = watched(&app, |line| assert_ne!(line, "poison"))?;
    let (streams, states) = noting(app.streams(topology).on_processing_error(fail()));
    let running = streams.start().await?;
    let drained = count(&running, app.lines(), &["poison"]).await;
    assert!(drained.is_err(), "{drained:?}");
    assert!(running.close().await.is_err());
    assert_eq!(noted(&states), "REBALANCING RUNNING PENDING_ERROR ERROR");
    Ok(())
}

#[tokio::test]
async fn workers_come_and_go() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let app = App::new("workers");
        let running = app.streams(app.word_count()).guarantee(guarantee).start().await?;
        let mut total = 0;
        let mut more = async |running: &RunningStreams| -> Result<()> {
            let lines = running.producer(app.lines())?;
            for n in 0..100 {
                lines.send(None, format!("w{n}")).await?;
            }
            lines.flush().await?;
            total += 1;
            running.drain().await?;
            let counts = counted(running).await?;
            assert!(counts.len() == 100 && counts.values().all(|count| *count == total), "{counts:?}");
            Ok(())
        };
        more(&running).await?;
        assert_eq!((running.add_thread().await?, running.threads()), (2, 2));
        more(&running).await?;
        assert_eq!((running.add_thread().await?, running.threads()), (3, 3));
        more(&running).await?;
        assert_eq!((running.remove_thread().await?, running.threads()), (3, 2));
        more(&running).await?;
        assert_eq!((running.remove_thread().await?, running.threads()), (2, 1));
        assert!(running.remove_thread().await.is_err(), "the last one stays");
        more(&running).await?;
        running.close().await?;
    }
    Ok(())
}

/// A task moves to another worker when its own has just gone back to the last commit: what it reads again comes to where it is.
#[tokio::test]
async fn a_task_that_moves_amid_an_undone_transaction_reads_on() -> Result<()> {
    let app = App::new("moves");
    let (look, mut looked) = unbounded_channel();
    let topology = watched(&app, move |_| {
        // Whoever waits for it may have ended.
        let _ = look.send(());
    })?;
    let streams = app.streams(topology).guarantee(ExactlyOnce);
    let streams = streams.config("commit.interval.ms", 60_000);
    let running = streams.config("producer.transaction.timeout.ms", 600_000).start().await?;
    let words: Vec<String> = (0..60).map(|n| format!("w{n}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    count(&running, app.lines(), &words).await?;
    let lines = running.producer(app.lines())?;
    for word in &words {
        lines.send(None, (*word).to_string()).await?;
    }
    lines.flush().await?;
    for _ in 0..2 * words.len() {
        looked.recv().await;
    }
    // Somebody else takes the transactional id: the commit before the tasks move is refused.
    let admin = running.client().admin();
    let failed = |error: ClientError| Error::fatal("fencing").with_source(error);
    let listed = admin.list_transactions(&TransactionFilter::default()).await.map_err(failed)?;
    let mine = listed.into_iter().find(|one| one.transactional_id.starts_with(app.id()));
    admin.fence_producers(&mine.expect("it has one").transactional_id).await.map_err(failed)?;
    assert_eq!((running.add_thread().await?, running.threads()), (2, 2));
    let counting = count(&running, app.lines(), &words);
    let host = running.client().host().clone();
    host.timeout(seconds(60), counting).await.expect("all of it is read")?;
    let counts = counted(&running).await?;
    assert!(counts.len() == 60 && counts.values().all(|count| *count == 3), "{counts:?}");
    running.close().await
}

#[tokio::test]
async fn a_paused_application_processes_nothing() -> Result<()> {
    let app = App::new("paused");
    let running = app.streams(app.word_count()).start().await?;
    count(&running, app.lines(), &["to be"]).await?;
    running.pause();
    let host = running.client().host().clone();
    let lines = running.producer(app.lines())?;
    lines.send(None, "or not to be".to_string()).await?;
    lines.flush().await?;
    assert!(host.timeout(millis(300), running.drain()).await.is_err(), "nothing is drained");
    assert_eq!(counted(&running).await?, expected(&[("to", 1), ("be", 1)]));
    running.resume();
    running.drain().await?;
    assert_eq!(counted(&running).await?, expected(&[("to", 2), ("be", 2), ("or", 1), ("not", 1)]));
    running.close().await
}

#[tokio::test]
async fn a_worker_that_fails_is_replaced() -> Result<()> {
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let app = App::new("replaced");
        // At once, then after a pause, then after a longer one.
        let deadly = AtomicUsize::new(3);
        let topology = watched(&app, move |line| {
            let fails = |left: usize| left.checked_sub(1);
            let deadly = || deadly.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok();
            assert!(line != "poison" || !deadly(), "poisoned for a while");
        })?;
        let asked = Arc::new(Mutex::new(String::new()));
        let noted = Arc::clone(&asked);
        let streams = app.streams(topology).guarantee(guarantee).on_processing_error(fail());
        let running = streams
            .on_uncaught_error(move |error| {
                *noted.lock().expect("not poisoned") = error.to_string();
                ReplaceThread
            })
            .start()
            .await?;
        count(&running, app.lines(), &["a b c"]).await?;
        count(&running, app.lines(), &["a", "poison", "b", "poison"]).await?;
        let counts = counted(&running).await?;
        assert_eq!(counts, expected(&[("a", 2), ("b", 2), ("c", 1), ("poison", 2)]), "{guarantee:?}");
        assert!(asked.lock().expect("not poisoned").contains("poisoned for a while"));
        assert_eq!(running.threads(), 1);
        running.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_instance_can_end_all() -> Result<()> {
    let outside = Outside::start().await;
    let app = App::new("ended");
    let start = async || {
        let topology = watched(&app, |line| assert_ne!(line, "poison"))?;
        let streams = outside.run(app.streams(topology).on_processing_error(fail()));
        streams.on_uncaught_error(|_| ShutdownApplication).start().await
    };
    let (first, second) = (start().await?, start().await?);
    let lines = first.producer(app.lines())?;
    lines.send(None, "poison".to_string()).await?;
    lines.flush().await?;
    let (of_first, of_second) = (first.drain().await, second.drain().await);
    let said = [of_first, of_second].map(|ended| ended.expect_err("it ends").to_string());
    assert!(said.iter().any(|said| said.contains("poison")), "{said:?}");
    assert!(said.iter().any(|said| said.contains("an instance has asked")), "{said:?}");
    assert!(first.close().await.is_err() && second.close().await.is_err());
    Ok(())
}

#[tokio::test]
async fn an_end_does_not_wait_for_ever() -> Result<()> {
    let app = App::new("late");
    let (topology, release) = waiting(&app)?;
    let running = app.streams(topology).start().await?;
    count(&running, app.lines(), &["a b c"]).await?;
    let lines = running.producer(app.lines())?;
    lines.send(None, "wait".to_string()).await?;
    lines.flush().await?;
    let host = running.client().host().clone();
    // So that it is in the closure: nothing is committed any more.
    assert!(host.timeout(millis(300), running.drain()).await.is_err(), "it waits");
    let error = running.close_within(millis(200)).await.expect_err("it is too late").to_string();
    drop(release);
    assert!(error.contains("not stopped in time"), "{error}");
    Ok(())
}

/// Each record takes its time, and what is at hand takes longer than a worker may stay away, and than a transaction may last.
#[tokio::test]
async fn slow_code_of_users_is_no_failure() -> Result<()> {
    told::collect();
    let (host, _runtime) = Host::real(1).expect("a thread");
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        let app = App::new("slow");
        let (_never, asked) = mpsc::channel::<()>();
        let asked = Mutex::new(asked);
        let topology = watched(&app, move |_| {
            let waited = asked.lock().expect("not poisoned").recv_timeout(millis(10));
            assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout));
        })?;
        let streams = app.streams(topology).guarantee(guarantee);
        let streams = streams.config("consumer.max.poll.interval.ms", 2000);
        let running = streams.config("producer.transaction.timeout.ms", 2000).start().await?;
        // Four seconds' work, and more of it is repeated if less than all is committed on the way.
        let lines = running.producer(app.lines())?;
        for _ in 0..400 {
            lines.send(None, "a".to_string()).await?;
        }
        lines.flush().await?;
        let drained = host.timeout(seconds(60), running.drain()).await;
        assert!(matches!(drained, Ok(Ok(()))), "{drained:?}");
        assert_eq!(counted(&running).await?, expected(&[("a", 400)]), "{guarantee:?}");
        let (name, given_up) = (format!("{}-StreamThread-1", app.id()), "its tasks are given up");
        assert_eq!(told::lines(&["ERROR", &name, given_up]), Vec::<String>::new(), "{guarantee:?}");
        running.close().await?;
    }
    Ok(())
}
