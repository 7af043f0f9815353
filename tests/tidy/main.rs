//! Tests of the code about the code.
