//! Quotas of users, clients and addresses, and passwords of users, which Kafka's tool counts among their settings.

use std::collections::BTreeMap;

use anabranch_client::{
    Admin, ErrorCode, QuotaEntity, QuotaFilter, QuotaMatch, QuotaName, ScramChange, ScramCredential,
    ScramMechanism,
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::entity::{Entity, EntityName, EntityType};

/// What a user's or a client's quota may be of.
const CLIENT_QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
/// What an address's may be of.
const IP_QUOTAS: [&str; 1] = ["connection_creation_rate"];
/// How often a password is hashed, if nothing is said.
const DEFAULT_ITERATIONS: i32 = 4096;

/// What is to be set (some) and taken back (none), by key.
type Changes<'a> = [(&'a str, Option<&'a str>)];

/// The quotas of what is named, and the passwords, if it is users.
pub(super) async fn describe(admin: &Admin, entities: &[Entity<'_>], as_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for (entity, quotas) in admin.describe_client_quotas(&filter(entities)).await? {
        let quotas: Vec<(String, String)> =
            quotas.into_iter().map(|(key, value)| (key, format!("{value:?}"))).collect();
        rows.push(("Quota", entity, quotas));
    }
    for (user, credentials) in passwords(admin, entities).await? {
        rows.push(("SCRAM credential", QuotaEntity::user(user), credentials));
    }
    if as_json {
        let rows = rows.iter().map(|(_, entity, configs)| {
            let configs = configs.iter().map(|(name, value)| json!({ "name": name, "value": value }));
            json!({ "entity": entity_json(entity), "configs": configs.collect::<Vec<_>>() })
        });
        println!("{}", Value::Array(rows.collect()));
        return Ok(());
    }
    for (what, entity, configs) in rows {
        let configs: Vec<String> = configs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        println!("{what} configs for {} are {}", shown(&entity), configs.join(", "));
    }
    Ok(())
}

fn filter(entities: &[Entity<'_>]) -> QuotaFilter {
    let mut filter = QuotaFilter { is_strict: true, ..QuotaFilter::default() };
    for entity in entities {
        let wanted = match entity.name {
            EntityName::Any => QuotaMatch::Any,
            EntityName::Default => QuotaMatch::Default,
            EntityName::Named(name) => QuotaMatch::Named(name.to_string()),
        };
        match entity.kind {
            EntityType::Users => filter.user = Some(wanted),
            EntityType::Clients => filter.client_id = Some(wanted),
            _ => filter.ip = Some(wanted),
        }
    }
    filter
}

async fn passwords(
    admin: &Admin,
    entities: &[Entity<'_>],
) -> Result<BTreeMap<String, Vec<(String, String)>>> {
    let described = match entities {
        [Entity { kind: EntityType::Users, name: EntityName::Any }] => {
            admin.describe_scram_credentials(None).await?
        }
        [Entity { kind: EntityType::Users, name: EntityName::Named(user) }] => {
            admin.describe_scram_credentials(Some(&[user])).await?
        }
        _ => return Ok(BTreeMap::new()),
    };
    let mut passwords = BTreeMap::new();
    for (user, credentials) in described {
        let credentials = match credentials {
            // Who has none is not told of.
            Err(error) if error.code() == Some(ErrorCode::RESOURCE_NOT_FOUND) => continue,
            credentials => credentials?,
        };
        let pair =
            |one: &ScramCredential| (one.mechanism.to_string(), format!("iterations={}", one.iterations));
        passwords.insert(user, credentials.iter().map(pair).collect());
    }
    Ok(passwords)
}

/// The parts of an entity, by the words of the flags and those of Kafka's lines.
fn parts(entity: &QuotaEntity) -> impl Iterator<Item = (EntityType, &'static str, &QuotaName)> {
    [
        (EntityType::Users, "user-principal", &entity.user),
        (EntityType::Clients, "client-id", &entity.client_id),
        (EntityType::Ips, "ip", &entity.ip),
    ]
    .into_iter()
    .filter_map(|(kind, word, name)| Some((kind, word, name.as_ref()?)))
}

fn shown(entity: &QuotaEntity) -> String {
    let part = |(_, word, name): (EntityType, &str, &QuotaName)| match name {
        QuotaName::Named(name) => format!("{word} '{name}'"),
        QuotaName::Default => format!("the default {word}"),
    };
    parts(entity).map(part).collect::<Vec<_>>().join(", ")
}

fn entity_json(entity: &QuotaEntity) -> Value {
    let part = |(kind, _, name): (EntityType, &str, &QuotaName)| {
        let name = match name {
            QuotaName::Named(name) => Some(name),
            QuotaName::Default => None,
        };
        json!({ "type": kind.word(), "name": name })
    };
    Value::Array(parts(entity).map(part).collect())
}

/// Sets and takes back quotas, or passwords.
pub(super) async fn alter(admin: &Admin, entities: &[Entity<'_>], changes: &Changes<'_>) -> Result<()> {
    let Some(head) = entities.first() else { return Ok(()) };
    check_keys(head.kind, changes)?;
    let scram: Vec<_> = changes.iter().filter(|(key, _)| mechanism(key).is_some()).collect();
    if scram.is_empty() {
        return alter_quotas(admin, entities, changes).await;
    }
    if scram.len() < changes.len() {
        bail!("Cannot alter both quota and SCRAM credential configs simultaneously for 'users'.");
    }
    let user = match entities {
        [Entity { name: EntityName::Named(user), .. }] => *user,
        [Entity { name: EntityName::Default, .. }] => bail!(
            "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials."
        ),
        [_] => bail!("--entity-name is missing"),
        _ => bail!("a password is a user's, not a client's"),
    };
    let mut all = Vec::new();
    for (key, value) in scram {
        let Some(mechanism) = mechanism(key) else { continue };
        all.push(match value {
            Some(value) => password(user, mechanism, value)?,
            None => ScramChange::Delete { user: user.to_string(), mechanism },
        });
    }
    for result in admin.alter_scram_credentials(&all).await?.into_values() {
        result?;
    }
    Ok(())
}

/// Refuses keys that such an entity cannot have.
fn check_keys(kind: EntityType, changes: &Changes<'_>) -> Result<()> {
    let known: &[&str] = if kind == EntityType::Ips { &IP_QUOTAS } else { &CLIENT_QUOTAS };
    let is_known =
        |key: &str| known.contains(&key) || (kind == EntityType::Users && mechanism(key).is_some());
    let unexpected: Vec<&str> = changes.iter().map(|(key, _)| *key).filter(|key| !is_known(key)).collect();
    if unexpected.is_empty() {
        return Ok(());
    }
    let what = if kind == EntityType::Users { "quota and SCRAM credential" } else { "quota" };
    bail!(
        "Only {what} configs can be added for '{}'. Unexpected config names: {}",
        kind.word(),
        unexpected.join(", ")
    )
}

fn mechanism(key: &str) -> Option<ScramMechanism> {
    ScramMechanism::ALL.into_iter().find(|mechanism| mechanism.to_string() == key)
}

/// `iterations=8192,password=secret`, or the password alone.
fn password(user: &str, mechanism: ScramMechanism, text: &str) -> Result<ScramChange> {
    let problem =
        || format!("Invalid credential property {mechanism}: it is not of the form iterations=N,password=..");
    let (iterations, rest) = match text.strip_prefix("iterations=") {
        Some(rest) => {
            let (number, rest) = rest.split_once(',').with_context(problem)?;
            (number.trim().parse().with_context(problem)?, rest.trim())
        }
        None => (DEFAULT_ITERATIONS, text),
    };
    let password = rest.strip_prefix("password=").with_context(problem)?;
    // Kafka's tool takes this for the default.
    let iterations = if iterations == -1 { DEFAULT_ITERATIONS } else { iterations };
    Ok(ScramChange::Set {
        user: user.to_string(),
        credential: ScramCredential { mechanism, iterations },
        password: password.to_string(),
        salt: None,
    })
}

async fn alter_quotas(admin: &Admin, entities: &[Entity<'_>], changes: &Changes<'_>) -> Result<()> {
    let mut entity = QuotaEntity::default();
    for part in entities {
        let name = match part.name {
            EntityName::Any => bail!("--entity-name is missing"),
            EntityName::Default => QuotaName::Default,
            EntityName::Named(name) => QuotaName::Named(name.to_string()),
        };
        match part.kind {
            EntityType::Users => entity.user = Some(name),
            EntityType::Clients => entity.client_id = Some(name),
            _ => entity.ip = Some(name),
        }
    }
    let mut quotas = Vec::new();
    for (key, value) in changes {
        let number = value.map(str::parse::<f64>).transpose();
        let number = number.with_context(|| {
            format!("Cannot parse quota configuration value for {key}: {}", value.unwrap_or_default())
        })?;
        quotas.push(((*key).to_string(), number));
    }
    let known = admin.describe_client_quotas(&filter(entities)).await?.remove(&entity).unwrap_or_default();
    let strangers: Vec<&str> = quotas
        .iter()
        .filter(|(key, value)| value.is_none() && !known.contains_key(key))
        .map(|(key, _)| key.as_str())
        .collect();
    if !strangers.is_empty() {
        bail!("Invalid config(s): {}", strangers.join(","));
    }
    for result in admin.alter_client_quotas(&[(entity, quotas)].into(), false).await?.into_values() {
        result?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_say_how_often_it_is_hashed() {
        let check = |text: &str, expected: Option<(i32, &str)>| {
            let found = match password("alice", ScramMechanism::Sha256, text) {
                Ok(ScramChange::Set { credential, password, .. }) => Some((credential.iterations, password)),
                _ => None,
            };
            let expected = expected.map(|(iterations, password)| (iterations, password.to_string()));
            assert_eq!(found, expected, "{text}");
        };
        check("password=a=b,c", Some((4096, "a=b,c")));
        check("iterations=8192,password=secret", Some((8192, "secret")));
        check("iterations=-1,password=secret", Some((4096, "secret")));
        check("iterations=8192", None);
        check("iterations=x,password=secret", None);
        check("secret", None);
    }

    #[test]
    fn keys_belong_to_kinds() {
        let check = |kind: EntityType, keys: &[&str], expected: Option<&str>| {
            let changes: Vec<_> = keys.iter().map(|key| (*key, Some("1"))).collect();
            let found = check_keys(kind, &changes).err().map(|error| error.to_string());
            assert_eq!(found.as_deref(), expected);
        };
        check(EntityType::Users, &["producer_byte_rate", "SCRAM-SHA-512"], None);
        check(EntityType::Ips, &["connection_creation_rate"], None);
        check(
            EntityType::Clients,
            &["nonsense", "SCRAM-SHA-256", "producer_byte_rate"],
            Some(
                "Only quota configs can be added for 'clients'. Unexpected config names: nonsense, SCRAM-SHA-256",
            ),
        );
    }

    #[test]
    fn entities_are_told_in_kafkas_words() {
        let both = QuotaEntity { user: Some(QuotaName::Default), ..QuotaEntity::client_id("c") };
        assert_eq!(shown(&both), "the default user-principal, client-id 'c'");
        let json = r#"[{"type":"users","name":null},{"type":"clients","name":"c"}]"#;
        assert_eq!(entity_json(&both), serde_json::from_str::<Value>(json).unwrap());
    }
}
