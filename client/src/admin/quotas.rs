//! How much clients may ask of a cluster.

use std::collections::BTreeMap;
use std::fmt;

use anabranch_protocol::messages::alter_client_quotas::{
    self as alter, AlterClientQuotasRequest, AlterClientQuotasResponse, OpData,
};
use anabranch_protocol::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use super::{Admin, outcome};
use crate::error::{ClientError, Result};

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// Whose quota: one that is named, or all that have none of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuotaName {
    /// The one of this name.
    Named(String),
    /// All that have no quota of their own.
    Default,
}

/// Who has a quota: a user, a client id, both together, or an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<QuotaName>,
    /// What the client calls itself.
    pub client_id: Option<QuotaName>,
    /// The address it comes from.
    pub ip: Option<QuotaName>,
}

/// Which part of entities is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// The one of this name.
    Named(String),
    /// The default.
    Default,
    /// Any, the default too.
    Any,
}

/// Which entities; what is none is not asked about, and the default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaFilter {
    /// Of which user.
    pub user: Option<QuotaMatch>,
    /// Of which client id.
    pub client_id: Option<QuotaMatch>,
    /// Of which address.
    pub ip: Option<QuotaMatch>,
    /// Only entities without other parts than those asked about.
    pub is_strict: bool,
}

impl QuotaName {
    fn from_wire(name: Option<&str>) -> Self {
        name.map_or(QuotaName::Default, |name| QuotaName::Named(name.to_string()))
    }

    fn as_wire(&self) -> Option<&str> {
        match self {
            QuotaName::Named(name) => Some(name),
            QuotaName::Default => None,
        }
    }
}

impl QuotaEntity {
    /// That of a user.
    #[must_use]
    pub fn user(name: impl Into<String>) -> Self {
        QuotaEntity { user: Some(QuotaName::Named(name.into())), ..Default::default() }
    }

    /// That of a client id.
    #[must_use]
    pub fn client_id(name: impl Into<String>) -> Self {
        QuotaEntity { client_id: Some(QuotaName::Named(name.into())), ..Default::default() }
    }

    /// The kinds of its parts and their names.
    fn parts(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        [(USER, &self.user), (CLIENT_ID, &self.client_id), (IP, &self.ip)]
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name.as_ref()?.as_wire())))
    }

    fn from_parts<'a>(parts: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self> {
        let mut entity = QuotaEntity::default();
        for (kind, name) in parts {
            let part = match kind {
                USER => &mut entity.user,
                CLIENT_ID => &mut entity.client_id,
                IP => &mut entity.ip,
                other => {
                    return Err(ClientError::corrupt(format!("a quota of '{other}', which is not known")));
                }
            };
            *part = Some(QuotaName::from_wire(name));
        }
        Ok(entity)
    }
}

impl fmt::Display for QuotaEntity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (kind, name)) in self.parts().enumerate() {
            let separator = if at > 0 { ", " } else { "" };
            match name {
                Some(name) => write!(f, "{separator}{kind} '{name}'")?,
                None => write!(f, "{separator}the default {kind}")?,
            }
        }
        Ok(())
    }
}

impl QuotaFilter {
    fn components(&self) -> Vec<ComponentData<'_>> {
        [(USER, &self.user), (CLIENT_ID, &self.client_id), (IP, &self.ip)]
            .into_iter()
            .filter_map(|(entity_type, wanted)| {
                let (match_type, name) = match wanted.as_ref()? {
                    QuotaMatch::Named(name) => (0, Some(name.as_str())),
                    QuotaMatch::Default => (1, None),
                    QuotaMatch::Any => (2, None),
                };
                Some(ComponentData { entity_type, match_type, r#match: name })
            })
            .collect()
    }
}

impl Admin {
    /// The quotas of the entities that a filter chooses, by Kafka's keys.
    ///
    /// ```
    /// use anabranch_client::{QuotaFilter, QuotaMatch};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (host, runtime) = anabranch_host::Host::real(1)?;
    /// # runtime.block_on(async {
    /// # let broker = anabranch_broker::embedded::EmbeddedBroker::start(host.clone(), Default::default()).await?;
    /// # let client = anabranch_client::Client::connect(&host, broker.dialer(), Default::default()).await?;
    /// let users = QuotaFilter { user: Some(QuotaMatch::Any), ..Default::default() };
    /// for (entity, quotas) in client.admin().describe_client_quotas(&users).await? {
    ///     println!("{entity}: {:?} bytes a second", quotas.get("producer_byte_rate"));
    /// }
    /// # broker.shutdown().await;
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Retriable, if no broker answers in time; Invalid, if there are no such entities: none has an address and a user.
    pub async fn describe_client_quotas(
        &self,
        filter: &QuotaFilter,
    ) -> Result<BTreeMap<QuotaEntity, BTreeMap<String, f64>>> {
        let request =
            DescribeClientQuotasRequest { components: filter.components(), strict: filter.is_strict };
        self.until_done(|| async {
            let answer = self.client.any_connection().await?.call(&request).await?;
            let response: DescribeClientQuotasResponse<'_> = answer.decode()?;
            outcome("describing quotas", response.error_code, response.error_message, ())?;
            let mut described = BTreeMap::new();
            for entry in response.entries.iter().flatten() {
                let parts = entry.entity.iter().map(|part| (part.entity_type, part.entity_name));
                let values = entry.values.iter().map(|value| (value.key.to_string(), value.value));
                described.insert(QuotaEntity::from_parts(parts)?, values.collect());
            }
            Ok(described)
        })
        .await
    }

    /// Sets quotas, or takes them away (none); answers for each entity. With `check_only` nothing is changed.
    ///
    /// # Errors
    /// Retriable, if no broker took the request in time. An entity's own result is Invalid, if it cannot have such a
    /// quota, or if the cluster enforces none.
    pub async fn alter_client_quotas(
        &self,
        changes: &BTreeMap<QuotaEntity, Vec<(String, Option<f64>)>>,
        check_only: bool,
    ) -> Result<BTreeMap<QuotaEntity, Result<()>>> {
        let entries = changes.iter().map(|(entity, changes)| entry(entity, changes)).collect();
        let request = AlterClientQuotasRequest { entries, validate_only: check_only };
        self.until_done(|| async {
            let answer = self.client.controller_connection().await?.call(&request).await?;
            let response: AlterClientQuotasResponse<'_> = answer.decode()?;
            let mut results = BTreeMap::new();
            for entry in &response.entries {
                let parts = entry.entity.iter().map(|part| (part.entity_type, part.entity_name));
                let entity = QuotaEntity::from_parts(parts)?;
                let what = format!("changing quotas of {entity}");
                results.insert(entity, outcome(&what, entry.error_code, entry.error_message, ()));
            }
            match changes.keys().find(|entity| !results.contains_key(entity)) {
                Some(entity) => Err(ClientError::corrupt(format!("changing quotas: no answer for {entity}"))),
                None => Ok(results),
            }
        })
        .await
    }
}

fn entry<'a>(entity: &'a QuotaEntity, changes: &'a [(String, Option<f64>)]) -> alter::EntryData<'a> {
    let part = |(entity_type, entity_name)| alter::EntityData { entity_type, entity_name };
    let op = |(key, value): &'a (String, Option<f64>)| OpData {
        key,
        value: value.unwrap_or_default(),
        remove: value.is_none(),
    };
    alter::EntryData { entity: entity.parts().map(part).collect(), ops: changes.iter().map(op).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_its_parts_and_back() {
        let check = |entity: QuotaEntity, parts: &[(&str, Option<&str>)], shown: &str| {
            assert_eq!(entity.parts().collect::<Vec<_>>(), parts);
            assert_eq!(entity.to_string(), shown);
            assert_eq!(QuotaEntity::from_parts(parts.iter().copied()).unwrap(), entity);
        };
        check(QuotaEntity::user("alice"), &[("user", Some("alice"))], "user 'alice'");
        let default = QuotaEntity { ip: Some(QuotaName::Default), ..Default::default() };
        check(default, &[("ip", None)], "the default ip");
        let both = QuotaEntity { user: Some(QuotaName::Default), ..QuotaEntity::client_id("importer") };
        let parts = [("user", None), ("client-id", Some("importer"))];
        check(both, &parts, "the default user, client-id 'importer'");
        assert!(QuotaEntity::from_parts([("shoe", None)].into_iter()).is_err());
    }

    #[test]
    fn a_filter_asks_about_what_it_names() {
        let check = |filter: QuotaFilter, expected: &[(&str, i8, Option<&str>)]| {
            let components = filter.components();
            let found: Vec<_> =
                components.iter().map(|one| (one.entity_type, one.match_type, one.r#match)).collect();
            assert_eq!(found, expected);
        };
        check(QuotaFilter::default(), &[]);
        let named = QuotaFilter {
            user: Some(QuotaMatch::Named("alice".to_string())),
            client_id: Some(QuotaMatch::Any),
            ..Default::default()
        };
        check(named, &[("user", 0, Some("alice")), ("client-id", 2, None)]);
        check(QuotaFilter { ip: Some(QuotaMatch::Default), ..Default::default() }, &[("ip", 1, None)]);
    }
}
