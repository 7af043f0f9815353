//! State stores: tables with epochs over an embedded engine.
