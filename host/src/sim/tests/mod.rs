//! Tests of the simulated world, by subject.

mod disk;
mod network;
mod tasks;
