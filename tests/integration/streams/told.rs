//! What the library logs, for tests of what it tells: one collector for the whole test binary.

use std::io;
use std::sync::{Mutex, Once};

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Collector;

impl io::Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Collects from now on.
pub(crate) fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let collected = tracing_subscriber::fmt().with_env_filter("anabranch=info").with_ansi(false);
        collected.without_time().with_writer(|| Collector).init();
    });
}

/// The lines that have all of these words.
pub(crate) fn lines(words: &[&str]) -> Vec<String> {
    let text = String::from_utf8_lossy(&LINES.lock().expect("not poisoned")).into_owned();
    let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
    text.lines().filter(has_all).map(str::to_string).collect()
}
