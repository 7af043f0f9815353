//! What a benchmark is told on its command line: `--name VALUE` and `--flag`. cargo adds some of its own, which nobody asks for.

/// The words behind the program's name.
#[derive(Debug)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// Those of this program.
    #[must_use]
    pub fn of_this_program() -> Self {
        Arguments(std::env::args().skip(1).collect())
    }

    /// The word behind this one.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).cloned()
    }

    /// The number behind this word, or another.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn number(&self, name: &str, otherwise: u64) -> u64 {
        let parse =
            |text: String| text.parse().unwrap_or_else(|_| panic!("{name} takes a number, not {text}"));
        self.value(name).map_or(otherwise, parse)
    }

    /// Whether this word is there.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|argument| argument == flag)
    }
}
