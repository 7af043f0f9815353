//! What a broker counts, for whoever watches it.
//!
//! The hot path adds to atomics and does nothing else; what can be asked at any time (sizes, offsets, states of groups)
//! is not counted but looked up when somebody asks. [`exposition`](crate::exposition) writes both as Prometheus' text.

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anabranch_protocol::ApiKey;

pub(crate) use histogram::Histogram;

/// Something that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a connection ended, as the metrics tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client closed it, or the network did.
    Client,
    /// `connections.max.idle.ms`.
    Idle,
    /// `socket.request.timeout.ms`.
    Slow,
    /// What the client sent was not the protocol.
    Protocol,
    /// The broker stops.
    Shutdown,
}

impl CloseReason {
    pub(crate) const ALL: [CloseReason; 5] = [
        CloseReason::Client,
        CloseReason::Idle,
        CloseReason::Slow,
        CloseReason::Protocol,
        CloseReason::Shutdown,
    ];

    /// The value of the label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            CloseReason::Client => "client",
            CloseReason::Idle => "idle",
            CloseReason::Slow => "slow",
            CloseReason::Protocol => "protocol",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

/// The counters of one broker.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Records that producers appended.
    pub(crate) messages_in: Counter,
    /// Bytes of their batches, as they came.
    pub(crate) bytes_in: Counter,
    /// Bytes of batches that fetches gave.
    pub(crate) bytes_out: Counter,
    /// Batches that were refused.
    pub(crate) failed_appends: Counter,
    /// Connections accepted.
    pub(crate) connections_opened: Counter,
    /// Connections turned away by a limit.
    pub(crate) connections_refused: Counter,
    connections_closed: [Counter; CloseReason::ALL.len()],
    /// From the arrival of a request until its answer could be written, by API key.
    request_times: Vec<Histogram>,
    /// When the broker was opened, by the wall clock.
    pub(crate) started_ms: i64,
}

impl Metrics {
    /// All zero. `now_ms` is the wall clock's time.
    pub(crate) fn new(now_ms: i64) -> Metrics {
        let apis = ApiKey::ALL.iter().map(|api_key| index(*api_key) + 1).max().unwrap_or(0);
        Metrics {
            messages_in: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            failed_appends: Counter::default(),
            connections_opened: Counter::default(),
            connections_refused: Counter::default(),
            connections_closed: Default::default(),
            request_times: std::iter::repeat_with(Histogram::default).take(apis).collect(),
            started_ms: now_ms,
        }
    }

    /// A batch of a producer was appended.
    pub(crate) fn appended(&self, records: i64, bytes: usize) {
        self.messages_in.add(u64::try_from(records).unwrap_or(0));
        self.bytes_in.add(bytes as u64);
    }

    /// A request was answered, so long after it had come.
    pub(crate) fn answered(&self, api_key: ApiKey, took: Duration) {
        self.request_times[index(api_key)].observe(took);
    }

    /// A connection ended.
    pub(crate) fn connection_closed(&self, reason: CloseReason) {
        self.connections_closed[reason as usize].increment();
    }

    /// How many ended for this reason.
    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.connections_closed[reason as usize].value()
    }

    /// How long requests of this kind took.
    pub(crate) fn request_times(&self, api_key: ApiKey) -> &Histogram {
        &self.request_times[index(api_key)]
    }
}

fn index(api_key: ApiKey) -> usize {
    usize::from(i16::from(api_key).unsigned_abs())
}
