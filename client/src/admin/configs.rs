//! Settings of topics, brokers and groups.

use std::collections::BTreeMap;

use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use anabranch_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use anabranch_protocol::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::{Admin, outcome};
use crate::connection::Connection;
use crate::error::{ClientError, Result};

/// What has settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(i32),
    /// All brokers.
    AllBrokers,
    /// A group.
    Group(String),
    /// The levels at which one broker writes its own log.
    BrokerLogger(i32),
    /// What clients are asked to measure.
    ClientMetrics(String),
}

/// A change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It has this value from now on.
    Set(String, String),
    /// It goes back to its default.
    Unset(String),
    /// These become part of the list that it is.
    Append(String, String),
    /// These are taken out of the list that it is.
    Subtract(String, String),
}

/// Where a value comes from. From `Topic` to `Default` a value stands in front of those of the sources after it. A group's
/// and a subscription's settings are set in one place each; a broker that is newer may tell of sources unknown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the broker.
    Broker,
    /// Set for all brokers.
    AllBrokers,
    /// In the broker's own file.
    StaticBroker,
    /// Built in.
    Default,
    /// Set for the broker's log.
    BrokerLogger,
    /// Set for clients.
    ClientMetrics,
    /// Set for the group.
    Group,
    /// Not told, or of a kind that is not known here.
    Unknown,
}

/// One of the values that a setting has at different places; the first is the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Its key there.
    pub name: String,
    /// Its value there; none if it is a secret.
    pub value: Option<String>,
    /// Which place that is.
    pub source: ConfigSource,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its key.
    pub name: String,
    /// Its value; none if it is a secret.
    pub value: Option<String>,
    /// Whether it cannot be changed.
    pub is_read_only: bool,
    /// Whether it is a secret.
    pub is_sensitive: bool,
    /// Whether nobody has set it.
    pub is_default: bool,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// The values that it has at different places, the one in force first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it is for, if the broker tells.
    pub documentation: Option<String>,
}

impl ConfigSource {
    fn from_code(code: i8) -> Self {
        match code {
            1 => ConfigSource::Topic,
            2 => ConfigSource::Broker,
            3 => ConfigSource::AllBrokers,
            4 => ConfigSource::StaticBroker,
            5 => ConfigSource::Default,
            6 => ConfigSource::BrokerLogger,
            7 => ConfigSource::ClientMetrics,
            8 => ConfigSource::Group,
            _ => ConfigSource::Unknown,
        }
    }
}

impl ConfigChange {
    fn as_alterable(&self) -> AlterableConfig<'_> {
        let (config_operation, name, value) = match self {
            ConfigChange::Set(name, value) => (0, name, Some(value.as_str())),
            ConfigChange::Unset(name) => (1, name, None),
            ConfigChange::Append(name, value) => (2, name, Some(value.as_str())),
            ConfigChange::Subtract(name, value) => (3, name, Some(value.as_str())),
        };
        AlterableConfig { name, config_operation, value }
    }
}

impl ConfigResource {
    fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) | ConfigResource::AllBrokers => 4,
            ConfigResource::BrokerLogger(_) => 8,
            ConfigResource::ClientMetrics(_) => 16,
            ConfigResource::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name)
            | ConfigResource::Group(name)
            | ConfigResource::ClientMetrics(name) => name.clone(),
            ConfigResource::Broker(id) | ConfigResource::BrokerLogger(id) => id.to_string(),
            ConfigResource::AllBrokers => String::new(),
        }
    }

    /// What a broker lists; none if it is of a kind that is not known here.
    fn listed(kind: i8, name: &str) -> Option<Self> {
        match kind {
            2 => Some(ConfigResource::Topic(name.to_string())),
            4 if name.is_empty() => Some(ConfigResource::AllBrokers),
            4 => name.parse().ok().map(ConfigResource::Broker),
            8 => name.parse().ok().map(ConfigResource::BrokerLogger),
            16 => Some(ConfigResource::ClientMetrics(name.to_string())),
            32 => Some(ConfigResource::Group(name.to_string())),
            _ => None,
        }
    }
}

impl Admin {
    /// The settings of a resource, by key.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time; Invalid, if there is no such resource.
    pub async fn describe_configs(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        let name = resource.name();
        let request = DescribeConfigsRequest {
            resources: vec![DescribeConfigsResource {
                resource_type: resource.kind(),
                resource_name: &name,
                configuration_keys: None,
            }],
            include_synonyms: true,
            include_documentation: true,
        };
        self.until_done(|| async {
            let answer = self.config_connection(resource).await?.call(&request).await?;
            let response: DescribeConfigsResponse<'_> = answer.decode()?;
            let Some(result) = response.results.first() else {
                return Err(ClientError::corrupt("describing settings: no answer"));
            };
            let what = format!("describing settings of {resource:?}");
            outcome(&what, result.error_code, result.error_message, ())?;
            let mut entries: Vec<_> = result.configs.iter().map(entry).collect();
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(entries)
        })
        .await
    }

    /// Sets keys of a resource; a key without a value goes back to its default.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time; Invalid, if a key or value cannot be.
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[(&str, Option<&str>)],
    ) -> Result<()> {
        let change = |(key, value): &(&str, Option<&str>)| match value {
            Some(value) => ConfigChange::Set((*key).to_string(), (*value).to_string()),
            None => ConfigChange::Unset((*key).to_string()),
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        self.alter(resource, &changes, false).await
    }

    /// Changes settings of many resources; answers for each. With `check_only` nothing is changed.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time. A resource's own result is Invalid, if a key or value cannot be.
    pub async fn incremental_alter_configs(
        &self,
        changes: &BTreeMap<ConfigResource, Vec<ConfigChange>>,
        check_only: bool,
    ) -> Result<BTreeMap<ConfigResource, Result<()>>> {
        let mut results = BTreeMap::new();
        for (resource, changes) in changes {
            match self.alter(resource, changes, check_only).await {
                // No code: no broker answered.
                Err(error) if error.code().is_none() => return Err(error),
                result => drop(results.insert(resource.clone(), result)),
            }
        }
        Ok(results)
    }

    async fn alter(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<()> {
        let name = resource.name();
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: &name,
                configs: changes.iter().map(ConfigChange::as_alterable).collect(),
            }],
            validate_only,
        };
        self.until_done(|| async {
            let answer = self.config_connection(resource).await?.call(&request).await?;
            let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
            let Some(result) = response.responses.first() else {
                return Err(ClientError::corrupt("changing settings: no answer"));
            };
            let what = format!("changing settings of {resource:?}");
            outcome(&what, result.error_code, result.error_message, ())
        })
        .await
    }

    /// What has settings of its own.
    ///
    /// # Errors
    /// Retriable, if no broker answers in time.
    pub async fn list_config_resources(&self) -> Result<Vec<ConfigResource>> {
        self.until_done(|| async {
            let connection = self.client.any_connection().await?;
            let answer = connection.call(&ListConfigResourcesRequest::default()).await?;
            let response: ListConfigResourcesResponse<'_> = answer.decode()?;
            let listed = response.config_resources.iter();
            let resources =
                listed.filter_map(|one| ConfigResource::listed(one.resource_type, one.resource_name));
            let mut resources: Vec<_> = resources.collect();
            resources.sort();
            outcome("listing resources", response.error_code, None, resources)
        })
        .await
    }

    /// A broker's own settings are asked of that broker.
    async fn config_connection(&self, resource: &ConfigResource) -> Result<Connection> {
        match resource {
            ConfigResource::Broker(id) | ConfigResource::BrokerLogger(id) => {
                self.client.connection(*id).await
            }
            _ => self.client.controller_connection().await,
        }
    }
}

fn entry(config: &DescribeConfigsResourceResult<'_>) -> ConfigEntry {
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.map(str::to_string),
        is_read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        is_default: ConfigSource::from_code(config.config_source) == ConfigSource::Default,
        source: ConfigSource::from_code(config.config_source),
        synonyms: config
            .synonyms
            .iter()
            .map(|synonym| ConfigSynonym {
                name: synonym.name.to_string(),
                value: synonym.value.map(str::to_string),
                source: ConfigSource::from_code(synonym.source),
            })
            .collect(),
        documentation: config.documentation.map(str::to_string),
    }
}
