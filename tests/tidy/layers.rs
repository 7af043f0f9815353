//! Which crate may use which, and the one exception.

use crate::sources;

/// Package, folder, and the packages of ours it may depend on.
const LAYERS: &[(&str, &str, &[&str])] = &[
    ("anabranch-protocol", "protocol", &[]),
    ("anabranch-host", "host", &[]),
    ("anabranch-client", "client", &["anabranch-protocol", "anabranch-host"]),
    ("anabranch-state-store", "state-store", &["anabranch-host"]),
    ("anabranch-broker", "broker", &["anabranch-protocol", "anabranch-host"]),
    // The broker behind the feature `embedded`, and there only in `embedded.rs`.
    (
        "anabranch",
        "streams",
        &["anabranch-client", "anabranch-state-store", "anabranch-host", "anabranch-broker"],
    ),
    (
        "anabranch-cli",
        "cli",
        &["anabranch-client", "anabranch-broker", "anabranch-protocol", "anabranch-host"],
    ),
];

#[test]
fn a_crate_uses_only_what_stands_below_it() {
    for (package, folder, allowed) in LAYERS {
        let manifest = sources::read(&format!("{folder}/Cargo.toml"));
        let dependencies = manifest
            .split("\n[")
            .filter(|section| section.starts_with("dependencies]"))
            .flat_map(str::lines)
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|name| name.starts_with("anabranch"));
        for dependency in dependencies {
            assert!(
                allowed.contains(&dependency),
                "{folder}/Cargo.toml: {package} must not use {dependency}"
            );
        }
    }
}

#[test]
fn only_embedded_names_the_broker_in_streams() {
    for source in sources::rust().iter().filter(|source| source.path.starts_with("streams/src/")) {
        assert!(
            source.path == "streams/src/embedded.rs" || !source.text.contains("anabranch_broker"),
            "{}: only streams/src/embedded.rs may name the broker",
            source.path
        );
    }
}

#[test]
fn the_broker_core_is_out_of_reach_of_tokio_runtime_calls() {
    // Sockets, timers and tasks come from `host`; `tokio::sync` and the io traits are free to use.
    const BANNED: &[&str] =
        &["tokio::net", "tokio::time", "tokio::fs", "tokio::task::spawn", "tokio::spawn", "tokio::runtime"];
    for source in sources::rust().iter().filter(|source| source.is_product() && source.package() != "host") {
        for banned in BANNED {
            assert!(!source.product_text().contains(banned), "{}: {banned} is `host`'s", source.path);
        }
    }
}

#[test]
fn a_select_is_biased() {
    for source in sources::rust().iter().filter(|source| source.is_product()) {
        for (start, _) in source.text.match_indices("select! {") {
            let body = source.text[start + "select! {".len()..].trim_start();
            assert!(
                body.starts_with("biased;"),
                "{}: an unbiased select! draws chance that no seed rules",
                source.path
            );
        }
    }
}
