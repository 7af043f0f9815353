//! How an aggregation or a join cuts time: `Tumbling::of(minutes(5)).grace(minutes(1))` reads like the sentence.

use std::time::Duration;

use crate::time::as_ms;
use crate::window::{SessionWindow, TimeWindow, UnlimitedWindow, Window};

/// Windows of one size, side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    size: Duration,
    grace: Duration,
}

impl Tumbling {
    /// Windows of `size`, aligned to 1970. Records are late once their window has ended; see [`grace`](Self::grace).
    #[must_use]
    pub const fn of(size: Duration) -> Self {
        Tumbling { size, grace: Duration::ZERO }
    }

    /// How long after its end a window still takes late records.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// Windows of one size that overlap: a record belongs to several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hopping {
    size: Duration,
    advance: Duration,
    grace: Duration,
}

/// A size that waits for its advance: `Hopping::of(size).every(advance)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoppingOf(Duration);

impl HoppingOf {
    /// A new window begins every `advance`, which is no longer than the windows.
    #[must_use]
    pub const fn every(self, advance: Duration) -> Hopping {
        Hopping { size: self.0, advance, grace: Duration::ZERO }
    }
}

impl Hopping {
    /// Windows of `size`; say [`every`](HoppingOf::every) when they begin.
    #[must_use]
    pub const fn of(size: Duration) -> HoppingOf {
        HoppingOf(size)
    }

    /// How long after its end a window still takes late records.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// Windows made by the records: one that ends at each record, one that begins just after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    difference: Duration,
    grace: Duration,
}

impl Sliding {
    /// Windows whose records are at most `difference` apart; both ends belong to a window.
    #[must_use]
    pub const fn of(difference: Duration) -> Self {
        Sliding { difference, grace: Duration::ZERO }
    }

    /// How long after its end a window still takes late records.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// Sessions: records of a key that are at most a gap apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    gap: Duration,
    grace: Duration,
}

impl Session {
    /// A session ends when no record comes for longer than `gap`.
    #[must_use]
    pub const fn gap(gap: Duration) -> Self {
        Session { gap, grace: Duration::ZERO }
    }

    /// How long after its end a session still takes late records.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(crate) const fn gap_ms(self) -> i64 {
        as_ms(self.gap)
    }

    pub(crate) const fn grace_ms(self) -> i64 {
        as_ms(self.grace)
    }

    /// How long after its end a session may still change: it may be merged with one that begins a gap later.
    pub(crate) fn closes_after_ms(self) -> Option<i64> {
        Some(self.gap_ms().saturating_add(self.grace_ms()))
    }
}

/// One window that never ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlimited {
    start_ms: i64,
}

impl Unlimited {
    /// Takes all records from this time on.
    #[must_use]
    pub const fn starting_at(start_ms: i64) -> Self {
        Unlimited { start_ms }
    }
}

/// Which records of two streams meet: those at most so far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    before: Duration,
    after: Duration,
    grace: Duration,
}

impl JoinWindows {
    /// Records of the other stream that are at most `difference` earlier or later.
    #[must_use]
    pub const fn of(difference: Duration) -> Self {
        JoinWindows { before: difference, after: difference, grace: Duration::ZERO }
    }

    /// How much earlier the other record may be.
    #[must_use]
    pub const fn before(mut self, before: Duration) -> Self {
        self.before = before;
        self
    }

    /// How much later the other record may be.
    #[must_use]
    pub const fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// How long a window still takes late records.
    #[must_use]
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// What is wrong with the windows; `None` if nothing.
    pub(crate) fn fault(self) -> Option<&'static str> {
        let total =
            self.before_ms().checked_add(self.after_ms()).and_then(|sum| sum.checked_add(self.grace_ms()));
        // Times are added to these everywhere: room is kept for the largest time there is.
        match total {
            Some(total) if total <= i64::MAX / 4 => None,
            _ => Some("its windows and grace are too long"),
        }
    }

    pub(crate) const fn before_ms(self) -> i64 {
        as_ms(self.before)
    }

    pub(crate) const fn after_ms(self) -> i64 {
        as_ms(self.after)
    }

    pub(crate) const fn grace_ms(self) -> i64 {
        as_ms(self.grace)
    }
}

/// Windows of time for an aggregation: tumbling, hopping, sliding or unlimited. Sealed.
pub trait TimeWindows: Copy + Send + Sync + 'static + sealed::Sealed {
    /// The window in the keys of the result.
    type Window: Window;

    /// How they cut time.
    #[doc(hidden)]
    fn cut(self) -> Cut;
}

/// How windows of time cut it, in milliseconds.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Windows of `size` that begin every `advance`.
    Fixed {
        /// How long a window is.
        size: i64,
        /// How far apart windows begin.
        advance: i64,
        /// How long a window takes late records.
        grace: i64,
    },
    /// Windows around records.
    Sliding {
        /// How far apart records may be.
        difference: i64,
        /// How long a window takes late records.
        grace: i64,
    },
    /// One window.
    Unlimited {
        /// Where it begins.
        start: i64,
    },
}

impl Cut {
    /// How long a window is.
    pub(crate) fn size_ms(self) -> i64 {
        match self {
            Cut::Fixed { size, .. } => size,
            Cut::Sliding { difference, .. } => difference,
            Cut::Unlimited { .. } => i64::MAX,
        }
    }

    /// How long a window takes late records.
    pub(crate) fn grace_ms(self) -> i64 {
        match self {
            Cut::Fixed { grace, .. } | Cut::Sliding { grace, .. } => grace,
            Cut::Unlimited { .. } => 0,
        }
    }

    /// How long after its end a window may still change; `None` if it never ends.
    pub(crate) fn closes_after_ms(self) -> Option<i64> {
        match self {
            Cut::Fixed { .. } | Cut::Sliding { .. } => Some(self.grace_ms()),
            Cut::Unlimited { .. } => None,
        }
    }

    /// How long rows are kept at least.
    pub(crate) fn retention_ms(self) -> i64 {
        match self {
            Cut::Fixed { size, grace, .. } => size.saturating_add(grace),
            Cut::Sliding { difference, grace } => difference.saturating_mul(2).saturating_add(grace),
            Cut::Unlimited { .. } => i64::MAX,
        }
    }

    /// What is wrong with the windows; `None` if nothing.
    pub(crate) fn fault(self) -> Option<&'static str> {
        match self {
            Cut::Fixed { size: 0, .. } => Some("windows need a size of at least 1 ms"),
            Cut::Fixed { advance: 0, .. } => Some("windows need to advance by at least 1 ms"),
            Cut::Fixed { size, advance, .. } if advance > size => {
                Some("windows may not advance by more than their size: records in between would be lost")
            }
            Cut::Unlimited { start } if start < 0 => Some("a window cannot begin before 1970"),
            _ => None,
        }
    }
}

impl TimeWindows for Tumbling {
    type Window = TimeWindow;

    fn cut(self) -> Cut {
        Cut::Fixed { size: as_ms(self.size), advance: as_ms(self.size), grace: as_ms(self.grace) }
    }
}

impl TimeWindows for Hopping {
    type Window = TimeWindow;

    fn cut(self) -> Cut {
        Cut::Fixed { size: as_ms(self.size), advance: as_ms(self.advance), grace: as_ms(self.grace) }
    }
}

impl TimeWindows for Sliding {
    type Window = TimeWindow;

    fn cut(self) -> Cut {
        Cut::Sliding { difference: as_ms(self.difference), grace: as_ms(self.grace) }
    }
}

impl TimeWindows for Unlimited {
    type Window = UnlimitedWindow;

    fn cut(self) -> Cut {
        Cut::Unlimited { start: self.start_ms }
    }
}

/// Windows that end, so that a final result exists.
#[diagnostic::on_unimplemented(
    message = "`{Self}` never closes",
    note = "a final result needs windows that end: `Tumbling`, `Hopping`, `Sliding` or `Session`"
)]
pub trait Closes {}
impl Closes for Tumbling {}
impl Closes for Hopping {}
impl Closes for Sliding {}
impl Closes for Session {}
impl Closes for TimeWindow {}
impl Closes for SessionWindow {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Tumbling {}
    impl Sealed for super::Hopping {}
    impl Sealed for super::Sliding {}
    impl Sealed for super::Unlimited {}
}
