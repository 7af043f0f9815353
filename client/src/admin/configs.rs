//! Settings of topics, brokers and groups.

use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
};
use anabranch_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
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
}

/// Where brokers say that a value is the built-in one.
const DEFAULT_SOURCE: i8 = 5;

impl ConfigResource {
    fn kind(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) | ConfigResource::AllBrokers => 4,
            ConfigResource::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            ConfigResource::Topic(name) | ConfigResource::Group(name) => name.clone(),
            ConfigResource::Broker(id) => id.to_string(),
            ConfigResource::AllBrokers => String::new(),
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
            ..Default::default()
        };
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
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
            };
            match retry.attempt(attempt).await {
                Ok(entries) => return Ok(entries),
                Err(error) => retry.after(error).await?,
            }
        }
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
        let name = resource.name();
        let configs = changes.iter().map(|(key, value)| AlterableConfig {
            name: key,
            config_operation: if value.is_some() { 0 } else { 1 },
            value: *value,
        });
        let request = IncrementalAlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: resource.kind(),
                resource_name: &name,
                configs: configs.collect(),
            }],
            validate_only: false,
        };
        let mut retry = self.client.retry();
        loop {
            let attempt = async {
                let answer = self.config_connection(resource).await?.call(&request).await?;
                let response: IncrementalAlterConfigsResponse<'_> = answer.decode()?;
                let Some(result) = response.responses.first() else {
                    return Err(ClientError::corrupt("changing settings: no answer"));
                };
                let what = format!("changing settings of {resource:?}");
                outcome(&what, result.error_code, result.error_message, ())
            };
            match retry.attempt(attempt).await {
                Ok(()) => return Ok(()),
                Err(error) => self.before_next(&mut retry, error).await?,
            }
        }
    }

    /// A broker's own settings are asked of that broker.
    async fn config_connection(&self, resource: &ConfigResource) -> Result<Connection> {
        match resource {
            ConfigResource::Broker(id) => self.client.connection(*id).await,
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
        is_default: config.config_source == DEFAULT_SOURCE,
    }
}
