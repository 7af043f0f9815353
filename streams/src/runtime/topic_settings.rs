//! Whether internal topics that are there keep what the application needs of them.
//!
//! Kafka Streams looks at their numbers of partitions only (4.3; `InternalTopicManager.validate` knows more and is called by
//! nobody). A changelog that deletes by age forgets state, and nobody notices until a task moves: that is refused here. One
//! that keeps it for a shorter time than the topology asks for now is told of. What its user has asked for by `topic.` or
//! for a store is what is needed.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_client::{Client, ConfigResource};

use super::plan::Plan;
use super::topics::InternalTopicSettings;
use crate::error::{Error, Result};

/// What is wrong with a topic.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// It loses what it is there for.
    Loses(String),
    /// It keeps it for too short a time.
    Short(String),
}

/// Looks at the internal topics of a plan but those that were made just now.
///
/// # Errors
/// If one has a `cleanup.policy` that loses what it is there for.
pub(crate) async fn check(
    client: &Client,
    plan: &Plan,
    settings: &InternalTopicSettings,
    made: &BTreeSet<String>,
) -> Result<()> {
    for (_, topic) in plan.internal.iter().filter(|(_, topic)| !made.contains(&topic.name)) {
        let described = client.admin().describe_configs(&ConfigResource::Topic(topic.name.clone())).await;
        let found: BTreeMap<String, String> = match described {
            Ok(entries) => entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect(),
            // Not everybody may ask.
            Err(error) => {
                tracing::debug!(topic = %topic.name, %error, "its settings are not known");
                continue;
            }
        };
        for fault in faults(&settings.of(topic), &found) {
            match fault {
                Fault::Loses(what) => {
                    return Err(Error::invalid(format_args!(
                        "the internal topic `{}` has {what}: mend it (`anabranch configs`), or ask for it by `topic.` \
                         settings",
                        topic.name
                    )));
                }
                Fault::Short(what) => tracing::warn!(topic = %topic.name, "an internal topic has {what}"),
            }
        }
    }
    Ok(())
}

fn faults(wanted: &BTreeMap<&str, &str>, found: &BTreeMap<String, String>) -> Vec<Fault> {
    let found = |key: &str| found.get(key).map(String::as_str);
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let mut faults = Vec::new();
    if let (Some(wanted), Some(found)) = (wanted.get("cleanup.policy"), found("cleanup.policy")) {
        let has = |policies: &str, policy: &str| policies.split(',').any(|one| one.trim() == policy);
        for policy in ["delete", "compact"] {
            if has(found, policy) && !has(wanted, policy) {
                faults.push(Fault::Loses(format!("cleanup.policy={found}, and must have {wanted}")));
            }
        }
    }
    for key in ["retention.ms", "min.compaction.lag.ms"] {
        let (Some(wanted), Some(found)) = (number(wanted.get(key).copied()), number(found(key))) else {
            continue;
        };
        // -1 is for ever.
        if key == "retention.ms" && found == -1 {
            continue;
        }
        if found < wanted || wanted == -1 {
            faults.push(Fault::Short(format!("{key}={found}, where the topology asks for {wanted}")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_must_keep_what_they_are_there_for() {
        let check = |wanted: &[(&str, &str)], found: &[(&str, &str)], expected: &[&str]| {
            let wanted = wanted.iter().copied().collect();
            let found = found.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
            let shown: Vec<String> = faults(&wanted, &found)
                .into_iter()
                .map(|fault| match fault {
                    Fault::Loses(what) => format!("! {what}"),
                    Fault::Short(what) => what,
                })
                .collect();
            assert_eq!(shown, expected);
        };
        let compact = [("cleanup.policy", "compact")];
        check(&compact, &compact, &[]);
        check(&compact, &[], &[]);
        check(
            &compact,
            &[("cleanup.policy", "delete"), ("retention.ms", "1")],
            &["! cleanup.policy=delete, and must have compact"],
        );
        check(
            &compact,
            &[("cleanup.policy", "compact,delete")],
            &["! cleanup.policy=compact,delete, and must have compact"],
        );
        let windows = [("cleanup.policy", "compact,delete"), ("retention.ms", "100")];
        check(&windows, &windows, &[]);
        check(&windows, &[("cleanup.policy", "compact"), ("retention.ms", "-1")], &[]);
        check(&windows, &[("retention.ms", "99")], &["retention.ms=99, where the topology asks for 100"]);
        let repartition = [("cleanup.policy", "delete"), ("retention.ms", "-1")];
        check(&repartition, &repartition, &[]);
        check(
            &repartition,
            &[("cleanup.policy", "compact"), ("retention.ms", "5")],
            &[
                "! cleanup.policy=compact, and must have delete",
                "retention.ms=5, where the topology asks for -1",
            ],
        );
        check(
            &[("min.compaction.lag.ms", "9")],
            &[("min.compaction.lag.ms", "0")],
            &["min.compaction.lag.ms=0, where the topology asks for 9"],
        );
    }
}
