//! What the metadata log comes to: topics, partitions, configurations, producer ids. A pure fold, record by record.
//!
//! Nobody changes an image but by a record that stands in the log (`live == replay`). A record of a kind that is not
//! known here stops the start: guessing what it meant could lose a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_host::HashMap;
use anabranch_protocol::Uuid;
use anabranch_protocol::messages::cluster_metadata::{
    ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionChangeRecord, PartitionRecord,
    ProducerIdsRecord, RemoveTopicRecord, TopicRecord,
};

/// What a configuration record is about, as Kafka numbers it.
pub(crate) const TOPIC_RESOURCE: i8 = 2;
/// A broker; its name is its number, or empty for all brokers.
pub(crate) const BROKER_RESOURCE: i8 = 4;
/// What a broker's process says of itself; never in a record.
pub(crate) const BROKER_LOGGER_RESOURCE: i8 = 8;
/// A subscription to client metrics.
pub(crate) const CLIENT_METRICS_RESOURCE: i8 = 16;
/// A group.
pub(crate) const GROUP_RESOURCE: i8 = 32;

/// All whose configuration is in records.
const CONFIGURED: &[i8] = &[TOPIC_RESOURCE, BROKER_RESOURCE, CLIENT_METRICS_RESOURCE, GROUP_RESOURCE];
/// The feature that says how records are to be read.
const METADATA_VERSION_FEATURE: &str = "metadata.version";

/// Keys and values that were set.
pub(crate) type Configs = BTreeMap<String, String>;

/// A topic as the log describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicImage {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its id; a topic created again under the same name has another.
    pub(crate) id: Uuid,
    /// Its partitions, by number.
    pub(crate) partitions: Vec<PartitionImage>,
}

/// A partition as the log describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionImage {
    /// Who holds it, the preferred leader first.
    pub(crate) replicas: Vec<i32>,
    /// Who of them is in sync.
    pub(crate) isr: Vec<i32>,
    /// Who leads; -1: nobody.
    pub(crate) leader: i32,
    /// Raised with each election.
    pub(crate) leader_epoch: i32,
    /// Raised with each change.
    pub(crate) partition_epoch: i32,
    /// The directory of each replica.
    directories: Vec<Uuid>,
}

impl PartitionImage {
    fn record(&self, topic_id: Uuid, partition_id: i32) -> MetadataRecord<'static> {
        MetadataRecord::Partition(PartitionRecord {
            partition_id,
            topic_id,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            ..Default::default()
        })
    }
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MetadataImage {
    topics: BTreeMap<Arc<str>, TopicImage>,
    names: HashMap<Uuid, Arc<str>>,
    /// Names with a `.` or `_`, by what they have in common with those that differ in these only.
    similar_names: BTreeMap<String, BTreeSet<Arc<str>>>,
    topic_configs: BTreeMap<String, Configs>,
    broker_configs: BTreeMap<String, Configs>,
    client_metrics_configs: BTreeMap<String, Configs>,
    group_configs: BTreeMap<String, Configs>,
    features: BTreeMap<String, i16>,
    next_producer_id: i64,
}

/// A record that cannot follow those before it: the log is not one that this broker wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ImpossibleRecord(String);

impl MetadataImage {
    /// The topic of that name.
    pub(crate) fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.topics.get(name)
    }

    /// The topic of that id.
    pub(crate) fn topic_by_id(&self, id: &Uuid) -> Option<&TopicImage> {
        self.names.get(id).and_then(|name| self.topics.get(name))
    }

    /// The first topic whose name differs from `name` by nothing but `.` and `_`.
    pub(crate) fn similar_topic(&self, name: &str) -> Option<&Arc<str>> {
        self.similar_names.get(&folded(name)?)?.first()
    }

    /// All topics, by name.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.topics.values()
    }

    /// The topics from `name` on.
    pub(crate) fn topics_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a TopicImage> + use<'a> {
        use std::ops::Bound;
        self.topics.range::<str, _>((Bound::Included(name), Bound::Unbounded)).map(|(_, topic)| topic)
    }

    /// What was set on a topic.
    pub(crate) fn topic_configs(&self, name: &str) -> &Configs {
        self.configs(TOPIC_RESOURCE, name)
    }

    /// What was set on a broker (its number as text) or on all (an empty text).
    pub(crate) fn broker_configs(&self, name: &str) -> &Configs {
        self.configs(BROKER_RESOURCE, name)
    }

    /// What was set on a resource of this kind.
    pub(crate) fn configs(&self, resource_type: i8, name: &str) -> &Configs {
        static NONE: Configs = Configs::new();
        self.configured(resource_type).and_then(|resources| resources.get(name)).unwrap_or(&NONE)
    }

    /// The resources of this kind on which anything was set; none if nothing can be.
    pub(crate) fn configured(&self, resource_type: i8) -> Option<&BTreeMap<String, Configs>> {
        match resource_type {
            TOPIC_RESOURCE => Some(&self.topic_configs),
            BROKER_RESOURCE => Some(&self.broker_configs),
            CLIENT_METRICS_RESOURCE => Some(&self.client_metrics_configs),
            GROUP_RESOURCE => Some(&self.group_configs),
            _ => None,
        }
    }

    /// The level of a feature that is in force.
    pub(crate) fn feature_level(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    /// The first producer id that was never given to a broker.
    pub(crate) fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    /// Records that come to this image, in an order in which Kafka reads them, too: the version of the metadata first.
    pub(crate) fn records(&self) -> impl Iterator<Item = MetadataRecord<'_>> {
        let is_version = |name: &str| name == METADATA_VERSION_FEATURE;
        let mut features: Vec<_> = self.features.iter().collect();
        features.sort_by_key(|(name, _)| !is_version(name));
        let features = features.into_iter().map(|(name, level)| {
            MetadataRecord::FeatureLevel(FeatureLevelRecord { name, feature_level: *level })
        });
        let topics = self.topics.values().flat_map(|topic| {
            let made = MetadataRecord::Topic(TopicRecord { name: &topic.name, topic_id: topic.id });
            let partitions = (0..).zip(&topic.partitions);
            let partitions = partitions.map(|(index, partition)| partition.record(topic.id, index));
            std::iter::once(made).chain(partitions)
        });
        let configs = CONFIGURED.iter().flat_map(|resource_type| {
            let resources = self.configured(*resource_type).into_iter().flatten();
            resources.flat_map(|(resource_name, configs)| {
                configs.iter().map(|(name, value)| {
                    MetadataRecord::Config(ConfigRecord {
                        resource_type: *resource_type,
                        resource_name,
                        name,
                        value: Some(value),
                    })
                })
            })
        });
        let ids = (self.next_producer_id > 0).then_some(ProducerIdsRecord {
            broker_id: -1,
            broker_epoch: -1,
            next_producer_id: self.next_producer_id,
        });
        features.chain(topics).chain(configs).chain(ids.map(MetadataRecord::ProducerIds))
    }

    /// Adds one record.
    ///
    /// # Errors
    /// If it cannot follow those before it. The image is unchanged then.
    pub(crate) fn replay(&mut self, record: &MetadataRecord<'_>) -> Result<(), ImpossibleRecord> {
        match record {
            MetadataRecord::Topic(record) => self.add_topic(record),
            MetadataRecord::Partition(record) => self.add_partition(record),
            MetadataRecord::PartitionChange(record) => self.change_partition(record),
            MetadataRecord::RemoveTopic(record) => self.remove_topic(record),
            MetadataRecord::Config(record) => self.set_config(record),
            MetadataRecord::FeatureLevel(record) => {
                if record.feature_level == 0 {
                    self.features.remove(record.name);
                } else {
                    self.features.insert(record.name.to_string(), record.feature_level);
                }
                Ok(())
            }
            MetadataRecord::ProducerIds(record) => {
                self.next_producer_id = self.next_producer_id.max(record.next_producer_id);
                Ok(())
            }
        }
    }

    fn add_topic(&mut self, record: &TopicRecord<'_>) -> Result<(), ImpossibleRecord> {
        if self.topics.contains_key(record.name) || self.names.contains_key(&record.topic_id) {
            return Err(ImpossibleRecord(format!("topic {} is created twice", record.name)));
        }
        let name: Arc<str> = record.name.into();
        self.names.insert(record.topic_id, name.clone());
        if let Some(folded) = folded(&name) {
            self.similar_names.entry(folded).or_default().insert(name.clone());
        }
        self.topics.insert(name.clone(), TopicImage { name, id: record.topic_id, partitions: Vec::new() });
        Ok(())
    }

    fn topic_mut(&mut self, id: &Uuid) -> Result<&mut TopicImage, ImpossibleRecord> {
        let unknown = || ImpossibleRecord(format!("topic {id} is unknown"));
        let name = self.names.get(id).ok_or_else(unknown)?;
        self.topics.get_mut(name).ok_or_else(unknown)
    }

    fn add_partition(&mut self, record: &PartitionRecord) -> Result<(), ImpossibleRecord> {
        let topic = self.topic_mut(&record.topic_id)?;
        if usize::try_from(record.partition_id) != Ok(topic.partitions.len()) {
            let problem = format!("partition {} of {} is out of order", record.partition_id, topic.name);
            return Err(ImpossibleRecord(problem));
        }
        topic.partitions.push(PartitionImage {
            replicas: record.replicas.clone(),
            isr: record.isr.clone(),
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            directories: record.directories.clone(),
        });
        Ok(())
    }

    fn change_partition(&mut self, record: &PartitionChangeRecord) -> Result<(), ImpossibleRecord> {
        const NO_LEADER_CHANGE: i32 = -2;
        let topic = self.topic_mut(&record.topic_id)?;
        let index = usize::try_from(record.partition_id).unwrap_or(usize::MAX);
        let Some(partition) = topic.partitions.get_mut(index) else {
            return Err(ImpossibleRecord(format!("{} has no partition {}", topic.name, record.partition_id)));
        };
        if let Some(isr) = &record.isr {
            partition.isr.clone_from(isr);
        }
        if let Some(replicas) = &record.replicas {
            partition.replicas.clone_from(replicas);
        }
        if let Some(directories) = &record.directories {
            partition.directories.clone_from(directories);
        }
        if record.leader != NO_LEADER_CHANGE {
            partition.leader = record.leader;
            partition.leader_epoch += 1;
        }
        partition.partition_epoch += 1;
        Ok(())
    }

    fn remove_topic(&mut self, record: &RemoveTopicRecord) -> Result<(), ImpossibleRecord> {
        let Some(name) = self.names.remove(&record.topic_id) else {
            return Err(ImpossibleRecord(format!("topic {} is unknown", record.topic_id)));
        };
        self.topics.remove(&name);
        if let Some(folded) = folded(&name)
            && let Some(names) = self.similar_names.get_mut(&folded)
        {
            names.remove(&name);
            if names.is_empty() {
                self.similar_names.remove(&folded);
            }
        }
        // Kafka, too, lets the configuration go with the topic, without records of its own.
        self.topic_configs.remove(&*name);
        Ok(())
    }

    fn set_config(&mut self, record: &ConfigRecord<'_>) -> Result<(), ImpossibleRecord> {
        let resources = match record.resource_type {
            TOPIC_RESOURCE => &mut self.topic_configs,
            BROKER_RESOURCE => &mut self.broker_configs,
            CLIENT_METRICS_RESOURCE => &mut self.client_metrics_configs,
            GROUP_RESOURCE => &mut self.group_configs,
            other => {
                return Err(ImpossibleRecord(format!(
                    "a configuration of the unknown resource type {other}"
                )));
            }
        };
        match record.value {
            Some(value) => {
                let configs = resources.entry(record.resource_name.to_string()).or_default();
                configs.insert(record.name.to_string(), value.to_string());
            }
            None => {
                if let Some(configs) = resources.get_mut(record.resource_name) {
                    configs.remove(record.name);
                    if configs.is_empty() {
                        resources.remove(record.resource_name);
                    }
                }
            }
        }
        Ok(())
    }
}

/// What a name is like that differs from another by `.` and `_` only; none if it has neither.
fn folded(name: &str) -> Option<String> {
    name.contains(['.', '_']).then(|| name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid([7; 16]);

    fn topic(name: &'static str, topic_id: Uuid) -> MetadataRecord<'static> {
        MetadataRecord::Topic(TopicRecord { name, topic_id })
    }

    fn partition(partition_id: i32) -> MetadataRecord<'static> {
        let record = PartitionRecord {
            partition_id,
            topic_id: ID,
            replicas: vec![1],
            isr: vec![1],
            leader: 1,
            leader_epoch: 0,
            partition_epoch: 0,
            ..Default::default()
        };
        MetadataRecord::Partition(record)
    }

    fn config(resource_name: &'static str, value: Option<&'static str>) -> MetadataRecord<'static> {
        let resource_type = TOPIC_RESOURCE;
        MetadataRecord::Config(ConfigRecord { resource_type, resource_name, name: "retention.ms", value })
    }

    fn fold(records: &[MetadataRecord<'_>]) -> Result<MetadataImage, ImpossibleRecord> {
        let mut image = MetadataImage::default();
        records.iter().try_for_each(|record| image.replay(record))?;
        Ok(image)
    }

    #[test]
    fn a_topic_comes_changes_and_goes_with_its_configuration() {
        let mut image = fold(&[topic("t", ID), partition(0), partition(1), config("t", Some("5"))]).unwrap();
        assert_eq!(image.topic("t"), image.topic_by_id(&ID));
        assert_eq!(image.topic("t").unwrap().partitions.len(), 2);
        assert_eq!(image.topic_configs("t")["retention.ms"], "5");
        let change =
            PartitionChangeRecord { partition_id: 1, topic_id: ID, leader: -1, ..Default::default() };
        image.replay(&MetadataRecord::PartitionChange(change)).unwrap();
        let changed = &image.topic("t").unwrap().partitions[1];
        assert_eq!((changed.leader, changed.leader_epoch, changed.partition_epoch), (-1, 1, 1));
        assert_eq!(changed.isr, [1], "what a change does not name stays");
        image.replay(&MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: ID })).unwrap();
        assert_eq!(image, MetadataImage::default());
        image.replay(&topic("t", Uuid([8; 16]))).unwrap();
        assert!(image.topic_configs("t").is_empty(), "a topic created again begins with no configuration");
    }

    #[test]
    fn names_that_differ_by_dots_and_underscores_only_are_found() {
        let id = |number| Uuid([number; 16]);
        let mut image = fold(&[topic("a.b", id(1)), topic("a_b", id(2)), topic("ab", id(3))]).unwrap();
        let check = |image: &MetadataImage, name: &str, expect: Option<&str>| {
            assert_eq!(image.similar_topic(name).map(|name| &**name), expect, "{name}");
        };
        check(&image, "a_b", Some("a.b"));
        check(&image, "ab", None);
        check(&image, "b.a", None);
        image.replay(&MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id(1) })).unwrap();
        check(&image, "a.b", Some("a_b"));
        image.replay(&MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: id(2) })).unwrap();
        check(&image, "a.b", None);
        assert!(image.similar_names.is_empty());
    }

    #[test]
    fn an_unset_key_is_gone_and_producer_ids_only_rise() {
        let ids = |next_producer_id| {
            MetadataRecord::ProducerIds(ProducerIdsRecord { broker_id: 1, broker_epoch: 0, next_producer_id })
        };
        let image = fold(&[config("t", Some("5")), config("t", None), ids(2000), ids(1000)]).unwrap();
        assert!(image.topic_configs.is_empty());
        assert_eq!(image.next_producer_id(), 2000);
    }

    #[test]
    fn impossible_records_are_refused() {
        for (records, problem) in [
            (vec![topic("t", ID), topic("t", Uuid([8; 16]))], "topic t is created twice"),
            (vec![partition(0)], "topic BwcHBwcHBwcHBwcHBwcHBw is unknown"),
            (vec![topic("t", ID), partition(1)], "partition 1 of t is out of order"),
            (
                vec![MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: ID })],
                "topic BwcHBwcHBwcHBwcHBwcHBw is unknown",
            ),
        ] {
            assert_eq!(fold(&records).unwrap_err().to_string(), problem);
        }
    }
}
