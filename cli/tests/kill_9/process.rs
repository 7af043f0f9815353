//! The server as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anabranch_host::Host;

/// How long a start or a clean stop may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// `anabranch server` on a directory and a port. Killed when dropped.
pub(crate) struct Server {
    directory: PathBuf,
    port: u16,
    process: Child,
}

impl Server {
    /// Starts it on a free port, and waits until it listens.
    pub(crate) async fn start(host: &Host, directory: &Path) -> Server {
        let port = host.listen("127.0.0.1:0").await.unwrap().port().unwrap();
        let server = Server { directory: directory.to_path_buf(), port, process: spawn(directory, port) };
        server.listens(host).await;
        server
    }

    /// Starts it on the same directory and port.
    pub(crate) async fn start_again(&mut self, host: &Host) {
        self.process = spawn(&self.directory, self.port);
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
        let terminated = Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(terminated.success());
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

fn spawn(directory: &Path, port: u16) -> Child {
    Command::new(env!("CARGO_BIN_EXE_anabranch"))
        .arg("server")
        .arg("--data-dir")
        .arg(directory)
        .args(["--listen", &format!("127.0.0.1:{port}"), "--metrics", "none"])
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}
