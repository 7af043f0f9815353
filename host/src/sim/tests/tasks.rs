//! Tasks, timers and chance: the same seed shows the same run, every interleaving comes up, tasks end as they should.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::sim::{Sim, SimOptions, Stuck, assert_same_trace};
use crate::{Elapsed, Host, JoinError};

fn sim(seed: u64) -> Sim {
    Sim::new(seed, SimOptions::default())
}

/// Some nodes whose tasks sleep, draw, start others and send to one another.
fn churn(sim: &Sim) -> u64 {
    let total = Arc::new(AtomicU64::new(0));
    sim.block_on(async {
        let (sender, mut receiver) = mpsc::channel(4);
        for name in ["a", "b", "c"] {
            for _ in 0..5 {
                let host = sim.node(name);
                let (sender, total) = (sender.clone(), total.clone());
                host.clone().spawn(async move {
                    for _ in 0..20 {
                        host.sleep(Duration::from_micros(host.random_below(50))).await;
                        let drawn = host.random_u64();
                        let total = total.clone();
                        let task = host.spawn(async move { total.fetch_add(drawn >> 32, Ordering::Relaxed) });
                        if sender.send(task.await.expect("it adds")).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
        drop(sender);
        while receiver.recv().await.is_some() {}
    });
    total.load(Ordering::Relaxed)
}

#[test]
fn same_seed_same_trace() {
    for seed in 0..20 {
        assert_same_trace(seed, &SimOptions::default(), |sim| {
            churn(sim);
        });
    }
    let trace = |seed| {
        let sim = sim(seed);
        churn(&sim);
        (sim.trace_hash(), sim.trace_events())
    };
    assert_ne!(trace(1).0, trace(2).0);
    assert!(trace(1).1 > 1000);
}

/// What is woken together by something that has chance of its own.
#[test]
fn the_order_of_wakes_does_not_matter() {
    let run = |sim: &Sim| {
        let host = sim.node("a");
        sim.block_on(async {
            let stop = tokio::sync::watch::Sender::new(false);
            let tasks: Vec<_> = (0..40)
                .map(|_| {
                    let (host, mut stopping) = (host.clone(), stop.subscribe());
                    host.clone().spawn(async move {
                        stopping.changed().await.expect("it is told before it goes");
                        host.random_u64()
                    })
                })
                .collect();
            host.sleep(Duration::from_millis(1)).await;
            stop.send_replace(true);
            for task in tasks {
                task.await.expect("it draws");
            }
        });
    };
    for seed in 0..5 {
        assert_same_trace(seed, &SimOptions::default(), run);
    }
}

#[test]
#[should_panic(expected = "differ: first event")]
fn what_does_not_come_from_the_seed_is_found() {
    let runs = AtomicU64::new(0);
    assert_same_trace(1, &SimOptions::default(), |sim| {
        churn(sim);
        let run = runs.fetch_add(1, Ordering::Relaxed);
        sim.run_for(Duration::from_micros(10 * run));
        churn(sim);
    });
}

#[test]
fn a_trace_is_the_same_in_another_process() {
    let sim = sim(42);
    let total = churn(&sim);
    println!("trace {:#x} {total}", sim.trace_hash());
    if std::env::var_os("SIM_TRACE_CHILD").is_some() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "sim::tests::tasks::a_trace_is_the_same_in_another_process", "--nocapture"])
        .env("SIM_TRACE_CHILD", "1")
        .output()
        .expect("it starts");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert!(printed.contains(&format!("trace {:#x} {total}", sim.trace_hash())), "{printed}");
}

#[test]
fn chance_picks_among_ready_tasks() {
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let sim = sim(seed);
        let order = Arc::new(Mutex::new(Vec::new()));
        let host = sim.node("a");
        sim.block_on(async {
            let tasks: Vec<_> = (0..3)
                .map(|number| {
                    let order = order.clone();
                    host.spawn(async move { order.lock().unwrap().push(number) })
                })
                .collect();
            for task in tasks {
                task.await.expect("it pushes");
            }
        });
        let order = order.lock().unwrap().clone();
        orders.insert(order);
    }
    assert_eq!(orders.len(), 6, "all orders of three tasks: {orders:?}");
}

#[test]
fn virtual_time_costs_no_real_time() {
    let sim = sim(1);
    let host = sim.node("a");
    sim.block_on(async {
        let start = host.now();
        let wall_start = host.wall_clock_ms();
        host.sleep(Duration::from_secs(3600)).await;
        let passed = host.now() - start;
        assert!(passed >= Duration::from_secs(3600) && passed < Duration::from_secs(3601), "{passed:?}");
        assert_eq!(host.wall_clock_ms() - wall_start, 3_600_000);
        sim.set_wall_clock_skew_ms("a", -5000);
        assert_eq!(host.wall_clock_ms() - wall_start, 3_595_000);
        host.sleep_until(start).await;
    });
}

#[test]
fn timeouts() {
    let sim = sim(1);
    let host = sim.node("a");
    sim.block_on(async {
        let ms = Duration::from_millis;
        assert_eq!(host.timeout(ms(10), host.sleep(ms(20))).await, Err(Elapsed));
        assert_eq!(host.timeout(ms(20), host.sleep(ms(10))).await, Ok(()));
        assert_eq!(host.timeout(ms(20), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(host.now().since_start().as_millis(), 40);
    });
    assert!(sim.shared.state().agenda.is_empty(), "a dropped sleep leaves no timer behind");
}

#[test]
fn ends_of_tasks() {
    let sim = sim(1);
    let host = sim.node("a");
    sim.block_on(async {
        assert_eq!(host.spawn(async { 7 }).await, Ok(7));

        let panicking = host.spawn(async { panic!("on {}", "purpose") });
        assert_eq!(panicking.await, Err(JoinError::Panicked("on purpose".to_string())));
        assert_eq!(sim.panics(), [("a".to_string(), "on purpose".to_string())]);

        let dropped = Arc::new(AtomicU64::new(0));
        let waiting = host.spawn(set_on_drop(dropped.clone()));
        sim.sleep(Duration::from_millis(1)).await;
        waiting.abort();
        waiting.abort();
        assert_eq!(waiting.await, Err(JoinError::Cancelled));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);

        let notify = Arc::new(Notify::new());
        let left_running = notify.clone();
        drop(host.spawn(async move { left_running.notify_one() }));
        notify.notified().await;
    });
}

/// Waits for ever, and counts its end.
async fn set_on_drop(dropped: Arc<AtomicU64>) {
    struct Guard(Arc<AtomicU64>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let _guard = Guard(dropped);
    std::future::pending::<()>().await;
}

#[test]
fn pinned_tasks_need_not_be_send() {
    let sim = sim(1);
    let host = sim.node("a");
    sim.block_on(async {
        let inner = host.clone();
        let pinned = host.spawn_pinned("worker", move || async move {
            let counter = Rc::new(Cell::new(0));
            for _ in 0..3 {
                inner.sleep(Duration::from_millis(1)).await;
                counter.set(counter.get() + 1);
            }
            counter.get()
        });
        assert_eq!(pinned.expect("no thread is needed").await, Ok(3));

        let panicking = host.spawn_pinned("worker", || -> std::future::Ready<()> { panic!("while made") });
        assert_eq!(panicking.expect("no thread").await, Err(JoinError::Panicked("while made".to_string())));
    });
}

#[test]
fn a_killed_node_stops_and_comes_back() {
    let sim = sim(1);
    sim.block_on(async {
        let beats = Arc::new(AtomicU64::new(0));
        let beat = |host: Host, beats: Arc<AtomicU64>| async move {
            loop {
                host.sleep(Duration::from_millis(1)).await;
                beats.fetch_add(1, Ordering::Relaxed);
            }
        };
        let dropped = Arc::new(AtomicU64::new(0));
        let host = sim.node("a");
        let beating = host.spawn(beat(host.clone(), beats.clone()));
        let _other = sim.node("b").spawn(beat(sim.node("b"), Arc::default()));
        drop(host.spawn(set_on_drop(dropped.clone())));
        sim.sleep(Duration::from_millis(100)).await;
        drop(host.spawn(set_on_drop(dropped.clone())));
        sim.kill("a");
        sim.kill("a");
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "the second had not begun");
        assert_eq!(beating.await, Err(JoinError::Cancelled));
        let until_kill = beats.load(Ordering::Relaxed);
        assert!((90..=100).contains(&until_kill));
        sim.sleep(Duration::from_millis(100)).await;
        assert_eq!(beats.load(Ordering::Relaxed), until_kill);

        let new_life = sim.node("a");
        assert_eq!(host.spawn(async {}).await, Err(JoinError::Cancelled), "the former life is over");
        assert_eq!(new_life.spawn(async { 1 }).await, Ok(1));
        assert_eq!(sim.node("a").spawn(async { 2 }).await, Ok(2), "the same life");
    });
}

#[test]
fn a_process_is_asked_to_stop() {
    let sim = sim(1);
    sim.block_on(async {
        for _ in 0..2 {
            let host = sim.node("a");
            let program = host.clone();
            let running =
                host.spawn(async move { program.interrupted().await.map_err(|error| error.kind()) });
            assert!(host.timeout(Duration::from_secs(1), host.interrupted()).await.is_err());
            sim.interrupt("a");
            assert_eq!(running.await, Ok(Ok(())));
            host.interrupted().await.expect("it stays so");
            sim.kill("a");
        }
        sim.interrupt("a");
        let host = sim.node("a");
        assert!(
            host.timeout(Duration::from_secs(1), host.interrupted()).await.is_err(),
            "nobody was there to ask"
        );
    });
}

#[test]
fn a_paused_node_waits() {
    let sim = sim(1);
    sim.block_on(async {
        let beats = Arc::new(AtomicU64::new(0));
        let (host, counted) = (sim.node("a"), beats.clone());
        drop(host.clone().spawn(async move {
            loop {
                host.sleep(Duration::from_millis(1)).await;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }));
        sim.sleep(Duration::from_millis(10)).await;
        sim.pause("a");
        let until_pause = beats.load(Ordering::Relaxed);
        sim.sleep(Duration::from_secs(10)).await;
        assert_eq!(beats.load(Ordering::Relaxed), until_pause);
        sim.resume("a");
        sim.sleep(Duration::from_millis(10)).await;
        assert!(beats.load(Ordering::Relaxed) > until_pause);
    });
}

#[test]
fn what_never_ends_is_told() {
    let check = |options: SimOptions, run: &dyn Fn(&Sim) -> Result<(), Stuck>| {
        run(&Sim::new(1, options)).expect_err("it cannot end")
    };
    let deadlock = check(SimOptions::default(), &|sim| sim.try_block_on(std::future::pending()));
    assert!(matches!(deadlock, Stuck::Deadlock { .. }), "{deadlock}");

    let steps = check(SimOptions { max_steps: 1000, ..SimOptions::default() }, &|sim| {
        sim.try_block_on(async {
            loop {
                yield_now().await;
            }
        })
    });
    assert!(matches!(steps, Stuck::Steps { .. }), "{steps}");

    let time = check(SimOptions { max_time: Duration::from_secs(60), ..SimOptions::default() }, &|sim| {
        sim.try_block_on(sim.sleep(Duration::from_secs(3600)))
    });
    assert!(matches!(time, Stuck::Time { .. }), "{time}");
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn destructors_may_use_the_world() {
    struct SpawnsOnDrop(Host);
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            let _ = (self.0.now(), self.0.random_u64());
            drop(self.0.spawn(async {}));
        }
    }
    for end in [Sim::kill as fn(&Sim, &str), |_, _| {}] {
        let sim = sim(1);
        let host = sim.node("a");
        let guard = SpawnsOnDrop(host.clone());
        drop(host.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }));
        sim.run_for(Duration::from_millis(1));
        end(&sim, "a");
        sim.run_for(Duration::from_millis(1));
    }
}

#[test]
fn in_process_streams_need_no_runtime() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sim = sim(1);
    let host = sim.node("a");
    sim.block_on(async {
        let (listener, dialer) = crate::in_process();
        let echo = host.spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await?;
            stream.write_all(&bytes).await
        });
        let mut stream = dialer.connect("").await.expect("it listens");
        stream.write_all(b"hello").await.expect("it reads");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("it echoes and goes");
        assert_eq!(bytes, b"hello");
        echo.await.expect("no panic").expect("no error");
    });
}
