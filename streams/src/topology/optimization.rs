//! Which optimisations `build_with` applies (Kafka's `topology.optimization`).

/// Rewrites of the topology that keep its results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Optimization {
    /// Restores a table from the topic it reads instead of from a changelog of its own.
    pub reuse_source_topics: bool,
    /// Repartitions a re-keyed stream once for all operators that need it.
    pub merge_repartitions: bool,
    /// Keeps one store, not two, when a stream is joined with itself.
    pub single_store_self_join: bool,
}

impl Optimization {
    /// All of them.
    pub const ALL: Self =
        Optimization { reuse_source_topics: true, merge_repartitions: true, single_store_self_join: true };

    /// None of them: the default, as in Kafka Streams.
    pub const NONE: Self =
        Optimization { reuse_source_topics: false, merge_repartitions: false, single_store_self_join: false };
}
