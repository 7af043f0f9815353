//! Which client a setting is for, by its name and its prefix; and what a wrong name was most likely meant to be.

use anabranch_client::{ClientConfig, ConsumerConfig, ProducerConfig};

use super::config_keys::{KNOWN, WITHOUT_EFFECT};

/// Which client a setting is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRole {
    /// The group member that reads the source topics.
    MainConsumer,
    /// Reads changelogs.
    RestoreConsumer,
    /// Reads the topics of global stores.
    GlobalConsumer,
    /// Writes outputs and changelogs.
    Producer,
    /// Connects, for all of them; creates internal topics, asks for offsets.
    Admin,
}

impl ClientRole {
    pub(super) const ALL: [ClientRole; 5] = [
        ClientRole::MainConsumer,
        ClientRole::RestoreConsumer,
        ClientRole::GlobalConsumer,
        ClientRole::Producer,
        ClientRole::Admin,
    ];

    /// The keys that it takes.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            ClientRole::MainConsumer | ClientRole::RestoreConsumer | ClientRole::GlobalConsumer => {
                ConsumerConfig::KEYS
            }
            ClientRole::Producer => ProducerConfig::KEYS,
            ClientRole::Admin => ClientConfig::KEYS,
        }
    }

    /// The prefixes of its settings, from wide to narrow.
    pub(super) fn prefixes(self) -> &'static [&'static str] {
        match self {
            ClientRole::MainConsumer => &["consumer.", "main.consumer."],
            ClientRole::RestoreConsumer => &["consumer.", "restore.consumer."],
            ClientRole::GlobalConsumer => &["consumer.", "global.consumer."],
            ClientRole::Producer => &["producer."],
            ClientRole::Admin => &["admin."],
        }
    }
}

/// The clients that a setting is for, by its name, with or without a prefix of theirs.
pub(super) fn takers(key: &str) -> impl Iterator<Item = ClientRole> {
    ClientRole::ALL.into_iter().filter(move |role| {
        let keys = role.keys();
        let behind = |prefix: &&str| key.strip_prefix(*prefix).is_some_and(|name| keys.contains(&name));
        keys.contains(&key) || role.prefixes().iter().any(behind)
    })
}

/// Why a setting changes nothing, if it is one of those.
pub(super) fn without_effect(key: &str) -> Option<&'static str> {
    let found = WITHOUT_EFFECT.iter().find(|(name, _)| *name == without_prefix(key));
    found.map(|(_, why)| *why)
}

/// The known key that a wrong one was most likely meant to be, with the prefix that it has.
pub(super) fn nearest(key: &str) -> Option<String> {
    let of_role = |role: &ClientRole| {
        let prefixes = role.prefixes().iter().filter(|prefix| key.starts_with(**prefix));
        let with =
            |prefix: &&str| role.keys().iter().map(|name| format!("{prefix}{name}")).collect::<Vec<_>>();
        let plain = role.keys().iter().map(ToString::to_string);
        prefixes.flat_map(with).chain(plain).collect::<Vec<_>>()
    };
    let of_clients = ClientRole::ALL.iter().flat_map(of_role);
    let known = KNOWN.iter().map(ToString::to_string).chain(of_clients);
    let far = |known: &String| edit_distance(known, key);
    known.filter(|known| far(known) <= key.len().div_ceil(3)).min_by_key(far)
}

/// What a setting is called by the client that it is for.
pub(super) fn without_prefix(key: &str) -> &str {
    let prefixes = ClientRole::ALL.iter().flat_map(|role| role.prefixes());
    prefixes.filter_map(|prefix| key.strip_prefix(prefix)).next().unwrap_or(key)
}

/// Levenshtein's distance: how many letters to change, add or drop.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}
