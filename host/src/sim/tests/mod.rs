//! Tests of the simulated world, by subject.

mod tasks;
