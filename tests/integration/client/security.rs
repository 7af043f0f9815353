//! Entries of an authorizer, quotas and passwords. Our broker has none of them and says so, as Apache Kafka does of the
//! first if no authorizer is configured; of the others Kafka keeps what it is given.

use std::collections::BTreeMap;

use anabranch_client::{
    AclBinding, AclFilter, AclOperation, AclPattern, AclPermission, AclResource, ErrorKind, QuotaEntity,
    QuotaFilter, QuotaMatch, QuotaName, ScramChange, ScramCredential, ScramMechanism,
};
use anabranch_protocol::ErrorCode;

use super::{on_each_cluster, on_embedded, on_kafka};

#[test]
fn where_no_authorizer_is_nobody_is_told_that_acls_hold() {
    on_each_cluster(async |cluster| {
        let admin = cluster.client().await.admin();
        let disabled = Some(ErrorCode::SECURITY_DISABLED);
        let error = admin.describe_acls(&AclFilter::default()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, disabled), "{error}");
        let binding = AclBinding {
            resource: AclResource::Topic,
            name: "clicks".to_string(),
            pattern: AclPattern::Literal,
            principal: "User:alice".to_string(),
            host: "*".to_string(),
            operation: AclOperation::Read,
            permission: AclPermission::Allow,
        };
        let created = admin.create_acls(std::slice::from_ref(&binding)).await.unwrap();
        assert_eq!(created[&binding].as_ref().unwrap_err().code(), disabled);
        let filters = [AclFilter::default(), AclFilter { name: Some("x".to_string()), ..Default::default() }];
        let deleted = admin.delete_acls(&filters).await.unwrap();
        let codes: Vec<_> = deleted.iter().map(|result| result.as_ref().unwrap_err().code()).collect();
        assert_eq!(codes, [disabled, disabled]);
        assert!(admin.create_acls(&[]).await.unwrap().is_empty());
    });
}

/// A filter for the quotas of just this client id.
fn of_client(name: &str) -> QuotaFilter {
    let client_id = Some(QuotaMatch::Named(name.to_string()));
    QuotaFilter { client_id, is_strict: true, ..Default::default() }
}

#[test]
fn questions_for_quotas_are_answered_alike() {
    on_each_cluster(async |cluster| {
        let admin = cluster.client().await.admin();
        let nobody = of_client(&cluster.name("nobody"));
        assert_eq!(admin.describe_client_quotas(&nobody).await.unwrap(), BTreeMap::new());
        let impossible =
            QuotaFilter { user: Some(QuotaMatch::Any), ip: Some(QuotaMatch::Default), ..Default::default() };
        let error = admin.describe_client_quotas(&impossible).await.unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::INVALID_REQUEST), "{error}");
        // What is not there is taken away at once.
        let entity = QuotaEntity::client_id(cluster.name("nobody"));
        let changes = [(entity.clone(), vec![("producer_byte_rate".to_string(), None)])].into();
        admin.alter_client_quotas(&changes, false).await.unwrap()[&entity].as_ref().unwrap();
        let nothing = QuotaEntity::default();
        let changes = [(nothing.clone(), Vec::new())].into();
        let refused = admin.alter_client_quotas(&changes, false).await.unwrap();
        assert_eq!(refused[&nothing].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn quotas_that_nobody_would_keep_are_refused() {
    on_embedded(async |cluster| {
        let admin = cluster.client().await.admin();
        let entity = QuotaEntity::user("alice");
        let changes = [(entity.clone(), vec![("producer_byte_rate".to_string(), Some(1024.0))])].into();
        let results = admin.alter_client_quotas(&changes, false).await.unwrap();
        let error = results[&entity].as_ref().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UNSUPPORTED_VERSION));
        assert!(error.to_string().contains("changing quotas of user 'alice'"), "{error}");
    });
}

#[test]
fn quotas_are_set_told_and_taken_away() {
    on_kafka(async |cluster| {
        let admin = cluster.client().await.admin();
        let name = cluster.name("quota");
        let entity = QuotaEntity { user: Some(QuotaName::Default), ..QuotaEntity::client_id(&name) };
        let filter = QuotaFilter { user: Some(QuotaMatch::Any), ..of_client(&name) };
        let alter = async |value: Option<f64>, check_only: bool| {
            let changes = [(entity.clone(), vec![("producer_byte_rate".to_string(), value)])].into();
            admin.alter_client_quotas(&changes, check_only).await.unwrap()[&entity].as_ref().unwrap();
        };
        let is = async |expected: &[(&str, f64)]| {
            let expected: BTreeMap<String, f64> =
                expected.iter().map(|(key, value)| (key.to_string(), *value)).collect();
            cluster
                .until("the quotas are those", async || {
                    let described = admin.describe_client_quotas(&filter).await.unwrap();
                    described.get(&entity).cloned().unwrap_or_default() == expected
                })
                .await;
        };
        alter(Some(1.0), true).await;
        is(&[]).await;
        alter(Some(1024.0), false).await;
        is(&[("producer_byte_rate", 1024.0)]).await;
        alter(None, false).await;
        is(&[]).await;
    });
}

#[test]
fn users_without_a_password_are_told_alike() {
    on_each_cluster(async |cluster| {
        let admin = cluster.client().await.admin();
        let nobody = cluster.name("nobody");
        let described = admin.describe_scram_credentials(Some(&[&nobody])).await.unwrap();
        let missing = Some(ErrorCode::RESOURCE_NOT_FOUND);
        assert_eq!(described[&nobody].as_ref().unwrap_err().code(), missing);
        assert!(!admin.describe_scram_credentials(None).await.unwrap().contains_key(&nobody));
        let delete = ScramChange::Delete { user: nobody.clone(), mechanism: ScramMechanism::Sha512 };
        let results = admin.alter_scram_credentials(&[delete]).await.unwrap();
        assert_eq!(results[&nobody].as_ref().unwrap_err().code(), missing);
        let error = admin.alter_scram_credentials(&[set(&nobody, 0)]).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, None), "{error}");
    });
}

fn set(user: &str, iterations: i32) -> ScramChange {
    ScramChange::Set {
        user: user.to_string(),
        credential: ScramCredential { mechanism: ScramMechanism::Sha256, iterations },
        password: "secret".to_string(),
        salt: None,
    }
}

#[test]
fn a_password_that_would_protect_nothing_is_refused() {
    on_embedded(async |cluster| {
        let admin = cluster.client().await.admin();
        let results = admin.alter_scram_credentials(&[set("alice", 4096)]).await.unwrap();
        let error = results["alice"].as_ref().unwrap_err();
        assert_eq!(error.code(), Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM), "{error}");
    });
}

#[test]
fn passwords_are_set_told_and_deleted() {
    on_kafka(async |cluster| {
        let admin = cluster.client().await.admin();
        let user = cluster.name("alice");
        let too_few = admin.alter_scram_credentials(&[set(&user, 1)]).await.unwrap();
        assert_eq!(too_few[&user].as_ref().unwrap_err().code(), Some(ErrorCode::UNACCEPTABLE_CREDENTIAL));
        let knows = async |expected: &[ScramCredential]| {
            cluster
                .until("the passwords are those", async || {
                    let mut described = admin.describe_scram_credentials(Some(&[&user])).await.unwrap();
                    described.remove(&user).unwrap().unwrap_or_default() == expected
                })
                .await;
        };
        admin.alter_scram_credentials(&[set(&user, 8192)]).await.unwrap()[&user].as_ref().unwrap();
        let mechanism = ScramMechanism::Sha256;
        knows(&[ScramCredential { mechanism, iterations: 8192 }]).await;
        let delete = ScramChange::Delete { user: user.clone(), mechanism };
        admin.alter_scram_credentials(&[delete]).await.unwrap()[&user].as_ref().unwrap();
        knows(&[]).await;
    });
}
