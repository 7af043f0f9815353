//! The recorded topologies in our DSL, by what they are about.

mod aggregates;
mod cogroups;
mod foreign_keys;
mod grouped_tables;
mod joins;
mod lookups;
mod processors;
mod stateless;
mod stores;
mod suppress;
mod tables;
mod versioned;
mod windows;

use anabranch::prelude::*;

type Build = fn(&StreamsBuilder);
type ByHand = fn() -> Topology;

/// Builds the topology of this name.
pub(crate) fn named(name: &str) -> Option<Box<dyn Fn(Optimization) -> Result<Topology>>> {
    if let Some((_, build)) = processors::BY_HAND.iter().find(|(known, _)| *known == name) {
        return Some(Box::new(|_| Ok(build())));
    }
    let all = [
        stateless::ALL,
        aggregates::ALL,
        cogroups::ALL,
        tables::ALL,
        grouped_tables::ALL,
        suppress::ALL,
        versioned::ALL,
        windows::ALL,
        joins::ALL,
        foreign_keys::ALL,
        lookups::ALL,
        processors::ALL,
        stores::ALL,
    ];
    let (_, build) = *all.iter().copied().flatten().find(|(known, _)| *known == name)?;
    Some(Box::new(move |optimization| {
        let builder = StreamsBuilder::new();
        build(&builder);
        builder.build_with(optimization)
    }))
}

/// Keys and values may be null, as in all recordings.
const IN: Topic<Option<String>, Option<String>> = Topic::new("in");
