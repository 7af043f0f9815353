//! Runs a topology: an instance of the application, its workers, its part of the group.
//!
//! Reading order: [`config`] with `config_keys` and `config_clients`, [`state`], [`uncaught`], [`application`] and `running`
//! (what a user holds); `partition_counts`, `plan`, `topics`, `topic_settings` and `beginnings` (before anything runs);
//! `shared`, `instance` and `starting` (how it is put together), `member` (the group's member, who routes batches to workers),
//! `assignment` (who gets which task); `workers`, `busy`, `backlog`, `worker`, `running_task`, `offsets`, `batch_outbox`,
//! `acknowledgements`, `refusals`, `transaction`, `task_timeout` (the loop that processes and commits), `purge` (what is
//! deleted then);
//! `restore` and [`restore_listener`] (state that comes back or is followed), `local_state`, `staleness`, `state_directory`,
//! `engines`, `global` (stores that every instance has whole); `families`, `metrics`, `node_metrics`,
//! `iterator_metrics`, `maxima`, `drain`, [`position`], [`query`], [`task_status`], `changelog` and [`topic_io`] (what can be
//! asked of a running application).

mod acknowledgements;
pub mod application;
mod assignment;
mod backlog;
mod batch_outbox;
mod beginnings;
mod busy;
mod changelog;
pub mod config;
mod config_clients;
mod config_keys;
mod drain;
mod engines;
mod families;
mod global;
mod instance;
mod iterator_metrics;
mod local_state;
mod maxima;
mod member;
mod metrics;
mod node_metrics;
mod offsets;
mod partition_counts;
mod plan;
pub mod position;
mod purge;
pub mod query;
mod refusals;
mod restore;
pub mod restore_listener;
mod running;
mod running_task;
mod shared;
mod staleness;
mod starting;
pub mod state;
mod state_directory;
pub mod task_status;
mod task_timeout;
pub mod topic_io;
mod topic_settings;
mod topics;
mod transaction;
pub mod uncaught;
mod worker;
mod workers;
