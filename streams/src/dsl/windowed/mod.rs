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
    pub fn windowed_by<W: WindowSpec>(&self, windows: W) -> W::Of<Self> {
        windows.cut(self.clone())
    }
}

impl<K, V, W: TimeWindows> TimeWindowed<KGroupedStream<K, V>, W> {
    /// One result a window, when it has closed, instead of one an update.
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
    /// One result a session, when it has closed, instead of one an update.
    #[must_use]
    pub fn emit_on_window_close(mut self) -> Self {
        self.on_close = true;
        self
    }
}
