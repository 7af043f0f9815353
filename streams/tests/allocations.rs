//! Between fetch and outbox the engine allocates nothing per record. A counting allocator shows it.
//!
//! Keys and values here are numbers, whose serdes allocate nothing either, so that every allocation is the engine's (or
//! the test driver's, which stands in for fetch and outbox). Text costs its text and nothing more.
#![allow(clippy::unwrap_used, reason = "a test binary: what is not there fails the test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use anabranch::prelude::*;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local cell without a
// destructor only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const IN: Topic<i64, i64> = Topic::new("in");
const OUT: Topic<i64, i64> = Topic::new("out");
const COUNTS: Store<KeyValue<i64, i64>> = Store::named("counts");
const KEYS: i64 = 100;
const RECORDS: usize = 1_000;

/// Pipes records through a topology whose stores and buffers are warm and counts the allocations. `out` records are read
/// for each one.
fn check(name: &str, caching: bool, out: usize, build: impl Fn(&StreamsBuilder)) {
    let builder = StreamsBuilder::new();
    build(&builder);
    let config = TestConfig::new().caching(caching).keep_changelogs(false);
    let driver = TestDriver::with(&builder.build().unwrap(), config).unwrap();
    let (input, output) = (driver.input(IN), driver.output(OUT));
    let changelog = driver.output(Topic::<i64, i64>::new("app-counts-changelog"));
    let mut time = 0;
    let mut round = || {
        for _ in 0..RECORDS {
            time += 1;
            input.pipe_at(time, time % KEYS, time);
            assert_eq!(std::iter::from_fn(|| output.read()).count(), out, "{name}");
            while changelog.read().is_some() {}
        }
    };
    round();
    let before = ALLOCATIONS.get();
    round();
    assert_eq!(ALLOCATIONS.get() - before, 0, "{name}, caching {caching}: allocations for {RECORDS} records");
}

#[test]
fn stateless_operators_allocate_nothing() {
    check("pass", false, 1, |builder| {
        builder.stream(IN).to(OUT);
    });
    check("filter and map_values", false, 1, |builder| {
        builder.stream(IN).filter(|_, n| *n > 0).map_values(|n| n + 1).to(OUT);
    });
    check("all the looking and replacing ones", false, 1, |builder| {
        builder
            .stream(IN)
            .peek(|_, _| {})
            .filter_not(|_, n| *n < 0)
            .map(|key, n| (key + 1, n))
            .select_key(|_, n| *n)
            .flat_map_values(|n| [n])
            .to(OUT);
    });
    check("a fork", false, 3, |builder| {
        let numbers = builder.stream(IN);
        numbers.map_values(|n| n + 1).to(OUT);
        numbers.filter(|_, n| *n > 0).to(OUT);
        numbers.to(OUT);
    });
    check("a filter that drops", false, 0, |builder| {
        builder.stream(IN).filter(|_, _| false).to(OUT);
    });
}

#[test]
fn a_warm_store_allocates_nothing() {
    for caching in [false, true] {
        check("count", caching, 1, |builder| {
            builder.stream(IN).group_by_key().count_with(COUNTS).updates().to(OUT);
        });
        check("count without a changelog", caching, 1, |builder| {
            builder.stream(IN).group_by_key().count_with(COUNTS.logging(false)).updates().to(OUT);
        });
        check("reduce", caching, 1, |builder| {
            builder.stream(IN).group_by_key().reduce_with(|a, b| a + b, COUNTS).updates().to(OUT);
        });
    }
}

#[test]
fn a_warm_window_allocates_nothing() {
    const WINDOWS: Store<Windows<i64, i64>> = Store::named("windows").logging(false);
    for caching in [false, true] {
        check("tumbling count", caching, 1, |builder| {
            let counted = builder.stream(IN).group_by_key().windowed_by(Tumbling::of(hours(1)));
            counted.count_with(WINDOWS).updates().map(|key, n| (key.key, n)).to(OUT);
        });
    }
}

/// A join of streams keeps each record: what it allocates is room for many rows at a time.
#[test]
fn a_join_of_streams_allocates_room_for_its_rows_only() {
    const OTHERS: Topic<i64, i64> = Topic::new("others");
    let builder = StreamsBuilder::new();
    let windows = JoinWindows::of(seconds(1)).grace(seconds(1));
    builder.stream(IN).join(&builder.stream(OTHERS), windows, |one, other| one + other).to(OUT);
    let config = TestConfig::new().keep_changelogs(false);
    let driver = TestDriver::with(&builder.build().unwrap(), config).unwrap();
    let (ones, others, output) = (driver.input(IN), driver.input(OTHERS), driver.output(OUT));
    let mut time = 0;
    let mut round = || {
        let mut joined = 0;
        for _ in 0..RECORDS {
            time += 1;
            let input = if time % 2 == 0 { &ones } else { &others };
            input.pipe_at(time, time / 2 % KEYS, time);
            joined += std::iter::from_fn(|| output.read()).count();
        }
        joined
    };
    round();
    let before = ALLOCATIONS.get();
    let joined = round();
    let allocations = ALLOCATIONS.get() - before;
    assert!(joined > RECORDS && allocations < RECORDS / 4, "{joined} joined, {allocations} allocations");
}

#[test]
fn text_costs_its_text() {
    let builder = StreamsBuilder::new();
    const WORDS: Topic<String, String> = Topic::new("words");
    builder.stream(WORDS).filter(|_, word| !word.is_empty()).to("out");
    let driver = TestDriver::new(&builder.build().unwrap()).unwrap();
    let (input, output) = (driver.input(WORDS), driver.output(Topic::<String, String>::new("out")));
    let round = || {
        for _ in 0..RECORDS {
            input.pipe("key", "value");
            assert!(output.read().is_some());
        }
    };
    round();
    let before = ALLOCATIONS.get();
    round();
    // Key and value: made by the test, read by the test. The source writes over those of the record before.
    assert_eq!(ALLOCATIONS.get() - before, 4 * RECORDS);
}
