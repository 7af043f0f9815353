//! Tests of the real world: its threads, timers, sockets and files.

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{ByteStream, Elapsed, Host, JoinError, Listener, OpenOptions, RealRuntime, in_process};

/// Longer than anything here takes; only a fault waits so long.
const LONG: Duration = Duration::from_secs(60);

fn real() -> (Host, RealRuntime) {
    Host::real(2).expect("threads")
}

/// An executor that knows nothing of tokio, as a user's may be.
fn foreign_block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn ends_of_tasks() {
    let (host, runtime) = real();
    runtime.block_on(async {
        assert_eq!(host.spawn(async { 7 }).await, Ok(7));
        let panicking = host.spawn(async { panic!("on purpose") });
        assert_eq!(panicking.await, Err(JoinError::Panicked("on purpose".to_string())));
        let waiting = host.spawn(pending::<()>());
        waiting.abort();
        waiting.abort();
        assert_eq!(waiting.await, Err(JoinError::Cancelled));
    });
    let waiting = host.spawn(pending::<()>());
    drop(runtime);
    assert_eq!(foreign_block_on(waiting), Err(JoinError::Cancelled), "its world has ended");
}

#[test]
fn pinned_loops() {
    let (host, runtime) = real();
    runtime.block_on(async {
        let inner = host.clone();
        let pinned = host.spawn_pinned("worker", move || async move {
            let counter = Rc::new(Cell::new(0));
            for _ in 0..3 {
                inner.sleep(Duration::from_millis(1)).await;
                counter.set(counter.get() + 1);
            }
            (counter.get(), std::thread::current().name().map(str::to_string))
        });
        assert_eq!(pinned.expect("a thread").await, Ok((3, Some("worker".to_string()))));

        let panicking = host.spawn_pinned("worker", || async { panic!("within") });
        assert_eq!(panicking.expect("a thread").await, Err(JoinError::Panicked("within".to_string())));
        let panicking = host.spawn_pinned("worker", || -> std::future::Ready<()> { panic!("while made") });
        assert_eq!(panicking.expect("a thread").await, Err(JoinError::Panicked("while made".to_string())));

        let waiting = host.spawn_pinned("worker", pending::<()>).expect("a thread");
        waiting.abort();
        assert_eq!(waiting.await, Err(JoinError::Cancelled));

        // Dropping the handle leaves it running.
        let (sender, receiver) = tokio::sync::oneshot::channel();
        drop(host.spawn_pinned("worker", move || ready(sender.send(1))).expect("a thread"));
        assert_eq!(receiver.await, Ok(1));
    });
}

#[test]
fn pinned_loops_end_before_their_world_does() {
    for waits_for_the_end in [false, true] {
        let (host, runtime) = real();
        let inner = host.clone();
        let sleeping = host.spawn_pinned("worker", move || async move { inner.sleep(LONG).await });
        if waits_for_the_end {
            foreign_block_on(runtime.shutdown());
        } else {
            drop(runtime);
        }
        // A timer of a world that is gone would panic.
        assert_eq!(foreign_block_on(sleeping.expect("a thread")), Err(JoinError::Cancelled));
    }
}

#[test]
fn timers_work_on_any_executor() {
    let (host, _runtime) = real();
    foreign_block_on(async {
        let before = host.now();
        host.sleep(Duration::from_millis(5)).await;
        assert!(host.now() - before >= Duration::from_millis(5));
        assert_eq!(host.timeout(Duration::from_millis(1), pending::<()>()).await, Err(Elapsed));
        assert_eq!(host.timeout(LONG, ready(1)).await, Ok(1));
        host.sleep_until(before).await;
    });
    assert!(host.wall_clock_ms() > 1_750_000_000_000);
}

#[test]
fn random_numbers_stay_in_range() {
    let (host, _runtime) = real();
    assert!((0..1000).all(|_| host.random_below(10) < 10));
    assert_eq!(host.random_below(0), 0);
    let uuid = host.random_uuid();
    assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (4, 2));
    assert_ne!(uuid, host.random_uuid());
    let mut ids = (0..10_000).map(|_| host.random_uuid());
    assert!(ids.all(|id| id[0] >> 2 != 62), "none begins with a dash in base64");
}

/// Sends back what a stream brings.
async fn echo(mut stream: ByteStream) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.expect("the peer finishes");
    stream.write_all(&bytes).await.expect("the peer reads");
}

#[test]
fn streams() {
    let (host, _runtime) = real();
    let check = async |listener: Listener, mut stream: ByteStream| {
        let (accepted, _) = listener.accept().await.expect("it waits");
        let echoing = host.spawn(echo(accepted));
        // More than the buffers hold, in slices.
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 251) as u8).collect();
        let (first, second) = bytes.split_at(1000);
        let mut written = 0;
        while written < first.len() {
            let slices = [first, second].map(std::io::IoSlice::new);
            written += stream.write_vectored(&slices).await.expect("it is read");
        }
        stream.write_all(&bytes[written..]).await.expect("it is read");
        stream.shutdown().await.expect("open");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.expect("echoed");
        assert!(back == bytes);
        echoing.await.expect("no panic");
    };
    foreign_block_on(async {
        let listener = host.listen("127.0.0.1:0").await.expect("a free port");
        let address = format!("127.0.0.1:{}", listener.port().expect("bound"));
        let stream = host.dialer().connect(&address).await.expect("it listens");
        assert!(!host.dialer().is_in_process());
        if let ByteStream::Tcp(stream) = &stream {
            assert!(stream.nodelay().expect("open"));
            assert!(socket2::SockRef::from(stream).keepalive().expect("open"));
        }
        check(listener, stream).await;

        let (listener, dialer) = in_process();
        assert!(dialer.is_in_process() && listener.port().expect("fixed") == 0);
        let stream = dialer.connect("anything").await.expect("it listens");
        check(listener, stream).await;
    });
}

#[test]
fn nobody_listens() {
    let (host, _runtime) = real();
    foreign_block_on(async {
        let listener = host.listen("127.0.0.1:0").await.expect("a free port");
        let address = format!("127.0.0.1:{}", listener.port().expect("bound"));
        assert_eq!(host.listen(&address).await.expect_err("taken").kind(), ErrorKind::AddrInUse);
        drop(listener);
        assert_eq!(host.connect(&address).await.expect_err("gone").kind(), ErrorKind::ConnectionRefused);

        let (listener, dialer) = in_process();
        drop(listener);
        assert_eq!(dialer.connect("").await.expect_err("gone").kind(), ErrorKind::ConnectionRefused);
        let (listener, dialer) = in_process();
        drop(dialer);
        assert_eq!(listener.accept().await.expect_err("nobody dials").kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn files() {
    let (host, _runtime) = real();
    let directory = tempfile::tempdir().expect("a directory");
    let (disk, root) = (host.disk(), directory.path());
    foreign_block_on(async {
        disk.create_dir_durably(&root.join("a/b")).await.expect("room");
        let path = root.join("a/b/file");
        let file = disk.open(&path, OpenOptions::create()).expect("room");
        file.write_all_at(b"hello", 3).expect("room");
        file.sync_data().await.expect("no fault");
        disk.sync_dir(&root.join("a/b")).await.expect("no fault");
        assert_eq!(disk.read(&path).expect("there"), b"\0\0\0hello");
        file.allocate(1 << 20).expect("room");
        assert_eq!(file.len().expect("open"), 1 << 20);
        file.set_len(4).expect("open");
        assert_eq!(
            file.read_exact_at(&mut [0; 5], 0).expect_err("too short").kind(),
            ErrorKind::UnexpectedEof
        );

        disk.write_atomically(&path, b"new").await.expect("room");
        assert_eq!(disk.read(&path).expect("there"), b"new");
        let names: Vec<_> = disk.read_dir(&root.join("a/b")).expect("there");
        assert_eq!(names.len(), 1, "no temporary file stays: {names:?}");
        assert!(disk.sync_dir(&root.join("none")).await.is_err());
    });
}

/// The lock of a process that was killed is free; that of one that lives is not.
#[test]
fn a_lock_ends_with_its_process() {
    const DIRECTORY: &str = "ANABRANCH_LOCK_TEST_DIRECTORY";
    let (host, _runtime) = real();
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let _lock = host.disk().lock_dir(Path::new(&directory)).expect("free");
        println!("locked");
        loop {
            std::thread::park();
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "real::tests::a_lock_ends_with_its_process", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::lines(output).find(|line| line.as_ref().is_ok_and(|line| line.ends_with("locked")));
    let lock = host.disk().lock_dir(directory.path());
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert_eq!(lock.expect_err("held by the child").kind(), ErrorKind::WouldBlock);
    host.disk().lock_dir(directory.path()).expect("free again");
}
