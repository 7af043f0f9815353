//! Who may connect: the connections that are open, all together and by address.
//!
//! A connection counts from its [`Admitted`] until that is dropped, whatever ends its task. Those within this process
//! have no address and are limited together only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{HashMap, Instant};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::config::ConnectionLimits;

/// The account of open connections.
#[derive(Debug)]
pub(super) struct Admission {
    limit: usize,
    open: Mutex<Open>,
    all_closed: Notify,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// Why somebody is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many connections as there may be.
    Full { limit: usize },
    /// There are as many of this address as there may be.
    AddressFull { limit: usize },
}

/// How fast connections come in: those of a second all at once, and the rest as time goes by.
#[derive(Debug)]
pub(super) struct Pace {
    /// Connections that may come in now.
    allowed: f64,
    /// When that was so.
    at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { allowed: f64::INFINITY, at: now }
    }

    /// How long the connection that has come must wait; it counts as accepted then.
    pub(super) fn take(&mut self, rate: Option<u32>, now: Instant) -> Duration {
        let Some(rate) = rate.map(f64::from) else {
            self.allowed = f64::INFINITY;
            return Duration::ZERO;
        };
        let gained = (now - self.at).as_secs_f64() * rate;
        self.allowed = (self.allowed + gained).min(rate) - 1.0;
        self.at = now;
        if self.allowed >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.allowed / rate) }
    }
}

/// One open connection; dropped when it ends.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    ip: Option<IpAddr>,
}

impl Admission {
    /// At most `limit` connections at one time, whatever the configuration says.
    pub(super) fn new(limit: usize) -> Arc<Admission> {
        let (open, all_closed) = (Mutex::default(), Notify::new());
        Arc::new(Admission { limit, open, all_closed })
    }

    /// Lets in whoever comes from `peer`, if there is room by the limits of this moment.
    pub(super) fn admit(
        self: &Arc<Self>,
        peer: &str,
        limits: &ConnectionLimits,
    ) -> Result<Admitted, Refusal> {
        let ip = peer.parse::<SocketAddr>().ok().map(|address| address.ip().to_canonical());
        let mut open = self.open.lock();
        let limit = self.limit.min(limits.all);
        if open.count >= limit {
            return Err(Refusal::Full { limit });
        }
        if let Some(ip) = ip {
            let limit = limits.per_ip.limit_of(&ip);
            let of_ip = open.by_ip.get(&ip).copied().unwrap_or(0);
            if of_ip >= limit {
                return Err(Refusal::AddressFull { limit });
            }
            open.by_ip.insert(ip, of_ip + 1);
        }
        open.count += 1;
        Ok(Admitted { admission: self.clone(), ip })
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.lock().count
    }

    /// Waits until none is open.
    pub(super) async fn all_closed(&self) {
        loop {
            let notified = self.all_closed.notified();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.count -= 1;
        if let Some(ip) = self.ip
            && let Some(of_ip) = open.by_ip.get_mut(&ip)
        {
            *of_ip -= 1;
            if *of_ip == 0 {
                open.by_ip.remove(&ip);
            }
        }
        if open.count == 0 {
            self.admission.all_closed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use anabranch_host::{Sim, SimOptions};

    use super::*;
    use crate::config::ConnectionsPerIp;

    #[test]
    fn no_more_come_in_than_a_second_may_have() {
        let sim = Sim::new(1, SimOptions::default());
        let started = sim.node("broker").now();
        let mut pace = Pace::new(started);
        let mut take =
            |rate, after_ms| pace.take(rate, started + Duration::from_millis(after_ms)).as_secs_f64();
        // Four at once, and then a quarter of a second each.
        let waits: Vec<f64> = (0..6).map(|_| take(Some(4), 0)).collect();
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.0, 0.25, 0.5]);
        assert_eq!(take(Some(4), 750), 0.0);
        assert_eq!(take(Some(4), 750), 0.25);
        // What was not used up does not add up for ever.
        let waits: Vec<f64> = (0..5).map(|_| take(Some(4), 60_000)).collect();
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.0, 0.25]);
        assert_eq!(take(None, 60_000), 0.0);
        assert_eq!(take(Some(4), 60_000), 0.0, "it begins anew");
    }

    #[test]
    fn limits_hold_for_all_and_for_each_address() {
        let overrides = [("10.0.0.9".parse().unwrap(), 1)].into();
        let per_ip = ConnectionsPerIp { limit: 2, overrides };
        let mut limits = ConnectionLimits { all: 4, per_ip, creation_rate: None };
        let admission = Admission::new(9);
        let admit = |peer: &str| admission.admit(peer, &limits);
        let first = admit("10.0.0.1:4000").unwrap();
        let second = admit("[::ffff:10.0.0.1]:4001").unwrap();
        assert_eq!(admit("10.0.0.1:4002").unwrap_err(), Refusal::AddressFull { limit: 2 });
        let _named = admit("10.0.0.9:4000").unwrap();
        assert_eq!(admit("10.0.0.9:4001").unwrap_err(), Refusal::AddressFull { limit: 1 });
        drop(first);
        let _again = admit("10.0.0.1:4003").unwrap();
        let _here = admit("in-process").unwrap();
        assert_eq!(admit("in-process").unwrap_err(), Refusal::Full { limit: 4 });
        limits.all = 5;
        let more = admission.admit("in-process", &limits).unwrap();
        drop((second, more));
        assert_eq!(admission.count(), 3);
        assert_eq!(admission.open.lock().by_ip.len(), 2, "addresses without connections are forgotten");
    }
}
