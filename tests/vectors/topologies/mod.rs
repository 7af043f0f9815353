//! The recorded topologies in our DSL, by what they are about.

mod aggregates;
mod cogroups;
mod grouped_tables;
mod joins;
mod stateless;
mod suppress;
mod tables;
mod windows;

use anabranch::prelude::*;

type Build = fn(&StreamsBuilder);

/// Builds the topology of this name.
pub(crate) fn named(name: &str) -> Option<impl Fn(Optimization) -> Result<Topology>> {
    let all = [
        stateless::ALL,
        aggregates::ALL,
        cogroups::ALL,
        tables::ALL,
        grouped_tables::ALL,
        suppress::ALL,
        windows::ALL,
        joins::ALL,
    ];
    let (_, build) = *all.iter().copied().flatten().find(|(known, _)| *known == name)?;
    Some(move |optimization| {
        let builder = StreamsBuilder::new();
        build(&builder);
        builder.build_with(optimization)
    })
}

/// Keys and values may be null, as in all recordings.
const IN: Topic<Option<String>, Option<String>> = Topic::new("in");
