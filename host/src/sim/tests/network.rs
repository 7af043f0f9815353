//! The network: bytes keep their order whatever happens, and each fault shows what the real one would show.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::sim::{NetworkOptions, Sim, SimOptions, assert_same_trace};
use crate::{ByteStream, Host, Listener};

const ADDRESS: &str = "server:7000";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn sim(seed: u64, network: NetworkOptions) -> Sim {
    Sim::new(seed, SimOptions { network, ..SimOptions::default() })
}

/// Accepts connections and sends back what they bring, until its process ends.
async fn echo(host: Host) -> io::Result<()> {
    let listener = host.listen(ADDRESS).await?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(host.spawn(echo_one(stream))),
            Err(_) => host.sleep(ms(1)).await,
        }
    }
}

async fn echo_one(stream: ByteStream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    let mut buffer = [0; 300];
    loop {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            return writer.shutdown().await;
        }
        writer.write_all(&buffer[..count]).await?;
    }
}

fn start_echo(sim: &Sim) -> Host {
    let host = sim.node("server");
    drop(host.spawn(echo(host.clone())));
    host
}

/// A stream to the echo, however often it takes.
async fn dial(host: &Host) -> ByteStream {
    loop {
        match host.connect(ADDRESS).await {
            Ok(stream) => return stream,
            Err(_) => host.sleep(ms(1)).await,
        }
    }
}

fn pattern(length: usize, salt: u8) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8 ^ salt).collect()
}

/// Sends all, half-closes, and reads until the end: what came back, and how it ended.
async fn round_trip(host: &Host, bytes: Vec<u8>) -> (Vec<u8>, io::Result<()>) {
    let (mut reader, mut writer) = dial(host).await.split();
    let sent = bytes.clone();
    let sending = host.spawn(async move {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    });
    let mut back = Vec::new();
    let ended = reader.read_to_end(&mut back).await;
    assert!(bytes.starts_with(&back), "bytes came back changed or out of order");
    let sent = sending.await.expect("no panic");
    (back, ended.and(sent))
}

/// Clients whose round trips must all get through in the end. Returns how many were broken off.
fn echo_workload(sim: &Sim, clients: usize) -> u64 {
    let broken = Arc::new(AtomicU64::new(0));
    sim.block_on(async {
        start_echo(sim);
        let tasks: Vec<_> = (0..clients)
            .map(|client| {
                let host = sim.node(&format!("client{client}"));
                let broken = broken.clone();
                host.clone().spawn(async move {
                    for length in [0, 1, 100, 1000, 5000] {
                        let bytes = pattern(length, client as u8);
                        while round_trip(&host, bytes.clone()).await.0 != bytes {
                            broken.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert_eq!(sim.panics(), []);
    broken.load(Ordering::Relaxed)
}

#[test]
fn calm_network_carries_all() {
    for seed in 0..5 {
        let sim = sim(seed, NetworkOptions::default());
        assert_eq!(echo_workload(&sim, 4), 0);
    }
}

#[test]
fn echo_under_chaos() {
    let mut broken = 0;
    for seed in 0..30 {
        let sim = Sim::new(seed, SimOptions::chaos(seed));
        broken += echo_workload(&sim, 3);
    }
    assert!(broken > 10, "chaos that breaks nothing: {broken}");
}

#[test]
fn same_seed_same_trace() {
    for seed in 0..10 {
        assert_same_trace(seed, &SimOptions::chaos(seed), |sim| {
            echo_workload(sim, 3);
        });
    }
}

#[test]
fn addresses() {
    let sim = sim(1, NetworkOptions::default());
    sim.block_on(async {
        let (server, client) = (sim.node("server"), sim.node("client"));
        let kind = |result: io::Result<Listener>| result.map(|_| ()).map_err(|error| error.kind());
        let listener = server.listen("0.0.0.0:7000").await.expect("free");
        assert_eq!(listener.port().expect("known"), 7000);
        assert_eq!(kind(server.listen(ADDRESS).await), Err(ErrorKind::AddrInUse));
        assert_eq!(kind(server.listen("client:1").await), Err(ErrorKind::AddrNotAvailable));
        assert_eq!(kind(server.listen("server").await), Err(ErrorKind::InvalidInput));
        let free = [server.listen(":0").await.expect("free"), server.listen(":0").await.expect("free")];
        assert_ne!(free[0].port().expect("known"), free[1].port().expect("known"));

        let kind = |result: io::Result<ByteStream>| result.map(|_| ()).map_err(|error| error.kind());
        assert_eq!(kind(client.connect(ADDRESS).await), Ok(()));
        assert_eq!(kind(server.connect("localhost:7000").await), Ok(()));
        assert_eq!(kind(client.connect("localhost:7000").await), Err(ErrorKind::ConnectionRefused));
        assert_eq!(kind(client.connect("nobody:7000").await), Err(ErrorKind::NotFound));
        assert_eq!(kind(client.dialer().connect("server:7001").await), Err(ErrorKind::ConnectionRefused));
        let (_, peer) = listener.accept().await.expect("it waits");
        assert_eq!(peer, "client");
        drop(listener);
        assert_eq!(kind(client.connect(ADDRESS).await), Err(ErrorKind::ConnectionRefused));
        server.listen(ADDRESS).await.expect("free again");
    });
}

#[test]
fn a_closed_listener_resets_who_waits_there() {
    let sim = sim(1, NetworkOptions::default());
    sim.block_on(async {
        let listener = sim.node("server").listen(ADDRESS).await.expect("free");
        let mut stream = sim.node("client").connect(ADDRESS).await.expect("it listens");
        stream.write_all(b"hello").await.expect("room");
        sim.sleep(ms(10)).await;
        drop(listener);
        let error = stream.read(&mut [0; 9]).await.expect_err("nobody took the bytes");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_writer_waits_for_room() {
    let sim = sim(1, NetworkOptions { buffer_bytes: 1000..=1000, ..NetworkOptions::default() });
    sim.block_on(async {
        let (server, client) = (sim.node("server"), sim.node("client"));
        let listener = server.listen(ADDRESS).await.expect("free");
        let mut ours = client.connect(ADDRESS).await.expect("it listens");
        let (mut theirs, _) = listener.accept().await.expect("it waits");
        let bytes = pattern(1500, 0);
        let full = client.timeout(ms(1000), ours.write_all(&bytes)).await;
        assert!(full.is_err(), "more than the buffer holds");
        let mut read = vec![0; 1000];
        theirs.read_exact(&mut read).await.expect("it is there");
        assert_eq!(read, bytes[..1000]);
        ours.write_all(&bytes[1000..]).await.expect("room again");
    });
}

#[test]
fn fragments() {
    let sim = sim(1, NetworkOptions { fragment_probability: 1.0, ..NetworkOptions::default() });
    sim.block_on(async {
        let listener = sim.node("server").listen(ADDRESS).await.expect("free");
        let mut ours = sim.node("client").connect(ADDRESS).await.expect("it listens");
        let (mut theirs, _) = listener.accept().await.expect("it waits");
        let bytes = pattern(5000, 0);
        let sent = bytes.clone();
        let sending = sim.node("client").spawn(async move { ours.write_all(&sent).await });
        let (mut back, mut sizes) = (Vec::new(), std::collections::BTreeSet::new());
        let mut buffer = [0; 5000];
        while let Ok(count @ 1..) = theirs.read(&mut buffer).await {
            back.extend_from_slice(&buffer[..count]);
            sizes.insert(count);
        }
        sending.await.expect("no panic").expect("all written");
        assert_eq!(back, bytes);
        assert!(sizes.contains(&1) && sizes.len() > 3, "{sizes:?}");
    });
}

#[test]
fn connections_overtake_one_another() {
    let mut first = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let sim = sim(seed, NetworkOptions::default());
        sim.block_on(async {
            let listener = sim.node("server").listen(ADDRESS).await.expect("free");
            let (sender, mut receiver) = tokio::sync::mpsc::channel(2);
            let mut streams = Vec::new();
            for name in ["a", "b"] {
                let ours = sim.node(name).connect(ADDRESS).await.expect("it listens");
                streams.push((name, ours, listener.accept().await.expect("it waits").0));
            }
            for (name, mut ours, mut theirs) in streams {
                let sender = sender.clone();
                drop(sim.node("server").spawn(async move {
                    let _ = theirs.read(&mut [0]).await;
                    let _ = sender.send(name).await;
                }));
                drop(sim.node(name).spawn(async move {
                    let _ = ours.write_all(b"x").await;
                    std::future::pending::<()>().await;
                }));
            }
            first.insert(receiver.recv().await.expect("one of them"));
        });
    }
    assert_eq!(first.len(), 2);
}

#[test]
fn cut_connections() {
    let sim = sim(1, NetworkOptions { cut_probability: 0.05, ..NetworkOptions::default() });
    let broken = echo_workload(&sim, 3);
    assert!(broken > 0);
    sim.set_network(NetworkOptions::default());
    sim.block_on(async {
        let client = sim.node("client0");
        let mut stream = dial(&client).await;
        sim.reset_connections("server");
        let error = stream.read(&mut [0]).await.expect_err("it is cut");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let error = stream.write(&[0]).await.expect_err("it stays cut");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

/// Both outcomes of a cut between request and response: the request has arrived, or it has not.
#[test]
fn a_cut_leaves_open_what_has_arrived() {
    let mut arrived = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let sim = sim(seed, NetworkOptions { cut_probability: 1.0, ..NetworkOptions::default() });
        arrived.insert(sim.block_on(async {
            let listener = sim.node("server").listen(ADDRESS).await.expect("free");
            let mut ours = sim.node("client").connect(ADDRESS).await.expect("it listens");
            let (mut theirs, _) = listener.accept().await.expect("it waits");
            ours.write_all(b"x").await.expect("the cut comes later");
            ours.read(&mut [0]).await.expect_err("no answer ever comes");
            theirs.read(&mut [0]).await.is_ok()
        }));
    }
    assert_eq!(arrived.len(), 2);
}

#[test]
fn partition_and_heal() {
    let sim = sim(1, NetworkOptions::default());
    sim.block_on(async {
        start_echo(&sim);
        let client = sim.node("client");
        let mut stream = dial(&client).await;
        sim.partition("client", "server");
        stream.write_all(b"hello").await.expect("into the buffer");
        let mut back = [0; 5];
        assert!(client.timeout(ms(5000), stream.read(&mut back)).await.is_err(), "nothing gets through");
        sim.heal();
        stream.read_exact(&mut back).await.expect("sent again");
        assert_eq!(&back, b"hello");

        sim.isolate("server");
        let error = client.connect(ADDRESS).await.expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        stream.write_all(b"hello").await.expect("into the buffer");
        let error = stream.read(&mut back).await.expect_err("given up at last");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        sim.heal();
        dial(&client).await;
    });
}

#[test]
fn a_link_down_one_way() {
    let sim = sim(1, NetworkOptions::default());
    sim.block_on(async {
        let listener = sim.node("server").listen(ADDRESS).await.expect("free");
        let client = sim.node("client");
        let mut ours = client.connect(ADDRESS).await.expect("it listens");
        let (mut theirs, _) = listener.accept().await.expect("it waits");
        sim.partition_one_way("server", "client");
        ours.write_all(b"there").await.expect("room");
        theirs.write_all(b"back").await.expect("room");
        let mut there = [0; 5];
        theirs.read_exact(&mut there).await.expect("this way is open");
        assert!(client.timeout(ms(1000), ours.read(&mut there)).await.is_err(), "this way is not");
    });
}

#[test]
fn kill_and_crash_seen_by_the_peer() {
    let end = |stop: fn(&Sim, &str), network| {
        let sim = sim(1, network);
        sim.block_on(async {
            start_echo(&sim);
            let client = sim.node("client");
            let mut stream = dial(&client).await;
            sim.sleep(ms(10)).await;
            stop(&sim, "server");
            let before = sim.now();
            let read = stream.read(&mut [0]).await.map_err(|error| error.kind());
            let waited = sim.now() - before;
            let dialed = client.connect(ADDRESS).await.map(|_| ()).map_err(|error| error.kind());
            start_echo(&sim);
            dial(&client).await;
            (read, waited > Duration::from_secs(5), dialed)
        })
    };
    let refused = Err(ErrorKind::ConnectionRefused);
    let calm = NetworkOptions::default();
    assert_eq!(end(Sim::kill, calm.clone()), (Ok(0), false, refused));
    let (reset, timed_out) = (Err(ErrorKind::ConnectionReset), Err(ErrorKind::TimedOut));
    assert_eq!(end(Sim::crash, calm.clone()), (reset, false, timed_out));
    let silent = NetworkOptions { silence_probability: 1.0, ..calm };
    assert_eq!(end(Sim::crash, silent), (reset, true, timed_out));
}

#[test]
fn a_former_life_has_no_network() {
    let sim = sim(1, NetworkOptions::default());
    sim.block_on(async {
        let server = sim.node("server");
        let listener = server.listen(ADDRESS).await.expect("free");
        let mut stream = sim.node("client").connect(ADDRESS).await.expect("it listens");
        let (mut accepted, _) = listener.accept().await.expect("it waits");
        sim.kill("server");
        start_echo(&sim);
        sim.sleep(ms(10)).await;
        assert!(accepted.write(b"x").await.is_err());
        assert!(accepted.read(&mut [0]).await.is_err());
        assert!(listener.accept().await.is_err());
        assert!(server.connect(ADDRESS).await.is_err());
        assert!(server.listen("server:1").await.is_err());
        drop((listener, accepted));
        assert!(matches!(stream.read(&mut [0]).await, Ok(0)));
        dial(&sim.node("client")).await;
    });
}

#[test]
fn unlucky_dialers_and_acceptors() {
    let network = NetworkOptions {
        refuse_probability: 0.5,
        accept_failure_probability: 0.5,
        stall_probability: 0.1,
        ..NetworkOptions::default()
    };
    let sim = sim(1, network);
    sim.block_on(async {
        let listener = sim.node("server").listen(ADDRESS).await.expect("free");
        let client = sim.node("client");
        let mut refused = 0;
        let mut failed = 0;
        for _ in 0..50 {
            match client.connect(ADDRESS).await {
                Ok(_) => match listener.accept().await {
                    Ok(_) => {}
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
                        failed += 1;
                    }
                },
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                    refused += 1;
                }
            }
        }
        assert!(refused > 10 && failed > 5, "{refused} {failed}");
    });
}

#[test]
fn closing_with_bytes_unread_resets() {
    let sim = sim(1, NetworkOptions::default());
    sim.block_on(async {
        let listener = sim.node("server").listen(ADDRESS).await.expect("free");
        let mut ours = sim.node("client").connect(ADDRESS).await.expect("it listens");
        let (theirs, _) = listener.accept().await.expect("it waits");
        ours.write_all(b"hello").await.expect("room");
        sim.sleep(ms(10)).await;
        drop(theirs);
        let error = ours.read(&mut [0]).await.expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let mut ours = sim.node("client").connect(ADDRESS).await.expect("it listens");
        let (theirs, _) = listener.accept().await.expect("it waits");
        drop(theirs);
        assert_eq!(ours.read(&mut [0]).await.expect("the end"), 0);
        ours.write_all(b"into the void").await.expect("not known yet");
        sim.sleep(ms(10)).await;
        let error = ours.write_all(b"again").await.expect_err("known by now");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_reset_loses_what_waits_for_its_link() {
    // Whether it is closed by a reset; whether what it has written comes when the link is up again.
    for (resets, expected) in [(true, false), (false, true)] {
        let sim = sim(1, NetworkOptions::default());
        let (server, client) = (sim.node("server"), sim.node("client"));
        let heard = server.spawn({
            let server = server.clone();
            async move {
                let (mut stream, _) = server.listen(ADDRESS).await?.accept().await?;
                let mut buffer = Vec::new();
                // The end, or the reset.
                let _ = stream.read_to_end(&mut buffer).await;
                Ok::<_, io::Error>(buffer)
            }
        });
        let heard = sim.block_on(async {
            let mut stream = dial(&client).await;
            sim.partition("client", "server");
            stream.write_all(b"late").await?;
            if resets {
                stream.reset()
            } else {
                drop(stream)
            }
            sim.heal();
            heard.await.expect("no panic")
        });
        assert_eq!(heard.expect("a connection") == b"late", expected);
    }
}
