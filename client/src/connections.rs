//! The connections that stand: one for each broker and lane.
//!
//! A broker answers one connection's requests in order, so whatever waits (a long poll, a join, a produce request that
//! waits for its replicas) keeps back what comes behind it. Therefore whoever waits has a [`Lane`] of its own. Opening
//! is done once however many ask, with a growing pause after failures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anabranch_host::{Dialer, Host, Instant};
use parking_lot::Mutex;

use crate::config::ClientConfig;
use crate::connection::{Connection, ConnectionOptions};
use crate::error::{ClientError, ErrorKind, Result};
use crate::retry::Backoff;

/// Requests that may be open on one connection. Who needs fewer (the producer) counts for itself.
const MAX_IN_FLIGHT: usize = 100;

/// Requests that do not wait for each other; its connections are closed with it.
#[derive(Debug)]
pub(crate) struct Lane {
    connections: Arc<Connections>,
    number: u32,
}

/// All connections of a client.
#[derive(Debug)]
pub(crate) struct Connections {
    host: Host,
    dialer: Dialer,
    client_id: String,
    request_timeout: Duration,
    setup_timeout: Duration,
    backoff: Backoff,
    slots: Mutex<BTreeMap<(u32, String), Arc<Slot>>>,
    next_lane: AtomicU32,
}

#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Option<Connection>>,
    /// Held by whoever opens.
    opening: tokio::sync::Mutex<Opening>,
}

#[derive(Debug, Default)]
struct Opening {
    failures: u32,
    not_before: Instant,
    /// The last failure, and when it came.
    failed: Option<(Instant, ClientError)>,
}

impl Connections {
    pub(crate) fn new(host: &Host, dialer: Dialer, config: &ClientConfig) -> Arc<Self> {
        Arc::new(Connections {
            host: host.clone(),
            dialer,
            client_id: config.client_id.clone(),
            request_timeout: Duration::from_millis(config.request_timeout_ms),
            setup_timeout: Duration::from_millis(config.socket_connection_setup_timeout_ms),
            backoff: Backoff::new(config.reconnect_backoff_ms, config.reconnect_backoff_max_ms),
            slots: Mutex::new(BTreeMap::new()),
            next_lane: AtomicU32::new(0),
        })
    }

    /// A new lane.
    pub(crate) fn lane(self: &Arc<Self>) -> Lane {
        Lane { connections: Arc::clone(self), number: self.next_lane.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Lane {
    /// The connection to `address`, if it stands.
    pub(crate) fn standing(&self, address: &str) -> Option<Connection> {
        let slot = self.connections.slots.lock().get(&(self.number, address.to_string())).cloned();
        slot?.standing()
    }

    /// The connection to `address`, opened if need be.
    pub(crate) async fn connection(&self, address: &str) -> Result<Connection> {
        let connections = &self.connections;
        let slot = {
            let mut slots = connections.slots.lock();
            Arc::clone(slots.entry((self.number, address.to_string())).or_default())
        };
        if let Some(connection) = slot.standing() {
            return Ok(connection);
        }
        let host = &connections.host;
        let asked_at = host.now();
        let mut opening = slot.opening.lock().await;
        if let Some(connection) = slot.standing() {
            return Ok(connection);
        }
        // Whoever waited for an attempt that failed has its error, and does not wait for one of its own.
        if let Some((failed_at, error)) = &opening.failed
            && *failed_at >= asked_at
        {
            return Err(error.clone());
        }
        host.sleep_until(opening.not_before).await;
        match connections.open(address).await {
            Ok(connection) => {
                *opening = Opening::default();
                *slot.current.lock() = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                opening.failures += 1;
                let pause = connections.backoff.delay(opening.failures, host.random_u64());
                opening.not_before = host.now() + pause;
                opening.failed = Some((host.now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut slots = self.connections.slots.lock();
        let mut rest = slots.split_off(&(self.number, String::new()));
        if let Some(next) = self.number.checked_add(1) {
            slots.append(&mut rest.split_off(&(next, String::new())));
        }
        drop(slots);
        // `rest` holds the lane's own connections, which close with their last clone.
    }
}

impl Slot {
    fn standing(&self) -> Option<Connection> {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|connection| !connection.is_open()) {
            *current = None;
        }
        current.clone()
    }
}

impl Connections {
    async fn open(&self, address: &str) -> Result<Connection> {
        let opening = async {
            let stream = self.dialer.connect(address).await.map_err(|error| {
                let text = format!("cannot connect to {address}: {error}");
                ClientError::caused_by(ErrorKind::Retriable, text, error)
            })?;
            let options = ConnectionOptions {
                peer: address.to_string(),
                client_id: self.client_id.clone(),
                request_timeout: self.request_timeout,
                max_in_flight: MAX_IN_FLIGHT,
            };
            Connection::open(&self.host, stream, options).await
        };
        match self.host.timeout(self.setup_timeout, opening).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::timed_out(&format!("connecting to {address}"), self.setup_timeout)),
        }
    }
}
