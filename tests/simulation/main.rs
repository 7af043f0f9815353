//! Broker, clients and applications in one simulated world, under a seed that decides what fails.
//!
//! The code is the very code that runs in the real world; only the world is not real. `ANABRANCH_SEEDS` says how many
//! seeds, `ANABRANCH_SEED` replays one (`seeds`). Reading order: `history`, `checker`, `seeds`, `runs`, `broker_process`,
//! `nemesis`, `state_faults`, `producers`, `consumers`, `reader`, `instances`, `trouble`, `committed`, then the tests.

mod broker_process;
mod changing_topics;
mod checker;
mod closing;
mod commit_phases;
mod committed;
mod compaction;
mod consumers;
mod durability;
mod end_of_all;
mod failing_flushes;
mod global_rows;
mod history;
mod identity;
mod instances;
mod iterators;
mod iterators_judged;
mod joins;
mod kinds_judged;
mod kinds_of_state;
mod late_wakers;
mod lost_topics;
mod nemesis;
mod openings;
mod outages;
mod poison;
mod power_cuts;
mod producers;
mod quiet;
mod reader;
mod results_first;
mod runs;
mod seeds;
mod state_directory;
mod state_faults;
mod tables;
mod ticks;
mod transactions;
mod trouble;
mod uncaught;
mod word_count;
