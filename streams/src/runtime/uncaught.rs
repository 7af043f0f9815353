//! What happens when a worker fails with an error that no policy has answered.

use std::sync::Arc;

use crate::error::Error;

/// What to do about an error that ends a worker (`StreamsUncaughtExceptionHandler`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UncaughtErrorAnswer {
    /// Another worker takes its place, and its tasks go on from their last commit. What fails again and again is tried
    /// again and again.
    ReplaceThread,
    /// This instance ends; others take over its tasks.
    #[default]
    ShutdownClient,
    /// All instances of the application end.
    ShutdownApplication,
}

pub use UncaughtErrorAnswer::{ReplaceThread, ShutdownApplication, ShutdownClient};

/// Looks at the error and says what to do.
pub(crate) type UncaughtErrorHandler = Arc<dyn Fn(&Error) -> UncaughtErrorAnswer + Send + Sync>;
