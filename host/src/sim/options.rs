//! What a simulated world is like.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::dice::Dice;

/// How the world behaves and when a run has taken too long. The default is calm: tasks interleave by chance, but nothing
/// fails.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Virtual time that one poll of a task takes.
    pub poll_time: Duration,
    /// The wall clock at the beginning, in milliseconds since 1970.
    pub wall_clock_start_ms: i64,
    /// Polls and events after which a run counts as stuck.
    pub max_steps: u64,
    /// Virtual time after which a run counts as stuck.
    pub max_time: Duration,
    /// The network.
    pub network: NetworkOptions,
    /// The disks.
    pub disk: DiskOptions,
}

impl SimOptions {
    /// A world in which things fail; which, and how often, comes from the seed. Each seed has some faults and not others,
    /// so that each is also seen alone.
    #[must_use]
    pub fn chaos(seed: u64) -> SimOptions {
        let mut dice = Dice::new(seed, "options");
        let network = NetworkOptions::chaos(&mut dice);
        let disk = DiskOptions::chaos(&mut dice);
        let poll_time = Duration::from_nanos(dice.within(&(200..=20_000)));
        SimOptions { network, disk, poll_time, ..SimOptions::default() }
    }
}

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions {
            poll_time: Duration::from_micros(1),
            // Some day of 2025.
            wall_clock_start_ms: 1_750_000_000_000,
            max_steps: 100_000_000,
            max_time: Duration::from_secs(24 * 3600),
            network: NetworkOptions::default(),
            disk: DiskOptions::default(),
        }
    }
}

/// How the network behaves. The default loses nothing.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// How long bytes, or a request to connect, take from node to node. Within a node it is some microseconds.
    pub latency: RangeInclusive<Duration>,
    /// How often bytes are held up on their way (those of their connection behind them too).
    pub stall_probability: f64,
    /// How long they are held up.
    pub stall: RangeInclusive<Duration>,
    /// How often a write cuts its connection: both ends are reset, what is on the way may or may not arrive.
    pub cut_probability: f64,
    /// How often an attempt to connect is refused although somebody listens.
    pub refuse_probability: f64,
    /// How often an accept fails for want of file descriptors (`EMFILE`).
    pub accept_failure_probability: f64,
    /// How many connections are fragmented: reads and writes move little at a time, often a single byte.
    pub fragment_probability: f64,
    /// Bytes on the way and unread in one direction of a connection before the writer waits.
    pub buffer_bytes: RangeInclusive<u64>,
    /// How often a node that loses power leaves a peer without an answer, until that gives up.
    pub silence_probability: f64,
    /// How long TCP tries to deliver bytes before it gives a connection up.
    pub give_up: RangeInclusive<Duration>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        NetworkOptions {
            latency: Duration::from_micros(50)..=Duration::from_micros(500),
            stall_probability: 0.0,
            stall: Duration::from_millis(10)..=Duration::from_secs(2),
            cut_probability: 0.0,
            refuse_probability: 0.0,
            accept_failure_probability: 0.0,
            fragment_probability: 0.0,
            buffer_bytes: 128 * 1024..=128 * 1024,
            silence_probability: 0.0,
            give_up: Duration::from_secs(10)..=Duration::from_secs(60),
        }
    }
}

impl NetworkOptions {
    fn chaos(dice: &mut Dice) -> NetworkOptions {
        let calm = NetworkOptions::default();
        let latency_max = Duration::from_micros(dice.within(&(100..=20_000)));
        // With small buffers writers wait and short writes are common.
        let buffer_bytes = if dice.happens(0.5) { 64..=4096 } else { 4096..=256 * 1024 };
        NetworkOptions {
            latency: latency_max / 10..=latency_max,
            stall_probability: sometimes(dice, 0.02),
            cut_probability: sometimes(dice, 0.01),
            refuse_probability: sometimes(dice, 0.2),
            accept_failure_probability: sometimes(dice, 0.1),
            fragment_probability: sometimes(dice, 1.0),
            silence_probability: sometimes(dice, 1.0),
            buffer_bytes,
            ..calm
        }
    }
}

/// How a disk behaves. The default fails nothing; but a loss of power always loses what was not synced.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// How long a sync takes.
    pub sync: RangeInclusive<Duration>,
    /// How often a sync is slow.
    pub slow_sync_probability: f64,
    /// How long it takes then.
    pub slow_sync: RangeInclusive<Duration>,
    /// How often a sync fails (`EIO`). A part of what it should have made durable is lost then, for good; a later sync
    /// of the file fails too, or, as on Linux, succeeds and proves nothing.
    pub sync_failure_probability: f64,
    /// How often a write fails (`EIO`) and leaves a part of its bytes.
    pub write_failure_probability: f64,
    /// How often a read fails (`EIO`).
    pub read_failure_probability: f64,
    /// Bytes the disk holds; writes beyond them fail (`ENOSPC`).
    pub capacity_bytes: Option<u64>,
}

impl Default for DiskOptions {
    fn default() -> Self {
        DiskOptions {
            sync: Duration::from_micros(300)..=Duration::from_millis(3),
            slow_sync_probability: 0.0,
            slow_sync: Duration::from_millis(20)..=Duration::from_secs(1),
            sync_failure_probability: 0.0,
            write_failure_probability: 0.0,
            read_failure_probability: 0.0,
            capacity_bytes: None,
        }
    }
}

impl DiskOptions {
    /// Slow syncs at most: a disk that fails stops who uses it, so a test asks for that itself.
    fn chaos(dice: &mut Dice) -> DiskOptions {
        let sync_max = Duration::from_micros(dice.within(&(200..=20_000)));
        DiskOptions {
            sync: sync_max / 10..=sync_max,
            slow_sync_probability: sometimes(dice, 0.02),
            ..DiskOptions::default()
        }
    }

    pub(super) fn sync_time(&self, dice: &mut Dice) -> Duration {
        let slow = dice.happens(self.slow_sync_probability);
        dice.duration(if slow { &self.slow_sync } else { &self.sync })
    }

    pub(super) fn sync_fails(&self, dice: &mut Dice) -> bool {
        dice.happens(self.sync_failure_probability)
    }
}

/// A probability up to `most`, or none: every other seed is without.
fn sometimes(dice: &mut Dice, most: f64) -> f64 {
    let share = dice.below(1001) as f64 / 1000.0;
    if dice.happens(0.5) { most * share } else { 0.0 }
}
