//! The shell around the handlers: listeners are accepted from, connections are read, answered and ended.
//!
//! Reading order: [`admission`] (who may connect), [`incoming`] (what a connection reads into), [`connection`] (one
//! connection's whole life), the accept loop here; then [`http`], what operators ask. The server knows frames and
//! headers; what a request means is the business of [`handlers`](crate::handlers).

mod admission;
mod connection;
mod http;
mod incoming;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::Listener;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::config::{ConnectionLimits, Endpoint};
use crate::node::Node;
use admission::{Admission, Pace, Refusal};
use connection::Connection;

/// How long the accept loop rests after an error, mostly "too many open files": it passes when connections end.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How long answers that are under way get when the broker stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Accepts connections and keeps count of them.
#[derive(Debug)]
pub(crate) struct Server {
    node: Arc<Node>,
    admission: Arc<Admission>,
    pace: Arc<Mutex<Pace>>,
}

impl Server {
    /// A server of at most so many connections at one time, fewer while the configuration says so.
    pub(crate) fn new(node: Arc<Node>, max_connections: usize) -> Server {
        let pace = Arc::new(Mutex::new(Pace::new(node.host.now())));
        Server { node, admission: Admission::new(max_connections), pace }
    }

    /// Serves everybody who comes to `listener`, until [`Server::stop`]. Clients are told to connect to `endpoint`.
    pub(crate) fn serve(&self, listener: Listener, endpoint: Endpoint) {
        let accepting = accept(
            self.node.clone(),
            listener,
            Arc::new(endpoint),
            self.admission.clone(),
            self.pace.clone(),
            self.node.stopping.subscribe(),
        );
        self.node.host.spawn(accepting);
    }

    /// Answers operators on `listener`, until [`Server::stop`].
    pub(crate) fn serve_http(&self, listener: Listener) {
        self.node.host.spawn(http::serve(self.node.clone(), listener));
    }

    /// Accepts nobody more, lets answers that are under way leave, and ends all connections.
    pub(crate) async fn stop(&self) {
        self.node.stopping.send_replace(true);
        if self.node.host.timeout(DRAIN, self.admission.all_closed()).await.is_err() {
            let left = self.admission.count();
            tracing::warn!(connections = left, "connections did not end in time; they are dropped");
        }
    }
}

async fn accept(
    node: Arc<Node>,
    listener: Listener,
    endpoint: Arc<Endpoint>,
    admission: Arc<Admission>,
    pace: Arc<Mutex<Pace>>,
    mut stopping: watch::Receiver<bool>,
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
        let limits = ConnectionLimits::settle(&node.layers(&node.metadata.image()));
        let admitted = match admission.admit(&peer, &limits) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                node.metrics.connections_refused.increment();
                // One line for a run of them: who is turned away comes again at once.
                match refusal {
                    _ if refusing => {}
                    Refusal::Full { limit } => {
                        tracing::warn!(%peer, limit, "connections over max.connections are closed at once");
                    }
                    Refusal::AddressFull { limit } => {
                        tracing::warn!(%peer, limit, "connections over max.connections.per.ip are closed at once");
                    }
                }
                refusing = true;
                continue;
            }
        };
        refusing = false;
        // Whoever comes next waits behind this one, unseen.
        let wait = pace.lock().take(limits.creation_rate, node.host.now());
        if !wait.is_zero() {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = node.host.sleep(wait) => {}
            }
        }
        let connection = Connection::new(node.clone(), stream, peer, endpoint.clone(), stopping.clone());
        node.host.spawn(async move {
            connection.run().await;
            drop(admitted);
        });
    }
}

#[cfg(test)]
mod tests;
