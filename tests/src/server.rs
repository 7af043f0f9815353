//! The server under a benchmark: the binary that was built, as a process of its own over TCP, or a broker that runs already;
//! and what its process takes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "benchmarks alone use it: it measures the world it runs in"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anabranch_client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::Host;

/// Our server, killed at the end, or another's.
pub struct Server {
    /// `host:port`.
    pub address: String,
    /// Whose figures are asked for, if that is known.
    pub process_id: Option<String>,
    ours: Option<(Child, tempfile::TempDir)>,
}

impl Server {
    /// Starts ours in an empty directory, and says how long it took until it had acknowledged a record.
    pub fn start() -> Server {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let started = Instant::now();
        let process = Command::new(binary())
            // An instance that starts does not wait for others, as at the Kafka beside which it is measured.
            .args(["server", "--listen", &address, "--override", "group.initial.rebalance.delay.ms=0"])
            .arg("--data-dir")
            .arg(directory.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
        let process_id = Some(process.id().to_string());
        let server = Server { address, process_id, ours: Some((process, directory)) };
        first_record(&server.address);
        println!("start to first record         {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
        server
    }

    /// One that runs already.
    pub fn running(address: String, process_id: Option<String>) -> Server {
        Server { address, process_id, ours: None }
    }

    /// The seconds of CPU it took so far, or none if its process is not known.
    pub fn cpu_seconds(&self) -> f64 {
        self.process_id.as_deref().map_or(f64::NAN, cpu_seconds)
    }

    /// Its resident memory now and at most, in MiB.
    pub fn memory_mib(&self) -> (u64, u64) {
        let Some(id) = &self.process_id else { return (0, 0) };
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let mib = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
        };
        (mib("VmRSS"), mib("VmHWM"))
    }

    /// What it took, in words.
    pub fn figures(&self) -> String {
        let (now, most) = self.memory_mib();
        format!("{:.2} s of CPU, {now} MiB resident, {most} MiB at most", self.cpu_seconds())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((process, _)) = &mut self.ours {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Writes one record with our client, as soon as the server takes it.
pub fn first_record(address: &str) {
    let (host, runtime) = Host::real(1).unwrap();
    runtime.block_on(async {
        let pairs =
            [("bootstrap.servers", address), ("reconnect.backoff.ms", "1"), ("retry.backoff.ms", "1")];
        let config = ClientConfig::from_pairs(pairs).unwrap();
        let client = Client::connect(&host, host.dialer(), config).await.unwrap();
        let config = ProducerConfig::from_pairs([("linger.ms", "0")]).unwrap();
        let producer = Producer::new(&client, config).unwrap();
        let record = ProducerRecord::new("first").value("record");
        producer.send(record).await.unwrap().await.unwrap();
    });
}

/// `target/release/anabranch`, beside the benchmark.
fn binary() -> PathBuf {
    let directory = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_path_buf();
    let binary = directory.join("anabranch");
    assert!(
        binary.exists(),
        "{} is not there: run `cargo build --release -p anabranch-cli` first",
        binary.display()
    );
    binary
}

/// User and system time of a process; `self` is this one.
pub fn cpu_seconds(process: &str) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    ticks / TICKS_PER_SECOND
}
