//! Colour, where somebody looks: on a terminal, unless `NO_COLOR` is set. What is piped on is plain.

use std::io::IsTerminal;

const BOLD: &str = "\u{1b}[1m";
const BOLD_RED: &str = "\u{1b}[1;31m";
const RESET: &str = "\u{1b}[0m";

/// The header of a table on standard output.
pub(crate) fn heading(text: &str) -> String {
    styled(text, BOLD, std::io::stdout().is_terminal())
}

/// What opens the line of an error on standard error.
pub(crate) fn failure(text: &str) -> String {
    styled(text, BOLD_RED, std::io::stderr().is_terminal())
}

fn styled(text: &str, style: &str, is_terminal: bool) -> String {
    let is_plain = !is_terminal || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_plain { text.to_string() } else { format!("{style}{text}{RESET}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_terminal_gets_plain_text() {
        assert_eq!(styled("GROUP", BOLD, false), "GROUP");
    }
}
