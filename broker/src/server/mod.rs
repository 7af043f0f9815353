//! The shell around the handlers: listeners are accepted from, connections are read, answered and ended.
//!
//! Reading order: [`connection`] (one connection's whole life), then the accept loop here. The server knows frames and
//! headers; what a request means is the business of [`handlers`](crate::handlers).

mod connection;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anabranch_host::Listener;
use tokio::sync::watch;

use crate::config::Endpoint;
use crate::node::Node;
use connection::Connection;

/// How long the accept loop rests after an error, mostly "too many open files": it passes when connections end.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long answers that are under way get when the broker stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Accepts connections and keeps count of them.
#[derive(Debug)]
pub(crate) struct Server {
    node: Arc<Node>,
    max_connections: usize,
    open: Arc<Open>,
}

/// The connections that are open.
#[derive(Debug)]
struct Open {
    count: AtomicUsize,
    all_closed: tokio::sync::Notify,
}

/// One open connection; dropped when it ends.
#[derive(Debug)]
struct OpenConnection(Arc<Open>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.all_closed.notify_waiters();
        }
    }
}

impl Server {
    /// A server of at most so many connections at one time, fewer if the configuration says so.
    pub(crate) fn new(node: Arc<Node>, max_connections: usize) -> Server {
        let max_connections = max_connections.min(node.config.max_connections);
        let open = Open { count: AtomicUsize::new(0), all_closed: tokio::sync::Notify::new() };
        Server { node, max_connections, open: Arc::new(open) }
    }

    /// Serves everybody who comes to `listener`, until [`Server::stop`]. Clients are told to connect to `endpoint`.
    pub(crate) fn serve(&self, listener: Listener, endpoint: Endpoint) {
        let accepting = accept(
            self.node.clone(),
            listener,
            Arc::new(endpoint),
            self.max_connections,
            self.node.stopping.subscribe(),
            self.open.clone(),
        );
        self.node.host.spawn(accepting);
    }

    /// Accepts nobody more, lets answers that are under way leave, and ends all connections.
    pub(crate) async fn stop(&self) {
        self.node.stopping.send_replace(true);
        let all_closed = async {
            loop {
                let notified = self.open.all_closed.notified();
                if self.open.count.load(Ordering::Acquire) == 0 {
                    return;
                }
                notified.await;
            }
        };
        if self.node.host.timeout(DRAIN, all_closed).await.is_err() {
            let left = self.open.count.load(Ordering::Acquire);
            tracing::warn!(connections = left, "connections did not end in time; they are dropped");
        }
    }
}

async fn accept(
    node: Arc<Node>,
    listener: Listener,
    endpoint: Arc<Endpoint>,
    max_connections: usize,
    mut stopping: watch::Receiver<bool>,
    open: Arc<Open>,
) {
    let (mut failing, mut refusing) = (false, false);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // Nobody holds the other end of an in-process listener any more.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "connections cannot be accepted; trying on");
                }
                failing = true;
                node.host.sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        failing = false;
        if open.count.load(Ordering::Acquire) >= max_connections {
            if !refusing {
                tracing::warn!(%peer, limit = max_connections, "connections over the limit are closed at once");
            }
            refusing = true;
            continue;
        }
        refusing = false;
        open.count.fetch_add(1, Ordering::AcqRel);
        let guard = OpenConnection(open.clone());
        let connection = Connection::new(node.clone(), stream, peer, endpoint.clone(), stopping.clone());
        node.host.spawn(async move {
            connection.run().await;
            drop(guard);
        });
    }
}

#[cfg(test)]
mod tests;
