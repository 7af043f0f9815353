//! Grouped streams cut into windows, to be aggregated.
//!
//! Reading order: what `windowed_by` gives here, `aggregation` (the node of a windowed aggregation), `time`, `session`,
//! `cogrouped`.

mod aggregation;
mod cogrouped;
mod session;
mod time;

pub use cogrouped::{SessionWindowedCogroupedKStream, TimeWindowedCogroupedKStream};

pub(super) use aggregation::Closures;
pub(super) use session::session;
pub(super) use time::{fixed, sliding};

use super::kgrouped_stream::KGroupedStream;
use crate::windows::{Closes, Hopping, Session, Sliding, TimeWindows, Tumbling, Unlimited};

/// What is grouped, cut into windows of time.
#[derive(Clone)]
pub struct TimeWindowed<G, W> {
    pub(super) grouped: G,
    pub(super) windows: W,
    pub(super) on_close: bool,
}

/// What is grouped, cut into sessions.
#[derive(Clone)]
pub struct SessionWindowed<G> {
    pub(super) grouped: G,
    pub(super) windows: Session,
    pub(super) on_close: bool,
}

/// A grouped stream in windows of time.
pub type TimeWindowedKStream<K, V, W> = TimeWindowed<KGroupedStream<K, V>, W>;

/// A grouped stream in sessions.
pub type SessionWindowedKStream<K, V> = SessionWindowed<KGroupedStream<K, V>>;

/// Windows that an aggregation may be cut into.
#[diagnostic::on_unimplemented(
    message = "`{Self}` are not windows for an aggregation",
    note = "use `Tumbling::of`, `Hopping::of(..).every(..)`, `Sliding::of`, `Session::gap` or `Unlimited::starting_at`; `JoinWindows` belong to `join`"
)]
pub trait WindowSpec: Copy + 'static {
    /// What is grouped, cut into these windows.
    type Of<G>;

    /// Cuts.
    #[doc(hidden)]
    fn cut<G>(self, grouped: G) -> Self::Of<G>;
}

macro_rules! windows_of_time {
    ($($windows:ty),*) => { $(
        impl WindowSpec for $windows {
            type Of<G> = TimeWindowed<G, $windows>;

            fn cut<G>(self, grouped: G) -> TimeWindowed<G, $windows> {
                TimeWindowed { grouped, windows: self, on_close: false }
            }
        }
    )* };
}
windows_of_time!(Tumbling, Hopping, Sliding, Unlimited);

impl WindowSpec for Session {
    type Of<G> = SessionWindowed<G>;

    fn cut<G>(self, grouped: G) -> SessionWindowed<G> {
        SessionWindowed { grouped, windows: self, on_close: false }
    }
}

impl<K, V> KGroupedStream<K, V> {
    /// Cuts the stream into windows: `windowed_by(Tumbling::of(minutes(5)).grace(minutes(1)))`.
    ///
    /// ```text
    /// in        ──x@1──────x@4──────x@11─────────────▶
    /// Tumbling  [0        ) [10      ) [20      )        of 10
    /// Hopping   [0        )                              of 10, every 5
    ///                [5        )
    /// Sliding   [-9     1], [-6     4], [2    11] ..     of 10: ends at each record, and begins right behind it
    /// Session   [1 .. 4]            [11 .. 11]           a gap of 5
    /// Unlimited [0                                       starting at 0
    /// ```
    ///
    /// Without `.grace(..)` a record that comes after its window has ended is late: it is dropped and counted.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks").group_by_key();
    /// let windows = clicks.windowed_by(Hopping::of(millis(10)).every(millis(5)));
    /// windows.count().updates().map(|key, n| (key.key, format!("{n} from {}", key.window.start_ms))).to("out");
    /// # let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at(1, "ada", "/");
    /// driver.input("clicks").pipe_at(7, "ada", "/");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["1 from 0", "2 from 0", "1 from 5"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn windowed_by<W: WindowSpec>(&self, windows: W) -> W::Of<Self> {
        windows.cut(self.clone())
    }
}

impl<K, V, W: TimeWindows> TimeWindowed<KGroupedStream<K, V>, W> {
    /// One result a window, when it has closed (its end and the grace are past by stream time), instead of one an update: Kafka's
    /// `EmitStrategy.onWindowClose()`.
    ///
    /// ```text
    /// in      ──x@1──x@5────────x@12─────▶
    /// update  ──1────2──────────1────────▶
    /// close   ──────────────────2────────▶      Tumbling::of(millis(10))
    /// ```
    ///
    /// Results of windows that close together come in the order of their ends. They are looked for once a second by the wall clock,
    /// as records come.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks").group_by_key().windowed_by(Tumbling::of(millis(10)));
    /// clicks.emit_on_window_close().count().updates().map(|key, n| (key.key, n)).to("out");
    /// # let driver = TestDriver::with(&builder.build()?, TestConfig::new().emit_interval(millis(0)))?;
    /// for time in [1, 5, 12] {
    ///     driver.input("clicks").pipe_at(time, "ada", "/");
    /// }
    /// assert_eq!(driver.output(Topic::<String, i64>::new("out")).read_key_values(), [("ada".to_string(), 2)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    #[must_use]
    pub fn emit_on_window_close(mut self) -> Self
    where
        W: Closes,
    {
        self.on_close = true;
        self
    }
}

impl<K, V> SessionWindowed<KGroupedStream<K, V>> {
    /// One result a session, when it has closed (the gap and the grace behind its last record are past by stream time), instead of
    /// one an update: Kafka's `EmitStrategy.onWindowClose()`.
    ///
    /// ```text
    /// in      ──x@1──x@5──────────x@40──▶
    /// update  ──1────2────────────1─────▶
    /// close   ────────────────────2─────▶      Session::gap(millis(10))
    /// ```
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let clicks = builder.stream("clicks").group_by_key().windowed_by(Session::gap(millis(10)));
    /// clicks.emit_on_window_close().count().updates().map(|key, n| (key.key, n)).to("out");
    /// # let driver = TestDriver::with(&builder.build()?, TestConfig::new().emit_interval(millis(0)))?;
    /// for time in [1, 5, 40] {
    ///     driver.input("clicks").pipe_at(time, "ada", "/");
    /// }
    /// assert_eq!(driver.output(Topic::<String, i64>::new("out")).read_key_values(), [("ada".to_string(), 2)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    #[must_use]
    pub fn emit_on_window_close(mut self) -> Self {
        self.on_close = true;
        self
    }
}
