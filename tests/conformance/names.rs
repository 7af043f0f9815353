//! Compares values by the names of their fields: bytes alone cannot tell two neighbours of one type apart.
//!
//! All three crates derive `Debug` and name fields as Kafka does, so the debug text holds what is to be compared.

use std::collections::BTreeMap;

/// The numbers and truth values in a debug text, by field name, each list sorted.
pub(crate) fn scalars(debug: &str) -> BTreeMap<&str, Vec<i128>> {
    let mut found: BTreeMap<&str, Vec<i128>> = BTreeMap::new();
    for (position, _) in debug.match_indices(": ") {
        let name =
            debug[..position].rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
        if let Some(value) = scalar(&debug[position + 2..]) {
            found.entry(name).or_default().push(value);
        }
    }
    for values in found.values_mut() {
        values.sort_unstable();
    }
    found
}

/// The number at the beginning of `text`, inside wrappers such as `BrokerId(3)` and `NONE (0)` if need be.
fn scalar(mut text: &str) -> Option<i128> {
    loop {
        let end =
            text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').unwrap_or(text.len());
        match &text[..end] {
            "true" => return Some(1),
            "false" => return Some(0),
            word => match word.parse() {
                Ok(number) => return Some(number),
                Err(_) if !word.is_empty() => text = text[end..].trim_start().strip_prefix('(')?,
                Err(_) => return None,
            },
        }
    }
}

/// Panics unless both say the same of every field that ours has. One of a version that they do not know yet says nothing
/// in those that they know.
pub(crate) fn assert_same_fields(ours: &str, theirs: &str, what: &str) {
    let theirs_by_name = scalars(theirs);
    for (name, values) in scalars(ours) {
        let name = name.strip_prefix("r#").unwrap_or(name);
        if !theirs_by_name.contains_key(name) && values.iter().all(|value| *value == 0) {
            continue;
        }
        assert_eq!(Some(&values), theirs_by_name.get(name), "{what}: {name}\nours {ours}\ntheirs {theirs}");
    }
}

#[test]
fn scalars_are_found_by_name() {
    let text = r#"Thing { error_code: NONE (0), id: BrokerId(-3), text: "a: b", on: true, parts: [Part { id: 7, x: Some(1) }] }"#;
    let expected =
        BTreeMap::from([("error_code", vec![0]), ("id", vec![-3, 7]), ("on", vec![1]), ("x", vec![1])]);
    assert_eq!(scalars(text), expected);
}
