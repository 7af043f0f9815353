//! The topics this broker serves, by name and by id: what the metadata describes, with logs.
//!
//! Handlers look topics up here on the hot path; the metadata keeps it in step ([`MetadataListener`]), change by change,
//! under its own lock. A topic that is deleted is out of the maps at once, and whoever still holds it finds its
//! partitions closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anabranch_host::{HashMap, Host};
use anabranch_protocol::Uuid;
use anabranch_protocol::messages::cluster_metadata::MetadataRecord;
use parking_lot::RwLock;

use crate::config::topic::ConfigLayers;
use crate::config::{BrokerConfig, TopicConfig};
use crate::log::{LogDirectory, RecoveredLog};
use crate::metadata::MetadataListener;
use crate::metadata::image::{MetadataImage, TOPIC_RESOURCE, TopicImage};
use crate::partition::Partition;
use crate::partition_name::PartitionName;
use crate::watermark::Gone;

/// A topic and its partitions.
pub(crate) struct Topic {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its id.
    pub(crate) id: Uuid,
    config: RwLock<Arc<TopicConfig>>,
    partitions: RwLock<Vec<Arc<Partition>>>,
}

impl Topic {
    /// The partition of that number.
    pub(crate) fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        self.partitions.read().get(usize::try_from(index).ok()?).cloned()
    }

    /// All partitions.
    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().clone()
    }

    /// Those that can neither be read nor written, since their logs are damaged or their disk has failed.
    fn offline_partitions(&self) -> BTreeSet<usize> {
        let partitions = self.partitions.read();
        let is_offline = |partition: &Partition| partition.check() == Err(Gone::Offline);
        let offline = partitions.iter().enumerate().filter(|(_, partition)| is_offline(partition));
        offline.map(|(index, _)| index).collect()
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        self.config.read().clone()
    }
}

/// All topics.
pub(crate) struct Topics {
    host: Host,
    config: Arc<BrokerConfig>,
    /// This broker's number, as the name of a resource.
    node_name: String,
    directory: LogDirectory,
    maps: RwLock<Maps>,
}

#[derive(Default)]
struct Maps {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Topics {
    /// No topics yet.
    pub(crate) fn new(host: &Host, config: Arc<BrokerConfig>, directory: &LogDirectory) -> Arc<Topics> {
        let node_name = config.node_id.to_string();
        let (host, directory) = (host.clone(), directory.clone());
        Arc::new(Topics { host, config, node_name, directory, maps: RwLock::default() })
    }

    /// The directory that holds the logs.
    pub(crate) fn directory(&self) -> &LogDirectory {
        &self.directory
    }

    /// The topic of that name.
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Topic>> {
        self.maps.read().by_name.get(name).cloned()
    }

    /// The topic of that id.
    pub(crate) fn by_id(&self, id: &Uuid) -> Option<Arc<Topic>> {
        self.maps.read().by_id.get(id).cloned()
    }

    /// The partitions of a topic that this broker cannot lead, and nobody else does: their logs are damaged, or their disk
    /// has failed.
    pub(crate) fn offline_partitions(&self, id: &Uuid) -> BTreeSet<usize> {
        self.by_id(id).map_or_else(BTreeSet::new, |topic| topic.offline_partitions())
    }

    /// All topics, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        let mut topics: Vec<_> = self.maps.read().by_name.values().cloned().collect();
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        topics
    }

    /// Takes the logs that were found at the start: each goes to the partition it belongs to. One that belongs to none is
    /// left of a topic whose deletion a crash interrupted, and is deleted now.
    pub(crate) fn adopt(&self, image: &MetadataImage, found: Vec<RecoveredLog>) {
        let mut found: BTreeMap<PartitionName, RecoveredLog> =
            found.into_iter().map(|log| (log.name.clone(), log)).collect();
        for topic in image.topics() {
            self.add(image, topic, &mut found);
        }
        for (name, stray) in found {
            tracing::warn!(partition = %name, "a log of no topic is deleted");
            let deleted = match stray.log {
                Ok(log) => self.directory.delete(&log).map(drop),
                Err(_) => self.directory.delete_offline(&name),
            };
            if let Err(error) = deleted {
                tracing::error!(partition = %name, %error, "it cannot be deleted");
            }
        }
    }

    fn add(
        &self,
        image: &MetadataImage,
        topic: &TopicImage,
        found: &mut BTreeMap<PartitionName, RecoveredLog>,
    ) {
        let config = Arc::new(TopicConfig::settle(&self.layers(image), image.topic_configs(&topic.name)));
        let partitions =
            (0..topic.partitions.len()).map(|index| self.open(topic, index, &config, found)).collect();
        let (name, id) = (topic.name.clone(), topic.id);
        let added = Arc::new(Topic {
            name: name.clone(),
            id,
            config: RwLock::new(config),
            partitions: RwLock::new(partitions),
        });
        let mut maps = self.maps.write();
        maps.by_name.insert(name, added.clone());
        maps.by_id.insert(id, added);
    }

    fn open(
        &self,
        topic: &TopicImage,
        index: usize,
        config: &Arc<TopicConfig>,
        found: &mut BTreeMap<PartitionName, RecoveredLog>,
    ) -> Arc<Partition> {
        let name = PartitionName::new(topic.name.clone(), index as i32);
        let leader_epoch = topic.partitions[index].leader_epoch;
        // A log of the same name and another id belonged to a topic that was deleted; it stays among the strays.
        let ours = found.get(&name).is_some_and(|log| log.topic_id.is_none_or(|id| id == topic.id));
        match if ours { found.remove(&name) } else { None } {
            Some(RecoveredLog { log: Ok(mut log), .. }) => {
                log.set_config(config.clone());
                Partition::new(&self.host, &self.directory, log, leader_epoch)
            }
            Some(RecoveredLog { log: Err(_), .. }) => {
                Partition::offline(&self.host, &self.directory, name, leader_epoch)
            }
            None => {
                if let Some(stray) = found.remove(&name)
                    && let Ok(log) = &stray.log
                    && let Err(error) = self.directory.delete(log)
                {
                    tracing::error!(partition = %name, %error, "the log of a deleted topic cannot be deleted");
                }
                let log = self.directory.create(name, topic.id, config.clone());
                Partition::new(&self.host, &self.directory, log, leader_epoch)
            }
        }
    }

    fn remove(&self, id: &Uuid) {
        let removed = {
            let mut maps = self.maps.write();
            let removed = maps.by_id.remove(id);
            if let Some(topic) = &removed {
                maps.by_name.remove(&topic.name);
            }
            removed
        };
        for partition in removed.iter().flat_map(|topic| topic.partitions()) {
            if let Err(error) = partition.delete() {
                tracing::error!(partition = %partition.name(), %error, "the files of a deleted partition stay behind");
            }
        }
    }

    /// Brings a topic's configuration and number of partitions up to date.
    fn update(&self, image: &MetadataImage, described: &TopicImage) {
        let Some(topic) = self.by_id(&described.id) else {
            return self.add(image, described, &mut BTreeMap::new());
        };
        let config = Arc::new(TopicConfig::settle(&self.layers(image), image.topic_configs(&topic.name)));
        if *topic.config.read() != config {
            *topic.config.write() = config.clone();
            topic.partitions().iter().for_each(|partition| partition.set_config(config.clone()));
        }
        let present = topic.partitions.read().len();
        if present < described.partitions.len() {
            let added = (present..described.partitions.len())
                .map(|index| self.open(described, index, &config, &mut BTreeMap::new()));
            let added: Vec<_> = added.collect();
            topic.partitions.write().extend(added);
        }
    }

    fn layers<'a>(&'a self, image: &'a MetadataImage) -> ConfigLayers<'a> {
        ConfigLayers {
            dynamic_broker: image.broker_configs(&self.node_name),
            dynamic_default_broker: image.broker_configs(""),
            broker: &self.config,
        }
    }
}

impl MetadataListener for Topics {
    fn changed(&self, image: &MetadataImage, records: &[MetadataRecord<'_>]) {
        let mut touched: Vec<&TopicImage> = Vec::new();
        for record in records {
            let topic = match record {
                MetadataRecord::Topic(record) => image.topic_by_id(&record.topic_id),
                MetadataRecord::Partition(record) => image.topic_by_id(&record.topic_id),
                MetadataRecord::RemoveTopic(record) => {
                    self.remove(&record.topic_id);
                    None
                }
                MetadataRecord::Config(record) if record.resource_type == TOPIC_RESOURCE => {
                    image.topic(record.resource_name)
                }
                MetadataRecord::Config(_) => {
                    // A default of all topics.
                    touched.extend(image.topics());
                    None
                }
                _ => None,
            };
            match topic {
                Some(topic) if touched.last().is_none_or(|last| last.id != topic.id) => touched.push(topic),
                _ => {}
            }
        }
        touched.into_iter().for_each(|topic| self.update(image, topic));
    }
}
