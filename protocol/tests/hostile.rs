//! Frames made to hurt: whatever a frame claims, decoding it takes memory in proportion to its bytes and never panics.
//!
//! A counting allocator measures. Each test binary has its own, so this is one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use anabranch_protocol::messages::{fetch, metadata, produce};
use anabranch_protocol::sample::{self, Chance, Declared, EveryMessage, every_message};
use anabranch_protocol::{Decoder, Encoder, Message, RequestHeader};
use bytes::{Bytes, BytesMut};

/// What decoding may take at once, apart from what the budget allows.
const FACTOR: usize = 16;
const FLOOR_BYTES: usize = 64 << 10;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches thread-local cells without
// destructors only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

fn count(more: usize, less: usize) {
    let _ = LIVE.try_with(|live| {
        let now = live.get().saturating_add(more).saturating_sub(less);
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many bytes more than before were live at once while `work` ran.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let done = work();
    (done, PEAK.get() - before)
}

fn check<M: Message<'static>>(name: &str, version: i16, frame: Vec<u8>) -> bool {
    let frame: &'static Bytes = Box::leak(Box::new(Bytes::from(frame)));
    let (ok, peak) = peak_bytes(|| M::decode(&mut Decoder::new(frame), version).is_ok());
    let allowed = (frame.len() * FACTOR).max(FLOOR_BYTES);
    assert!(
        peak <= allowed,
        "{name} version {version}: {peak} bytes for a frame of {} ({ok}): {:?}",
        frame.len(),
        &frame[..frame.len().min(100)]
    );
    ok
}

/// What stands for lengths: too many, too long, below zero.
const LENGTHS: &[&[u8]] = &[
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x00, 0x98, 0x96, 0x80],
    &[0x81, 0xc2, 0xd7, 0x2f],
    &[0x00, 0x0f, 0x42, 0x40],
    &[0xc1, 0x84, 0x3d],
    &[0x7f, 0xff],
];

struct LengthsEverywhere;

impl EveryMessage for LengthsEverywhere {
    fn message<M: Declared>(&mut self, name: &str) {
        for version in M::VERSIONS {
            let mut out = Encoder::new();
            sample::sample::<M>(1, version).encode(&mut out, version);
            let whole = out.finish().into_bytes();
            for position in 0..whole.len().min(80) {
                for length in LENGTHS {
                    // Instead of what stands there, with nothing and with something behind.
                    let mut frame = [&whole[..position], length].concat();
                    check::<M>(name, version, frame.clone());
                    frame.extend(whole.iter().skip(position + length.len()).take(300));
                    check::<M>(name, version, frame);
                }
            }
        }
    }
}

#[test]
fn a_claimed_length_costs_nothing() {
    every_message(&mut LengthsEverywhere);
}

struct Noise;

impl EveryMessage for Noise {
    fn message<M: Declared>(&mut self, name: &str) {
        for version in M::VERSIONS {
            for seed in 0..40 {
                let mut chance = Chance::new(seed);
                // Low bytes make short lengths, so that decoding goes deep.
                let mask = [0xff, 0x0f, 0x03, 0x01][seed as usize % 4];
                let length = chance.below(3000);
                check::<M>(name, version, (0..length).map(|_| chance.next_u64() as u8 & mask).collect());
            }
        }
    }
}

#[test]
fn noise_costs_in_proportion() {
    every_message(&mut Noise);
}

struct ManySmall;

impl EveryMessage for ManySmall {
    fn message<M: Declared>(&mut self, name: &str) {
        // An array that claims a thousand, then the least an element can be, again and again: zeros where lengths are
        // plain; where they are compact some ones for empty strings and arrays, and a zero for no tagged fields.
        for version in M::VERSIONS {
            for ones in 0..5 {
                let element = [&vec![1; ones][..], &[0]].concat();
                for count in [&[0x81u8, 0x08][..], &[0, 0, 4, 0]] {
                    for prefix in [0, 1, 2, 4, 5, 6, 9, 13] {
                        let mut frame = vec![0; prefix];
                        frame.extend_from_slice(count);
                        frame.extend(element.repeat(6000 / element.len()));
                        check::<M>(name, version, frame);
                    }
                }
            }
        }
    }
}

#[test]
fn many_small_elements_cost_in_proportion() {
    every_message(&mut ManySmall);
}

/// An honest large frame stays within its budget: the bound is no obstacle.
#[test]
fn large_honest_frames_are_accepted() {
    let mut out = Encoder::new();
    let topics =
        (0..30_000).map(|_| metadata::MetadataRequestTopic { name: Some("abc"), ..Default::default() });
    metadata::MetadataRequest { topics: Some(topics.collect()), ..Default::default() }.encode(&mut out, 9);
    let frame = out.finish().into_bytes().to_vec();
    assert!(check::<metadata::MetadataRequest<'static>>("MetadataRequest", 9, frame));

    let mut out = Encoder::new();
    let partitions = (0..30_000).map(|partition| fetch::FetchPartition { partition, ..Default::default() });
    let topic = fetch::FetchTopic { partitions: partitions.collect(), ..Default::default() };
    fetch::FetchRequest { topics: vec![topic], ..Default::default() }.encode(&mut out, 18);
    let frame = out.finish().into_bytes().to_vec();
    assert!(check::<fetch::FetchRequest<'static>>("FetchRequest", 18, frame));

    let mut out = Encoder::new();
    let partitions = (0..30_000).map(|partition_index| metadata::MetadataResponsePartition {
        partition_index,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        ..Default::default()
    });
    let topic = metadata::MetadataResponseTopic { partitions: partitions.collect(), ..Default::default() };
    metadata::MetadataResponse { topics: vec![topic], ..Default::default() }.encode(&mut out, 13);
    let frame = out.finish().into_bytes().to_vec();
    assert!(check::<metadata::MetadataResponse<'static>>("MetadataResponse", 13, frame));
}

#[test]
fn a_produce_request_allocates_its_two_arrays_only() {
    let records = Bytes::from(vec![1u8; 16 << 10]);
    let partition = produce::PartitionProduceData { index: 0, records: Some(records) };
    let topic =
        produce::TopicProduceData { name: "topic", partition_data: vec![partition], ..Default::default() };
    let mut out = Encoder::new();
    produce::ProduceRequest { topic_data: vec![topic], ..Default::default() }.encode(&mut out, 9);
    // As a frame comes from a connection: cut out of a buffer.
    let mut buffer = BytesMut::from(&out.finish().into_bytes()[..]);
    let frame = buffer.split_to(buffer.len()).freeze();
    let (decoded, peak) = peak_bytes(|| produce::ProduceRequest::decode(&mut Decoder::new(&frame), 9));
    let arrays = size_of::<produce::TopicProduceData<'_>>() + size_of::<produce::PartitionProduceData>();
    assert_eq!(peak, arrays);
    let records = decoded.unwrap().topic_data[0].partition_data[0].records.clone().unwrap();
    assert!(frame.as_ptr_range().contains(&records.as_ptr()), "the records are the frame's own bytes");
}

#[test]
fn headers_of_noise_do_not_panic() {
    for seed in 0..10_000 {
        let mut chance = Chance::new(seed);
        let length = chance.below(40);
        let frame: Bytes = (0..length).map(|_| chance.next_u64() as u8).collect();
        let _ = RequestHeader::decode(&mut Decoder::new(&frame));
    }
}
