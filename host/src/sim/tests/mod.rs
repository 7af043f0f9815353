//! Tests of the simulated world, by subject.

mod network;
mod tasks;
