//! Topics that the application makes for itself: repartition topics and changelogs.

use super::{StoreDefinition, StoreShape, Topology};

/// A repartition topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RepartitionTopic {
    /// Its partition count if the user has settled it; else that of what is written into it.
    pub(crate) partitions: Option<i32>,
}

/// A topic that must exist before a sub-topology runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InternalTopic {
    /// Its name on the broker.
    pub(crate) name: String,
    /// Its partition count, if settled.
    pub(crate) partitions: Option<i32>,
    /// Its configs, in Kafka's keys.
    pub(crate) configs: Vec<(String, String)>,
}

/// How much longer than the store a changelog of windows keeps them, if `windowstore.changelog.additional.retention.ms` does
/// not say otherwise.
const ADDITIONAL_RETENTION_MS: i64 = 24 * 60 * 60 * 1_000;

/// What the changelog of a store is called, which serdes are told even if it has none.
pub(crate) fn changelog_name(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

impl StoreDefinition {
    /// The changelog's name on the broker; `None` if it has none of its own.
    pub(crate) fn changelog(&self, application_id: &str) -> Option<String> {
        (self.logging && self.source_topic.is_none() && !self.global)
            .then(|| changelog_name(application_id, &self.name))
    }

    /// The topic on the broker that brings it back: its changelog, or the topic that it is a table of.
    pub(crate) fn restored_from(&self, topology: &Topology, application_id: &str) -> Option<String> {
        match &self.source_topic {
            Some(topic) if !self.global => Some(topology.topic_name(topic, application_id)),
            _ => self.changelog(application_id),
        }
    }

    fn changelog_topic(&self, application_id: &str, additional_ms: i64) -> Option<InternalTopic> {
        let name = self.changelog(application_id)?;
        let mut configs = match self.shape {
            StoreShape::JoinWindow { retention_ms } => {
                let kept_ms = retention_ms.saturating_add(additional_ms);
                vec![config("cleanup.policy", "delete"), config("retention.ms", &kept_ms.to_string())]
            }
            StoreShape::Unjoined
            | StoreShape::Grace
            | StoreShape::Suppress
            | StoreShape::Custom
            | StoreShape::KeyValue { .. } => {
                vec![config("cleanup.policy", "compact")]
            }
            StoreShape::Versioned { history_ms } => {
                // Versions are told apart by the records' times only: none may be compacted away while it can be read.
                let kept_ms = history_ms.saturating_add(additional_ms);
                vec![
                    config("cleanup.policy", "compact"),
                    config("min.compaction.lag.ms", &kept_ms.to_string()),
                ]
            }
            StoreShape::Window { retention_ms } | StoreShape::Session { retention_ms } => {
                let kept_ms = retention_ms.saturating_add(additional_ms);
                vec![config("cleanup.policy", "compact,delete"), config("retention.ms", &kept_ms.to_string())]
            }
        };
        configs.push(config("message.timestamp.type", "CreateTime"));
        for (key, value) in &self.topic_configs {
            configs.retain(|(known, _)| known != key);
            configs.push((key.clone(), value.clone()));
        }
        Some(InternalTopic { name, partitions: None, configs })
    }
}

impl Topology {
    /// Whether a topic's name is prefixed by the application's id on the broker.
    pub(crate) fn is_internal(&self, topic: &str) -> bool {
        self.repartition_topics.contains_key(topic)
    }

    /// The name of a topic on the broker.
    pub(crate) fn topic_name(&self, topic: &str, application_id: &str) -> String {
        if self.is_internal(topic) { format!("{application_id}-{topic}") } else { topic.to_owned() }
    }

    /// The repartition topics among `topics`, ready to be created.
    pub(crate) fn repartition_topics<'a>(
        &'a self,
        application_id: &str,
        topics: impl IntoIterator<Item = &'a String>,
    ) -> Vec<InternalTopic> {
        let known = |name: &'a String| self.repartition_topics.get(name).map(|topic| (name, topic));
        topics
            .into_iter()
            .filter_map(known)
            .map(|(name, topic)| InternalTopic {
                name: self.topic_name(name, application_id),
                partitions: topic.partitions,
                configs: vec![
                    config("cleanup.policy", "delete"),
                    config("segment.bytes", "52428800"),
                    config("retention.ms", "-1"),
                    config("message.timestamp.type", "CreateTime"),
                ],
            })
            .collect()
    }

    /// The changelogs of the stores of these names, ready to be created.
    pub(crate) fn changelog_topics<'a>(
        &'a self,
        application_id: &str,
        stores: impl IntoIterator<Item = &'a String>,
    ) -> Vec<InternalTopic> {
        let additional_ms = self.additional_retention_ms.unwrap_or(ADDITIONAL_RETENTION_MS);
        let topics =
            stores.into_iter().map(|name| self.store(name)?.changelog_topic(application_id, additional_ms));
        topics.flatten().collect()
    }
}

fn config(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    #[test]
    fn changelogs_of_windows_outlive_their_stores() {
        let builder = StreamsBuilder::new();
        let windows = Tumbling::of(seconds(60)).grace(seconds(240));
        builder.stream("lines").group_by_key().windowed_by(windows).count_with("counts");
        let mut topology = builder.build().expect("sound");
        let mut kept_ms = |additional_ms: Option<i64>| -> i64 {
            topology.additional_retention_ms = additional_ms;
            let topics = topology.changelog_topics("app", &["counts".to_string()]);
            let retention = topics[0].configs.iter().find(|(key, _)| key == "retention.ms");
            retention.and_then(|(_, value)| value.parse().ok()).expect("it is said")
        };
        let store_ms = kept_ms(Some(0));
        assert!(store_ms >= 5 * 60_000, "{store_ms}");
        assert_eq!(kept_ms(None), store_ms + 24 * 60 * 60_000);
        assert_eq!(kept_ms(Some(1)), store_ms + 1);
    }
}
