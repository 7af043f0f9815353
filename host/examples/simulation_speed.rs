//! How fast a simulated world runs: six clients and three servers echo 100 bytes over links of some milliseconds, for
//! ten minutes of virtual time. Run with `cargo run --release -p anabranch-host --example simulation_speed`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_host::sim::NetworkOptions;
use anabranch_host::{Host, Sim, SimOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const VIRTUAL_TIME: Duration = Duration::from_secs(600);

async fn serve(host: Host, address: String) -> io::Result<()> {
    let listener = host.listen(&address).await?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        host.spawn(async move {
            let mut buffer = [0; 100];
            while stream.read_exact(&mut buffer).await.is_ok() {
                stream.write_all(&buffer).await?;
            }
            Ok::<_, io::Error>(())
        });
    }
}

async fn call(host: Host, address: String, calls: Arc<AtomicU64>) -> io::Result<()> {
    host.sleep(Duration::from_millis(1)).await;
    let mut stream = host.connect(&address).await?;
    let mut buffer = [0; 100];
    loop {
        stream.write_all(&buffer).await?;
        stream.read_exact(&mut buffer).await?;
        calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[allow(clippy::disallowed_methods, reason = "the real clock is what is measured")]
fn main() {
    let latency = Duration::from_millis(1)..=Duration::from_millis(5);
    let network = NetworkOptions { latency, ..NetworkOptions::default() };
    let sim = Sim::new(1, SimOptions { network, ..SimOptions::default() });
    let calls = Arc::new(AtomicU64::new(0));
    for server in 0..3 {
        let (name, address) = (format!("server{server}"), format!("server{server}:1"));
        let host = sim.node(&name);
        host.spawn(serve(host.clone(), address.clone()));
        for client in 0..2 {
            let host = sim.node(&format!("client{client}-of-{server}"));
            host.spawn(call(host.clone(), address.clone(), calls.clone()));
        }
    }
    let start = std::time::Instant::now();
    sim.run_for(VIRTUAL_TIME);
    let took = start.elapsed();
    let calls = calls.load(Ordering::Relaxed);
    println!(
        "{calls} calls in {took:?}: {:.0} calls/s, {:.0} steps/s, {:.0} times real time",
        calls as f64 / took.as_secs_f64(),
        sim.steps() as f64 / took.as_secs_f64(),
        VIRTUAL_TIME.as_secs_f64() / took.as_secs_f64(),
    );
}
