//! Module docs, file lengths, and no circles between modules.

use std::collections::{BTreeMap, BTreeSet};

use crate::sources::{self, Source};

/// A file longer than this holds a second idea.
const MAX_LINES: usize = 620;

#[test]
fn every_file_says_on_top_what_it_is() {
    for source in sources::rust() {
        assert!(
            source.text.starts_with("//!"),
            "{}: the first line must be a module doc (`//!`)",
            source.path
        );
    }
}

#[test]
fn no_file_is_too_long() {
    for source in sources::rust() {
        let lines = source.text.lines().count();
        assert!(
            lines <= MAX_LINES,
            "{}: {lines} lines, at most {MAX_LINES}: which second idea moved in?",
            source.path
        );
    }
}

#[test]
fn no_file_is_dead() {
    let sources = sources::rust();
    for source in sources.iter().filter(|source| source.is_product()) {
        let (folder, file) = source.path.rsplit_once('/').expect("a path below src");
        let stem = file.trim_end_matches(".rs");
        if ["lib", "main"].contains(&stem) || source.path.contains("/src/bin/") {
            continue;
        }
        let (folder, stem) =
            if stem == "mod" { folder.rsplit_once('/').expect("below src") } else { (folder, stem) };
        let declared = [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs")]
            .iter()
            .any(|door| {
                sources.iter().any(|other| {
                    &other.path == door
                        && other.text.lines().any(|line| line.trim_end().ends_with(&format!("mod {stem};")))
                })
            });
        assert!(declared, "{}: no `mod {stem};` leads to it", source.path);
    }
}

/// Pairs that stand, each with its reason; none is to be added.
const KNOWN: &[(&str, &str)] = &[
    ("host: `disk` and `real`", "a seam is an enum of its worlds"),
    ("host: `disk` and `sim`", "a seam is an enum of its worlds"),
    ("protocol: `message` and `sample`", "the declaration generates samplers for tests"),
    ("state-store: `engine` and `table`", "an engine speaks of key ranges, a table of its engine"),
    ("streams: `serdes` and `window`", "windowed keys have a serde of their own"),
];

/// The top-level modules of each crate import each other in one direction only.
#[test]
fn no_two_top_level_modules_import_each_other() {
    let sources = sources::rust();
    let mut imports: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_product()) {
        let Some(module) = top_module(source) else { continue };
        for line in source.product_text().lines() {
            let line = line.trim_start();
            if line.starts_with("//") {
                continue;
            }
            for (start, _) in line.match_indices("crate::") {
                let rest = &line[start + "crate::".len()..];
                for name in imported(rest) {
                    imports.entry((source.package().to_string(), module.clone())).or_default().insert(name);
                }
            }
        }
    }
    let mut circles = Vec::new();
    for ((package, module), names) in &imports {
        for name in names {
            let back = imports.get(&(package.clone(), name.clone()));
            if name > module && back.is_some_and(|names| names.contains(module)) {
                circles.push(format!("{package}: `{module}` and `{name}`"));
            }
            circles.retain(|circle| !KNOWN.iter().any(|(known, _)| known == circle));
        }
    }
    assert!(circles.is_empty(), "modules that import each other:\n{}", circles.join("\n"));
}

fn top_module(source: &Source) -> Option<String> {
    let inside = source.path.split_once("/src/")?.1;
    let first = inside.split('/').next()?.trim_end_matches(".rs");
    (!["lib", "main"].contains(&first)).then(|| first.to_string())
}

/// The first names after `crate::`: `a::b` gives `a`, `{a::b, c}` gives `a`, `c`.
fn imported(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
            .collect()
    };
    let names = match rest.strip_prefix('{') {
        None => vec![word(rest)],
        Some(list) => {
            let mut depth = 0;
            let mut names = vec![word(list)];
            for (at, character) in list.char_indices() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(word(&list[at + 1..])),
                    _ => {}
                }
            }
            names
        }
    };
    names.into_iter().filter(|name| !name.is_empty()).collect()
}
