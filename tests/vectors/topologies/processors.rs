//! Processors written by hand: forwarding to one child, headers, punctuation; and a topology without a builder.

use anabranch::prelude::*;

use super::{Build, ByHand, IN};

/// The topologies of this file.
pub(super) const ALL: &[(&str, Build)] =
    &[("headers_process_values", headers_process_values), ("processor_punctuate", processor_punctuate)];

/// Those that are made by hand.
pub(super) const BY_HAND: &[(&str, ByHand)] = &[("forward_to_children", forward_to_children)];

struct Router {
    first: ChildRef,
    rest: ChildRef,
}

impl Router {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        Router { first: ctx.child("sink-a"), rest: ctx.child("sink-b") }
    }
}

impl Processor for Router {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = Option<String>;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<Option<String>, String>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        let child =
            if record.value.starts_with(|c| ('a'..='f').contains(&c)) { self.first } else { self.rest };
        let marked = format!("{}*", record.value);
        ctx.forward_to(child, record.with_value(marked));
        Ok(())
    }
}

fn forward_to_children() -> Topology {
    let mut topology = Topology::new();
    let source = topology.add_source("src", "in");
    let router = topology.add_processor("router", Router::new, source);
    topology.add_sink("sink-a", "out-a", router);
    topology.add_sink("sink-b", "out-b", router);
    topology
}

/// Writes the length of each value into a header.
struct Measure;

impl FixedKeyProcessor for Measure {
    type Key = Option<String>;
    type ValueIn = Option<String>;
    type ValueOut = Option<String>;

    fn process(
        &mut self,
        mut record: FixedKeyRecord<Option<String>, Option<String>>,
        ctx: &mut FixedKeyContext<'_, Self>,
    ) -> Result<()> {
        let length = record.value.as_ref().map_or(0, String::len);
        record.headers.add("n", length.to_string());
        ctx.forward(record);
        Ok(())
    }
}

fn headers_process_values(b: &StreamsBuilder) {
    b.stream(IN)
        .process_values(|_: &mut FixedKeyInitContext<'_, _>| Measure)
        .filter(|_, v| v.is_some())
        .map_values(|v| v.map(|v| v + "!"))
        .to("out");
}

/// Counts records by key. All counts go out every 20 ms of stream time, the wall clock every 50 ms of its own.
struct Count {
    counts: StoreRef<KeyValue<String, i64>>,
}

impl Count {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        ctx.schedule(millis(20), StreamTime, |this, time, ctx| {
            for (key, n) in ctx.store(this.counts).all()? {
                ctx.forward(Record::new(key, format!("n{n}"), time));
            }
            Ok(())
        });
        ctx.schedule(millis(50), WallClockTime, |_, time, ctx| {
            ctx.forward(Record::new("wall".to_string(), format!("t{time}"), time));
            Ok(())
        });
        Count { counts: ctx.store(Store::named("p")) }
    }
}

impl Processor for Count {
    type KeyIn = Option<String>;
    type ValueIn = Option<String>;
    type KeyOut = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: Record<Option<String>, Option<String>>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        if let Some(key) = record.key {
            ctx.store(self.counts).update(&key, |n| Some(n.unwrap_or(0) + 1))?;
        }
        Ok(())
    }
}

fn processor_punctuate(b: &StreamsBuilder) {
    b.stream(IN).process(Count::new).to("out");
}
