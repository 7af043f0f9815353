//! Tests of the code about the code: layers, banned names, file length, module docs, links.
//!
//! Each rule stands in `ARCHITECTURE.md` or `CONTRIBUTING.md` with its reason; this program only keeps it.

mod documents;
mod layers;
mod modules;
mod names;
mod sources;
