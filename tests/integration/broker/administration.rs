//! What administrators ask: where the data lies, who leads, who may do what; and configurations of the old way.

use anabranch_protocol::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, OpData,
};
use anabranch_protocol::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResponse, AlterableConfig,
};
use anabranch_protocol::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignableTopic,
};
use anabranch_protocol::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, ScramCredentialDeletion,
    ScramCredentialUpsertion,
};
use anabranch_protocol::messages::create_acls::{AclCreation, CreateAclsRequest, CreateAclsResponse};
use anabranch_protocol::messages::delete_acls::{DeleteAclsFilter, DeleteAclsRequest, DeleteAclsResponse};
use anabranch_protocol::messages::describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
use anabranch_protocol::messages::describe_client_quotas::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};
use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use anabranch_protocol::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use anabranch_protocol::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, PartitionRequest, TopicRequest,
};
use anabranch_protocol::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, UserName,
};
use anabranch_protocol::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, TopicPartitions,
};
use anabranch_protocol::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use anabranch_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use anabranch_protocol::records::Compression;
use anabranch_protocol::{ApiKey, ErrorCode};

use super::topics::create;
use super::{Raw, batch, produce, with_broker};

const TOPIC: i8 = 2;

async fn set_of(raw: &mut Raw, topic: &str) -> Vec<(String, String)> {
    let resources = vec![DescribeConfigsResource {
        resource_type: TOPIC,
        resource_name: topic,
        configuration_keys: None,
    }];
    let answer = raw.call(4, &DescribeConfigsRequest { resources, ..Default::default() }).await;
    let response: DescribeConfigsResponse<'_> = answer.decode();
    let on_topic = response.results[0].configs.iter().filter(|config| config.config_source == 1);
    on_topic.map(|config| (config.name.to_string(), config.value.unwrap().to_string())).collect()
}

#[test]
fn alter_configs_replaces_all_there_is() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[("retention.ms", "5"), ("segment.ms", "6")]).await;
        let mut alter = async |name: &str, configs: &[(&str, Option<&str>)], validate_only: bool| {
            let configs =
                configs.iter().map(|(name, value)| AlterableConfig { name, value: *value }).collect();
            let resource = AlterConfigsResource { resource_type: TOPIC, resource_name: name, configs };
            for version in ApiKey::AlterConfigs.versions().rev() {
                let resources = vec![resource.clone()];
                let answer = raw.call(version, &AlterConfigsRequest { resources, validate_only }).await;
                let response: AlterConfigsResponse<'_> = answer.decode();
                let found = &response.responses[0];
                let outcome = (found.error_code, found.error_message.map(str::to_string));
                if version == 0 {
                    return (outcome, set_of(&mut raw, "t").await);
                }
            }
            unreachable!("there is a version 0")
        };
        let before = vec![("retention.ms".to_string(), "5".to_string()), ("segment.ms".into(), "6".into())];
        let new = [("retention.ms", Some("7")), ("cleanup.policy", Some("compact"))];
        let (outcome, set) = alter("t", &new, true).await;
        assert_eq!((outcome, set), ((ErrorCode::NONE, None), before.clone()));
        let (outcome, set) = alter("t", &[("retention.ms", None)], false).await;
        let message = "Null value not supported for : retention.ms".to_string();
        assert_eq!((outcome, set), ((ErrorCode::INVALID_REQUEST, Some(message)), before.clone()));
        let (outcome, _) = alter("t", &[("retention.ms", Some("-5"))], false).await;
        assert_eq!(outcome.0, ErrorCode::INVALID_CONFIG);
        let (outcome, set) = alter("absent", &new, false).await;
        assert_eq!((outcome.0, set), (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, before));
        let (outcome, set) = alter("t", &new, false).await;
        assert_eq!(outcome, (ErrorCode::NONE, None));
        let after =
            vec![("cleanup.policy".to_string(), "compact".to_string()), ("retention.ms".into(), "7".into())];
        assert_eq!(set, after);
    });
}

#[test]
fn log_dirs_tell_sizes_of_all_or_some() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "a", 2, &[]).await;
        create(&mut raw, "b", 1, &[]).await;
        produce(&mut raw, "a", batch(Compression::None, &["value"])).await;
        for version in ApiKey::DescribeLogDirs.versions() {
            let answer = raw.call(version, &DescribeLogDirsRequest { topics: None }).await;
            let response: DescribeLogDirsResponse<'_> = answer.decode();
            let [directory] = response.results.as_slice() else { panic!("{response:?}") };
            assert_eq!((response.error_code, directory.error_code), (ErrorCode::NONE, ErrorCode::NONE));
            assert!(directory.log_dir.starts_with('/'));
            let sizes: Vec<_> = (directory.topics.iter())
                .flat_map(|topic| {
                    topic.partitions.iter().map(|p| (topic.name, p.partition_index, p.partition_size))
                })
                .collect();
            assert_eq!(sizes, [("a", 0, 73), ("a", 1, 0), ("b", 0, 0)]);
            if version >= 4 {
                assert!(directory.total_bytes >= directory.usable_bytes && directory.usable_bytes > 0);
            }
            let some = [("a", vec![0, 7]), ("absent", vec![0])];
            let some = some.map(|(topic, partitions)| DescribableLogDirTopic { topic, partitions });
            let answer = raw.call(version, &DescribeLogDirsRequest { topics: Some(some.into()) }).await;
            let response: DescribeLogDirsResponse<'_> = answer.decode();
            assert_eq!(response.results[0].topics.len(), 1);
            assert_eq!(response.results[0].topics[0].partitions.len(), 1);
        }
    });
}

#[test]
fn elections_and_moves_of_a_cluster_of_one() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        for version in ApiKey::ElectLeaders.versions() {
            let asked = [("t", vec![0, 5]), ("absent", vec![0])];
            let asked = asked.map(|(topic, partitions)| TopicPartitions { topic, partitions });
            let request = ElectLeadersRequest { topic_partitions: Some(asked.into()), ..Default::default() };
            let answer = raw.call(version, &request).await;
            let response: ElectLeadersResponse<'_> = answer.decode();
            let found: Vec<_> = (response.replica_election_results.iter())
                .flat_map(|topic| topic.partition_result.iter())
                .map(|result| (result.error_code, result.error_message.unwrap()))
                .collect();
            let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            let expected = [
                (ErrorCode::ELECTION_NOT_NEEDED, "Leader election not needed for topic partition."),
                (unknown, "No such partition as t-5"),
                (unknown, "No such topic as absent"),
            ];
            assert_eq!(found, expected);
            let all = ElectLeadersRequest { topic_partitions: None, ..Default::default() };
            let answer = raw.call(version, &all).await;
            let response: ElectLeadersResponse<'_> = answer.decode();
            assert_eq!((response.error_code, response.replica_election_results.len()), (ErrorCode::NONE, 0));
        }
        let none: Option<Vec<i32>> = None;
        let cases = [
            ("absent", 0, Some(vec![1]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("t", 3, Some(vec![1]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ("t", 0, none, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS),
            ("t", 0, Some(vec![]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(vec![1, 2]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(vec![1, 1]), ErrorCode::INVALID_REPLICA_ASSIGNMENT),
            ("t", 0, Some(vec![1]), ErrorCode::NONE),
        ];
        for version in ApiKey::AlterPartitionReassignments.versions() {
            for (name, partition_index, replicas, expected) in &cases {
                let partitions = vec![ReassignablePartition {
                    partition_index: *partition_index,
                    replicas: replicas.clone(),
                }];
                let topics = vec![ReassignableTopic { name, partitions }];
                let request = AlterPartitionReassignmentsRequest { topics, ..Default::default() };
                let answer = raw.call(version, &request).await;
                let response: AlterPartitionReassignmentsResponse<'_> = answer.decode();
                let found = &response.responses[0].partitions[0];
                assert_eq!(found.error_code, *expected, "{name} {partition_index} {replicas:?}: {found:?}");
            }
        }
        let answer = raw.call(0, &ListPartitionReassignmentsRequest::default()).await;
        let response: ListPartitionReassignmentsResponse<'_> = answer.decode();
        assert_eq!(response, ListPartitionReassignmentsResponse::default());
    });
}

#[test]
fn access_quotas_and_passwords_are_answered_as_without_them() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let disabled = (ErrorCode::SECURITY_DISABLED, Some("No Authorizer is configured."));
        for version in ApiKey::DescribeAcls.versions() {
            let answer = raw.call(version, &DescribeAclsRequest::default()).await;
            let response: DescribeAclsResponse<'_> = answer.decode();
            assert_eq!((response.error_code, response.error_message), disabled);
            let creations = vec![AclCreation::default(); 2];
            let answer = raw.call(version, &CreateAclsRequest { creations }).await;
            let response: CreateAclsResponse<'_> = answer.decode();
            assert_eq!(response.results.len(), 2);
            assert_eq!((response.results[1].error_code, response.results[1].error_message), disabled);
            let filters = vec![DeleteAclsFilter::default()];
            let answer = raw.call(version, &DeleteAclsRequest { filters }).await;
            let response: DeleteAclsResponse<'_> = answer.decode();
            let found = &response.filter_results[0];
            assert_eq!((found.error_code, found.error_message), disabled);
        }
        for version in ApiKey::DescribeClientQuotas.versions() {
            let answer = raw.call(version, &DescribeClientQuotasRequest::default()).await;
            let response: DescribeClientQuotasResponse<'_> = answer.decode();
            assert_eq!((response.error_code, response.entries), (ErrorCode::NONE, Some(Vec::new())));
            let entry = |remove| EntryData {
                entity: vec![EntityData { entity_type: "user", entity_name: Some("u") }],
                ops: vec![OpData { key: "producer_byte_rate", value: 1.0, remove }],
            };
            let request =
                AlterClientQuotasRequest { entries: vec![entry(false), entry(true)], validate_only: false };
            let answer = raw.call(version, &request).await;
            let response: AlterClientQuotasResponse<'_> = answer.decode();
            let codes: Vec<_> = response.entries.iter().map(|entry| entry.error_code).collect();
            assert_eq!(codes, [ErrorCode::UNSUPPORTED_VERSION, ErrorCode::NONE]);
        }
        let users = ["a", "b", "a"].map(|name| UserName { name });
        let answer = raw.call(0, &DescribeUserScramCredentialsRequest { users: Some(users.into()) }).await;
        let response: DescribeUserScramCredentialsResponse<'_> = answer.decode();
        let found: Vec<_> = response.results.iter().map(|result| (result.user, result.error_code)).collect();
        assert_eq!(found, [("a", ErrorCode::DUPLICATE_RESOURCE), ("b", ErrorCode::RESOURCE_NOT_FOUND)]);
        let request = AlterUserScramCredentialsRequest {
            deletions: vec![ScramCredentialDeletion { name: "a", mechanism: 1 }],
            upsertions: vec![ScramCredentialUpsertion { name: "b", mechanism: 1, ..Default::default() }],
        };
        let answer = raw.call(0, &request).await;
        let response: AlterUserScramCredentialsResponse<'_> = answer.decode();
        let found: Vec<_> = response.results.iter().map(|result| (result.user, result.error_code)).collect();
        let refused = ErrorCode::UNSUPPORTED_SASL_MECHANISM;
        assert_eq!(found, [("a", ErrorCode::RESOURCE_NOT_FOUND), ("b", refused)]);
    });
}

#[test]
fn the_quorum_is_this_broker_and_resources_are_listed() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        for version in ApiKey::DescribeQuorum.versions() {
            for (topic_name, expected) in
                [("__cluster_metadata", ErrorCode::NONE), ("t", ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]
            {
                let partitions = vec![PartitionRequest { partition_index: 0 }];
                let topics = vec![TopicRequest { topic_name, partitions }];
                let answer = raw.call(version, &DescribeQuorumRequest { topics }).await;
                let response: DescribeQuorumResponse<'_> = answer.decode();
                let found = &response.topics[0].partitions[0];
                assert_eq!(found.error_code, expected);
                if expected == ErrorCode::NONE {
                    assert_eq!((found.leader_id, found.current_voters[0].replica_id), (1, 1));
                    assert!(found.high_watermark > 2);
                    assert_eq!(response.nodes.len(), usize::from(version >= 2));
                }
            }
        }
        for (version, resource_types, expected) in [
            (0, vec![], vec![]),
            (1, vec![], vec![(8, "1"), (4, "1"), (2, "t")]),
            (1, vec![2], vec![(2, "t")]),
            (1, vec![16, 32], vec![]),
        ] {
            let answer = raw.call(version, &ListConfigResourcesRequest { resource_types }).await;
            let response: ListConfigResourcesResponse<'_> = answer.decode();
            let found: Vec<_> = (response.config_resources.iter())
                .map(|found| (found.resource_type, found.resource_name))
                .collect();
            assert_eq!((response.error_code, found), (ErrorCode::NONE, expected));
        }
        let answer = raw.call(1, &ListConfigResourcesRequest { resource_types: vec![3] }).await;
        let response: ListConfigResourcesResponse<'_> = answer.decode();
        assert_eq!(response.error_code, ErrorCode::UNSUPPORTED_VERSION);
    });
}

#[test]
fn a_resource_is_described_as_often_as_it_is_named() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let resource = |name| DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: name,
            configuration_keys: None,
        };
        let resources = ["t", "nobody", "t"].map(resource).into();
        let answer = raw.call(4, &DescribeConfigsRequest { resources, ..Default::default() }).await;
        let response: DescribeConfigsResponse<'_> = answer.decode();
        let found = response.results.iter().map(|result| (result.error_code, result.configs.is_empty()));
        let expected = [
            (ErrorCode::NONE, false),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, true),
            (ErrorCode::NONE, false),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
    });
}

#[test]
fn a_batch_that_outgrows_its_topic_when_it_is_decompressed_is_refused() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let limits = [("compression.type", "uncompressed"), ("max.message.bytes", "1000")];
        create(&mut raw, "t", 1, &limits).await;
        let (long, short) = ("x".repeat(2000), "x".repeat(200));
        for (value, expected) in [(&long, ErrorCode::MESSAGE_TOO_LARGE), (&short, ErrorCode::NONE)] {
            let records = batch(Compression::Lz4, &[value]);
            assert!(records.len() < 1000, "as it is sent it is small enough");
            assert_eq!(produce(&mut raw, "t", records).await.error_code, expected);
        }
    });
}
