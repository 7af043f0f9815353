//! Names that say nothing, and marks of unfinished work.

use crate::sources;

#[test]
fn no_module_is_a_drawer() {
    for source in sources::rust() {
        for drawer in ["util", "utils", "common", "helpers", "misc", "internals", "types"] {
            let named = source.path.ends_with(&format!("/{drawer}.rs"))
                || source.path.contains(&format!("/{drawer}/"));
            assert!(!named, "{}: `{drawer}` names no idea", source.path);
        }
    }
}

#[test]
fn nothing_is_left_undone() {
    // Written apart so that this file does not find itself.
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("unimple", "mented!(")];
    for source in sources::rust() {
        for mark in marks {
            assert!(!source.text.contains(mark), "{}: {mark}", source.path);
        }
    }
}

#[test]
fn no_test_is_switched_off() {
    for source in sources::rust() {
        let off = source.text.lines().any(|line| line.trim_start().starts_with(concat!("#[ig", "nore")));
        assert!(!off, "{}: a test that never runs proves nothing", source.path);
    }
}

#[test]
fn unsafe_code_stands_where_it_is_argued_for() {
    /// Files that may say `unsafe`; each block in them carries a `SAFETY` comment.
    const ALLOWED: &[&str] = &["streams/src/processor/erased/mod.rs"];
    for source in sources::rust().iter().filter(|source| source.is_product()) {
        let unsafe_lines = source.product_text().lines().filter(|line| {
            let code = line.split("//").next().unwrap_or_default();
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        if unsafe_lines.count() > 0 {
            assert!(ALLOWED.contains(&source.path.as_str()), "{}: `unsafe` has one home", source.path);
            assert!(source.text.contains("SAFETY"), "{}: `unsafe` without an argument", source.path);
        }
    }
}
