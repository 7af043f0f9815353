//! The repository's own files, as text.

use std::path::{Path, PathBuf};

/// A Rust source file.
pub(crate) struct Source {
    /// Path below the repository's root, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// The top-level folder it lies in.
    pub(crate) fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Whether it is part of a library or binary (not a test, bench or example).
    pub(crate) fn is_product(&self) -> bool {
        self.path.contains("/src/") && !self.path.ends_with("/tests.rs") && !self.path.starts_with("tests/")
    }

    /// The text up to `mod tests {`, where a file keeps its own tests at its end.
    pub(crate) fn product_text(&self) -> &str {
        match self.text.find("\n#[cfg(test)]\nmod tests {") {
            Some(end) => &self.text[..end],
            None => &self.text,
        }
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root").to_path_buf()
}

/// A file below the root.
#[allow(clippy::disallowed_methods, reason = "reads the repository, not a world")]
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files with this ending, sorted, without build output and hidden folders.
pub(crate) fn files(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), "", ending, &mut found);
    found.sort();
    found
}

/// All Rust sources.
pub(crate) fn rust() -> Vec<Source> {
    files(".rs").into_iter().map(|path| Source { text: read(&path), path }).collect()
}

#[allow(clippy::disallowed_methods, reason = "reads the repository, not a world")]
fn collect(directory: &Path, prefix: &str, ending: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).expect("a folder of the repository") {
        let entry = entry.expect("a name in a folder of the repository");
        let name = entry.file_name().into_string().expect("file names are text");
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if entry.file_type().expect("a file type").is_dir() {
            if !name.starts_with('.') && !["target", "node_modules"].contains(&name.as_str()) {
                collect(&entry.path(), &path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}
