//! A bar that shows how far a command is, on a terminal; elsewhere nothing.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a command is, of records or lines.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// A bar of so many steps on standard error; none if that is no terminal, or the user wants nothing but data.
    pub(crate) fn new(total: u64, is_silent: bool) -> Progress {
        let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} {per_sec:.dim} {eta}");
        match style {
            Ok(style) if std::io::stderr().is_terminal() && !is_silent => {
                Progress(ProgressBar::new(total).with_style(style))
            }
            _ => Progress(ProgressBar::hidden()),
        }
    }

    pub(crate) fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// A line on standard output, which does not tear the bar.
    pub(crate) fn print(&self, line: &str) {
        self.0.suspend(|| println!("{line}"));
    }

    /// Takes the bar away.
    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}
