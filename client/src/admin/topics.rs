//! Topics: create, delete, list, describe.

use std::collections::BTreeMap;
use std::sync::Arc;

use anabranch_protocol::Uuid;
use anabranch_protocol::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use anabranch_protocol::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
    CreateTopicsRequest, CreateTopicsResponse,
};
use anabranch_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

use super::{Admin, outcome, settle};
use crate::cluster::describe_topic;
use crate::error::{ClientError, Result};
use crate::metadata::TopicMetadata;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; -1 for the broker's default.
    pub partitions: i32,
    /// How many replicas of each; -1 for the broker's default.
    pub replication_factor: i16,
    /// Which brokers hold which partition, if that is to be said; then the two above are not used.
    pub assignments: Vec<(i32, Vec<i32>)>,
    /// Settings by Kafka's keys.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic of so many partitions, with the broker's default of replicas.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        NewTopic {
            name: name.into(),
            partitions,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    /// With so many replicas.
    #[must_use]
    pub fn replication_factor(mut self, replication_factor: i16) -> Self {
        self.replication_factor = replication_factor;
        self
    }

    /// With a setting.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.configs.push((key.into(), value.into()));
        self
    }
}

/// A topic that was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero if the broker does not tell.
    pub id: Uuid,
    /// Its partitions; -1 if the broker does not tell.
    pub partitions: i32,
    /// Its replicas; -1 if the broker does not tell.
    pub replication_factor: i16,
}

impl Admin {
    /// Creates topics; answers for each.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time. A topic's own result is Invalid, if it cannot be created.
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<BTreeMap<String, Result<CreatedTopic>>> {
        self.create(topics, false).await
    }

    /// As [`Admin::create_topics`], but the broker checks only.
    ///
    /// # Errors
    /// As [`Admin::create_topics`].
    pub async fn check_topics(&self, topics: &[NewTopic]) -> Result<BTreeMap<String, Result<CreatedTopic>>> {
        self.create(topics, true).await
    }

    async fn create(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<CreatedTopic>>> {
        let mut results = BTreeMap::new();
        let mut missing: Vec<&NewTopic> = topics.iter().collect();
        let mut retry = self.client.retry();
        while !missing.is_empty() {
            let request = CreateTopicsRequest {
                topics: missing.iter().map(|topic| creatable(topic)).collect(),
                timeout_ms: self.broker_timeout_ms(),
                validate_only,
            };
            let answers = async {
                let connection = self.client.controller_connection().await?;
                let answer = connection.call(&request).await?;
                let response: CreateTopicsResponse<'_> = answer.decode()?;
                Ok::<Vec<_>, ClientError>(response.topics.iter().map(created).collect())
            };
            let reason = settle(retry.attempt(answers).await, &mut results);
            missing.retain(|topic| !results.contains_key(&topic.name));
            if let Some(error) = reason {
                self.before_next(&mut retry, error).await?;
            } else if !missing.is_empty() {
                return Err(ClientError::corrupt(format!(
                    "creating topics: the broker did not answer for {}",
                    missing[0].name
                )));
            }
        }
        Ok(results)
    }

    /// Deletes topics by name; answers for each.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<BTreeMap<String, Result<()>>> {
        let mut results = BTreeMap::new();
        let mut missing: Vec<&str> = names.to_vec();
        let mut retry = self.client.retry();
        while !missing.is_empty() {
            let request = DeleteTopicsRequest {
                topics: missing.iter().map(|name| by_name(name)).collect(),
                topic_names: missing.clone(),
                timeout_ms: self.broker_timeout_ms(),
            };
            let answers = async {
                let connection = self.client.controller_connection().await?;
                let answer = connection.call(&request).await?;
                let response: DeleteTopicsResponse<'_> = answer.decode()?;
                let mut answers = Vec::new();
                for topic in &response.responses {
                    let Some(name) = topic.name else { continue };
                    let what = format!("deleting topic {name}");
                    answers
                        .push((name.to_string(), outcome(&what, topic.error_code, topic.error_message, ())));
                }
                Ok::<_, ClientError>(answers)
            };
            let reason = settle(retry.attempt(answers).await, &mut results);
            missing.retain(|name| !results.contains_key(*name));
            if let Some(error) = reason {
                self.before_next(&mut retry, error).await?;
            } else if !missing.is_empty() {
                return Err(ClientError::corrupt(format!(
                    "deleting topics: the broker did not answer for {}",
                    missing[0]
                )));
            }
        }
        Ok(results)
    }

    /// Gives a topic so many partitions in all.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time; Invalid, if the topic is not there or has as many.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<()> {
        self.add_partitions(topic, count, None).await
    }

    /// The same, with the brokers that are to hold each partition that comes to those it has.
    ///
    /// # Errors
    /// As [`Admin::create_partitions`]; Invalid too, if these are not as many as come, or name a broker that is not there.
    pub async fn create_partitions_on(
        &self,
        topic: &str,
        count: i32,
        brokers_of_new: &[Vec<i32>],
    ) -> Result<()> {
        let assignment = |brokers: &Vec<i32>| CreatePartitionsAssignment { broker_ids: brokers.clone() };
        self.add_partitions(topic, count, Some(brokers_of_new.iter().map(assignment).collect())).await
    }

    async fn add_partitions(
        &self,
        topic: &str,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>>,
    ) -> Result<()> {
        let request = CreatePartitionsRequest {
            topics: vec![CreatePartitionsTopic { name: topic, count, assignments }],
            timeout_ms: self.broker_timeout_ms(),
            validate_only: false,
        };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: CreatePartitionsResponse<'_> = answer.decode()?;
            let what = format!("adding partitions to topic {topic}");
            match response.results.iter().find(|result| result.name == topic) {
                Some(result) => outcome(&what, result.error_code, result.error_message, ()),
                None => Err(ClientError::corrupt(format!("{what}: no answer"))),
            }
        })
        .await
    }

    /// All topics of the cluster, by name.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time.
    pub async fn list_topics(&self) -> Result<Vec<TopicMetadata>> {
        let mut retry = self.client.retry();
        loop {
            match retry.attempt(self.client.refresh_all()).await {
                Ok(metadata) => return Ok(metadata.topics().cloned().collect()),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Topics by name, freshly asked for; each is described or has its own error.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time.
    pub async fn describe_topics(&self, names: &[&str]) -> Result<BTreeMap<String, Result<TopicMetadata>>> {
        let wanted: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
        let mut retry = self.client.retry();
        loop {
            let now = self.client.host().now();
            match retry.attempt(self.client.refresh_topics(&wanted, now, false)).await {
                Ok(metadata) => {
                    let describe = |name: &&str| (name.to_string(), describe_topic(&metadata, name).cloned());
                    return Ok(names.iter().map(describe).collect());
                }
                Err(error) => retry.after(error).await?,
            }
        }
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic<'_> {
    // Brokers refuse to be told both the assignment and the numbers that follow from it.
    let assigned = !topic.assignments.is_empty();
    let assignment = |(partition, brokers): &(i32, Vec<i32>)| CreatableReplicaAssignment {
        partition_index: *partition,
        broker_ids: brokers.clone(),
    };
    CreatableTopic {
        name: &topic.name,
        num_partitions: if assigned { -1 } else { topic.partitions },
        replication_factor: if assigned { -1 } else { topic.replication_factor },
        assignments: topic.assignments.iter().map(assignment).collect(),
        configs: topic
            .configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig { name, value: Some(value) })
            .collect(),
    }
}

fn created(topic: &CreatableTopicResult<'_>) -> (String, Result<CreatedTopic>) {
    let what = format!("creating topic {}", topic.name);
    let created = CreatedTopic {
        id: topic.topic_id,
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
    };
    (topic.name.to_string(), outcome(&what, topic.error_code, topic.error_message, created))
}

fn by_name(name: &str) -> DeleteTopicState<'_> {
    DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO }
}
