//! The server as a process of its own; also of the tests in `instances`.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anabranch_host::Host;

/// How long a start or a clean stop may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `anabranch server` on a directory and a port. Killed when dropped.
pub(crate) struct Server {
    directory: PathBuf,
    overrides: Vec<String>,
    log: Option<PathBuf>,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts it on a free port under these settings (`key=value`), and waits until it listens. It writes its log to this
    /// file, or as this process does.
    pub(crate) async fn start(
        host: &Host,
        directory: &Path,
        overrides: &[String],
        log: Option<&Path>,
    ) -> Server {
        let port = host.listen("127.0.0.1:0").await.unwrap().port().unwrap();
        let process = spawn(directory, port, overrides, log);
        let (directory, overrides, log) = (directory.to_path_buf(), overrides.to_vec(), log.map(Into::into));
        let server = Server { directory, overrides, log, port, process };
        server.listens(host).await;
        server
    }

    /// Starts it on the same directory and port.
    pub(crate) async fn start_again(&mut self, host: &Host) {
        self.process = spawn(&self.directory, self.port, &self.overrides, self.log.as_deref());
        self.listens(host).await;
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it as nothing can be caught.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ends it as an operator does.
    pub(crate) async fn stop(mut self, host: &Host) {
        self.signal("-TERM");
        let deadline = host.now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "it stopped with {status}");
                return;
            }
            assert!(host.now() < deadline, "it does not stop");
            host.sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its number with the operating system.
    #[allow(dead_code, reason = "of use to those who measure it")]
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    async fn listens(&self, host: &Host) {
        let deadline = host.now() + PATIENCE;
        while host.connect(&self.address()).await.is_err() {
            assert!(host.now() < deadline, "it does not listen");
            host.sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(directory: &Path, port: u16, overrides: &[String], log: Option<&Path>) -> Child {
    let log = log.map(|log| OpenOptions::new().create(true).append(true).open(log).unwrap());
    Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .arg("server")
        .arg("--data-dir")
        .arg(directory)
        .args(["--listen", &format!("127.0.0.1:{port}"), "--metrics", "none"])
        .args(overrides.iter().flat_map(|setting| ["--override", setting.as_str()]))
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stderr(log.map_or_else(Stdio::inherit, Stdio::from))
        .spawn()
        .unwrap()
}
