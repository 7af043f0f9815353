//! Joins of two streams in windows.

use super::KStream;
use crate::data::{Item, Nullable};
use crate::dsl::graph::SerdeSlot;
use crate::dsl::options::StreamJoined;
use crate::dsl::same_key::SameKey;
use crate::dsl::stream_join::{JoinKind, Keys, StreamJoinPlan};
use crate::windows::JoinWindows;

impl<K: Nullable, V: Nullable> KStream<K, V> {
    /// Each pair of records of one key that lie in a window.
    ///
    /// ```text
    /// views   (ada, home)@1 ────────────────────────────────────▶
    /// clicks  ──────────────── (ada, help)@9 ── (ada, back)@19 ─▶
    /// out     ──────────────── (ada, home help)@9 ──────────────▶      JoinWindows::of(millis(10))
    /// ```
    ///
    /// A pair has the later time of the two. Records with a null key or value meet nothing; a record that comes later than its
    /// window and grace allow is dropped and counted. Both sides keep their records, in stores with changelogs, as long as one of
    /// the other side may still come for them.
    ///
    /// ```
    /// use anabranch::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (views, clicks) = (builder.stream("views"), builder.stream("clicks"));
    /// let windows = JoinWindows::of(millis(10)).grace(millis(5));
    /// views.join(&clicks, windows, |view, click| format!("{view} {click}")).to("out");
    ///
    /// let driver = TestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at(1, "ada", "home");
    /// driver.input("clicks").pipe_at(9, "ada", "help");
    /// driver.input("clicks").pipe_at(19, "ada", "back");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["home help"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn join<K2: SameKey<K> + Nullable, V2: Nullable, R: Item>(
        &self,
        other: &KStream<K2, V2>,
        windows: JoinWindows,
        joiner: impl Fn(&V::Present, &V2::Present) -> R + Send + Sync + 'static,
    ) -> KStream<K::Present, R> {
        let joiner = move |_: &K::Present, a: &V::Present, b: &V2::Present| joiner(a, b);
        self.join_with(other, windows, joiner, StreamJoined::new())
    }

    /// [`join`](KStream::join) whose closure is also given the key, with options or just a name.
    pub fn join_with<K2: SameKey<K> + Nullable, V2: Nullable, R: Item>(
        &self,
        other: &KStream<K2, V2>,
        windows: JoinWindows,
        joiner: impl Fn(&K::Present, &V::Present, &V2::Present) -> R + Send + Sync + 'static,
        options: impl Into<StreamJoined<K::Present, V::Present, V2::Present>>,
    ) -> KStream<K::Present, R> {
        let joiner = move |key: &K::Present, a: Option<&V::Present>, b: Option<&V2::Present>| {
            a.zip(b).map(|(a, b)| joiner(key, a, b))
        };
        let keys = Keys::<K, K2, _>::present(|key: &SerdeSlot| {
            key.get::<K>().map_or_else(SerdeSlot::none, |serde| SerdeSlot::of(K::present_serde(serde)))
        });
        let plan = StreamJoinPlan::<K, V, K2, V2, _, R, _>::new(
            JoinKind::Inner,
            windows,
            joiner,
            options.into(),
            keys,
        );
        plan.record(&self.handle, other)
    }

    /// Each record of this stream with the records of the other that lie in its window; a record that has met nothing comes alone
    /// when its window has closed.
    ///
    /// ```text
    /// views   (ada, home)@1 ── (bob, home)@2 ────────────────────────── (eve, home)@40 ─▶
    /// clicks  ───────────────────────────────── (ada, help)@9 ──────────────────────────▶
    /// out     ───────────────────────────────── (ada, home help)@9 ──── (bob, home -)@2 ▶
    /// ```
    ///
    /// A null key meets nothing and comes alone at once, if the key's type has room for it; a null value is dropped. Late records
    /// are dropped and counted.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (views, clicks) = (builder.stream("views"), builder.stream("clicks"));
    /// let windows = JoinWindows::of(millis(10));
    /// let joined = views.left_join(&clicks, windows, |view, click| format!("{view} {}", click.map_or("-", |c| c)));
    /// joined.to("out");
    /// # let driver = TestDriver::with(&builder.build()?, TestConfig::new().emit_interval(millis(0)))?;
    /// driver.input("views").pipe_at(1, "ada", "home");
    /// driver.input("views").pipe_at(2, "bob", "home");
    /// driver.input("clicks").pipe_at(9, "ada", "help");
    /// driver.input("views").pipe_at(40, "eve", "home");
    /// let out: Vec<_> = driver.output("out").read_all().into_iter().map(|r| (r.value, r.timestamp)).collect();
    /// assert_eq!(out, [("home help".to_string(), 9), ("home -".to_string(), 2)]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn left_join<K2: SameKey<K> + Nullable, V2: Nullable, R: Item>(
        &self,
        other: &KStream<K2, V2>,
        windows: JoinWindows,
        joiner: impl Fn(&V::Present, Option<&V2::Present>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, a: &V::Present, b: Option<&V2::Present>| joiner(a, b);
        self.left_join_with(other, windows, joiner, StreamJoined::new())
    }

    /// [`left_join`](KStream::left_join) whose closure is also given the key, with options or just a name.
    pub fn left_join_with<K2: SameKey<K> + Nullable, V2: Nullable, R: Item>(
        &self,
        other: &KStream<K2, V2>,
        windows: JoinWindows,
        joiner: impl Fn(&K, &V::Present, Option<&V2::Present>) -> R + Send + Sync + 'static,
        options: impl Into<StreamJoined<K::Present, V::Present, V2::Present>>,
    ) -> KStream<K, R> {
        let joiner =
            move |key: &K, a: Option<&V::Present>, b: Option<&V2::Present>| a.map(|a| joiner(key, a, b));
        let plan = StreamJoinPlan::<K, V, K2, V2, _, R, _>::new(
            JoinKind::Left,
            windows,
            joiner,
            options.into(),
            Keys::of_left(),
        );
        plan.record(&self.handle, other)
    }

    /// The records of both streams, paired where they lie in a window, alone where they have met nothing when their window has
    /// closed.
    ///
    /// ```text
    /// views   (ada, home)@1 ──────────────────── (eve, home)@40 ────────────────▶
    /// clicks  ────────────────── (bob, help)@9 ─────────────────────────────────▶
    /// out     ────────────────────────────────── (ada, home -)@1 (bob, - help)@9 ▶
    /// ```
    ///
    /// The key is of this stream's type: if it has no room for null, records of the other stream with a null key are dropped. Null
    /// values are dropped, late records too, and counted.
    ///
    /// ```
    /// # use anabranch::prelude::*;
    /// # let builder = StreamsBuilder::new();
    /// let (views, clicks) = (builder.stream("views"), builder.stream("clicks"));
    /// let show = |side: Option<&String>| side.map_or("-".to_string(), String::clone);
    /// let windows = JoinWindows::of(millis(10));
    /// views.outer_join(&clicks, windows, move |view, click| format!("{} {}", show(view), show(click))).to("out");
    /// # let driver = TestDriver::with(&builder.build()?, TestConfig::new().emit_interval(millis(0)))?;
    /// driver.input("views").pipe_at(1, "ada", "home");
    /// driver.input("clicks").pipe_at(9, "bob", "help");
    /// driver.input("views").pipe_at(40, "eve", "home");
    /// let out: Vec<_> = driver.output("out").read_key_values().into_iter().map(|(_, text)| text).collect();
    /// assert_eq!(out, ["home -", "- help"]);
    /// # Ok::<(), anabranch::Error>(())
    /// ```
    pub fn outer_join<K2: SameKey<K> + Nullable, V2: Nullable, R: Item>(
        &self,
        other: &KStream<K2, V2>,
        windows: JoinWindows,
        joiner: impl Fn(Option<&V::Present>, Option<&V2::Present>) -> R + Send + Sync + 'static,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, a: Option<&V::Present>, b: Option<&V2::Present>| joiner(a, b);
        self.outer_join_with(other, windows, joiner, StreamJoined::new())
    }

    /// [`outer_join`](KStream::outer_join) whose closure is also given the key, with options or just a name.
    pub fn outer_join_with<K2: SameKey<K> + Nullable, V2: Nullable, R: Item>(
        &self,
        other: &KStream<K2, V2>,
        windows: JoinWindows,
        joiner: impl Fn(&K, Option<&V::Present>, Option<&V2::Present>) -> R + Send + Sync + 'static,
        options: impl Into<StreamJoined<K::Present, V::Present, V2::Present>>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, a: Option<&V::Present>, b: Option<&V2::Present>| Some(joiner(key, a, b));
        let plan = StreamJoinPlan::<K, V, K2, V2, _, R, _>::new(
            JoinKind::Outer,
            windows,
            joiner,
            options.into(),
            Keys::of_left(),
        );
        plan.record(&self.handle, other)
    }
}
