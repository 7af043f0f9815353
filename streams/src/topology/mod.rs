//! The topology: nodes, stores and internal topics, as the DSL writes them or as they are added by hand.
//!
//! Reading order: `definition` (what a topology holds), `pattern` (sources by pattern), `by_hand` (adding nodes by hand), `processors` (those of users), `global_stores`, `subtopology` (what runs as
//! one task), `internal_topics` (what must exist on the broker), `validate` (all faults at once), `java_order` and
//! `description` (Kafka Streams' text), `drawing` (DOT and Mermaid).

mod by_hand;
mod definition;
mod description;
mod drawing;
mod global_stores;
mod internal_topics;
mod java_order;
mod optimization;
mod pattern;
mod processors;
mod subtopology;
mod validate;

pub use by_hand::{NodeRef, Parents};
pub use definition::Topology;
pub use optimization::Optimization;

pub(crate) use definition::{NodeKind, SinkTopic, SourceDefinition, StoreDefinition, StoreShape};
pub(crate) use global_stores::global_source;
pub(crate) use internal_topics::{InternalTopic, RepartitionTopic, changelog_name};
pub(crate) use pattern::TopicPattern;
pub(crate) use subtopology::Subtopology;
