//! Topics: created, shown, changed, deleted.

use anabranch_host::Host;
use anabranch_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use anabranch_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use anabranch_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use anabranch_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicRequest,
};
use anabranch_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use anabranch_protocol::records::Compression;
use anabranch_protocol::{ErrorCode, Uuid};

use super::{Answer, Raw, batch, produce, with_broker};

/// Creates a topic and gives its id.
pub(crate) async fn create(raw: &mut Raw, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
    let configs =
        configs.iter().map(|(name, value)| CreatableTopicConfig { name, value: Some(value) }).collect();
    let topic = CreatableTopic {
        name,
        num_partitions: partitions,
        replication_factor: 1,
        configs,
        ..Default::default()
    };
    let answer = raw.call(7, &CreateTopicsRequest { topics: vec![topic], ..Default::default() }).await;
    let response: CreateTopicsResponse<'_> = answer.decode();
    let result = &response.topics[0];
    assert_eq!(result.error_code, ErrorCode::NONE, "{result:?}");
    assert_eq!(result.num_partitions, partitions);
    result.topic_id
}

async fn metadata(raw: &mut Raw, version: i16, names: &[&str], may_create: bool) -> Answer {
    let topics =
        names.iter().map(|name| MetadataRequestTopic { name: Some(name), ..Default::default() }).collect();
    let allow_auto_topic_creation = may_create;
    raw.call(
        version,
        &MetadataRequest { topics: Some(topics), allow_auto_topic_creation, ..Default::default() },
    )
    .await
}

async fn metadata_by_id(raw: &mut Raw, version: i16, topic_id: Uuid) -> Answer {
    let topics = Some(vec![MetadataRequestTopic { name: None, topic_id }]);
    raw.call(version, &MetadataRequest { topics, ..Default::default() }).await
}

#[test]
fn null_topics_are_all_and_no_topics_are_none_but_in_version_0() {
    with_broker("", async |host: &Host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "a", 2, &[]).await;
        for version in 0..=13 {
            let answer = metadata(&mut raw, version, &[], false).await;
            let shown = answer.decode::<MetadataResponse<'_>>().topics.len();
            assert_eq!(shown, usize::from(version == 0), "version {version}");
            if version > 0 {
                let answer = raw.call(version, &MetadataRequest { topics: None, ..Default::default() }).await;
                let response: MetadataResponse<'_> = answer.decode();
                assert_eq!(response.topics.len(), 1);
                let partitions = &response.topics[0].partitions;
                assert_eq!(partitions.len(), 2);
                assert_eq!((partitions[1].leader_id, &partitions[1].isr_nodes[..]), (1, &[1][..]));
                assert_eq!(partitions[1].leader_epoch, if version >= 7 { 0 } else { -1 });
            }
        }
    });
}

#[test]
fn a_missing_topic_is_created_only_if_both_sides_allow_it() {
    for (config, client, made) in [("true", true, true), ("true", false, false), ("false", true, false)] {
        let properties = format!("auto.create.topics.enable={config}\nnum.partitions=4");
        with_broker(&properties, async |host, broker| {
            let mut raw = Raw::connect(host, broker).await;
            let answer = metadata(&mut raw, 13, &["new", "bad/name"], client).await;
            let response: MetadataResponse<'_> = answer.decode();
            let new = &response.topics[0];
            if made {
                assert_eq!((new.error_code, new.partitions.len()), (ErrorCode::NONE, 4));
                assert!(!new.topic_id.is_zero());
            } else {
                assert_eq!(new.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            }
            assert_eq!(response.topics[1].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
        });
    }
}

#[test]
fn one_request_makes_so_many_topics_and_the_next_the_rest() {
    with_broker("num.partitions=4000", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let names = ["a.1", "a_1", "b", "bad/name", "c", "worse/name"];
        let (none, unknown, invalid) =
            (ErrorCode::NONE, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::INVALID_TOPIC_EXCEPTION);
        for expected in
            [[none, invalid, none, invalid, unknown, invalid], [none, invalid, none, invalid, none, invalid]]
        {
            let answer = metadata(&mut raw, 13, &names, true).await;
            let response: MetadataResponse<'_> = answer.decode();
            let errors: Vec<ErrorCode> = response.topics.iter().map(|topic| topic.error_code).collect();
            assert_eq!(errors, expected);
        }
    });
}

#[test]
fn a_topic_created_again_has_another_id_and_the_old_one_is_unknown() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let first = create(&mut raw, "t", 1, &[]).await;
        let answer = metadata_by_id(&mut raw, 12, first).await;
        assert_eq!(answer.decode::<MetadataResponse<'_>>().topics[0].name, Some("t"));
        let topics = vec![DeleteTopicState { name: None, topic_id: first }];
        let answer =
            raw.call(6, &DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() }).await;
        let response: DeleteTopicsResponse<'_> = answer.decode();
        assert_eq!(
            (response.responses[0].name, response.responses[0].error_code),
            (Some("t"), ErrorCode::NONE)
        );
        let second = create(&mut raw, "t", 1, &[]).await;
        assert_ne!(first, second);
        for version in 12..=13 {
            let answer = metadata_by_id(&mut raw, version, first).await;
            let response: MetadataResponse<'_> = answer.decode();
            assert_eq!(response.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
            assert_eq!((response.topics[0].name, response.topics[0].topic_id), (None, first));
        }
        let answer = metadata(&mut raw, 13, &["t"], false).await;
        assert_eq!(answer.decode::<MetadataResponse<'_>>().topics[0].topic_id, second);
    });
}

#[test]
fn every_topic_of_a_request_is_answered_the_good_and_the_bad() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "there", 1, &[]).await;
        let topic =
            |name| CreatableTopic { name, num_partitions: 1, replication_factor: 1, ..Default::default() };
        let config = |name, value| vec![CreatableTopicConfig { name, value }];
        let topics = vec![
            topic("good"),
            topic("there"),
            topic("twice"),
            topic("twice"),
            CreatableTopic { num_partitions: 0, ..topic("none") },
            CreatableTopic { replication_factor: 3, ..topic("three") },
            CreatableTopic { configs: config("retention.mss", Some("1")), ..topic("unknown-key") },
            CreatableTopic { configs: config("retention.ms", Some("x")), ..topic("bad-value") },
            CreatableTopic { configs: config("retention.ms", None), ..topic("null-value") },
            CreatableTopic { num_partitions: -1, replication_factor: -1, ..topic("defaults") },
        ];
        for version in 2..=7 {
            let request =
                CreateTopicsRequest { topics: topics.clone(), validate_only: true, ..Default::default() };
            let answer = raw.call(version, &request).await;
            let response: CreateTopicsResponse<'_> = answer.decode();
            let outcomes: Vec<_> =
                response.topics.iter().map(|topic| (topic.name, topic.error_code)).collect();
            assert_eq!(
                outcomes,
                [
                    ("good", ErrorCode::NONE),
                    ("there", ErrorCode::TOPIC_ALREADY_EXISTS),
                    ("twice", ErrorCode::INVALID_REQUEST),
                    ("none", ErrorCode::INVALID_PARTITIONS),
                    ("three", ErrorCode::INVALID_REPLICATION_FACTOR),
                    ("unknown-key", ErrorCode::INVALID_CONFIG),
                    ("bad-value", ErrorCode::INVALID_CONFIG),
                    ("null-value", ErrorCode::INVALID_CONFIG),
                    ("defaults", ErrorCode::NONE),
                ]
            );
            if version >= 5 {
                let good = &response.topics[0];
                assert_eq!((good.num_partitions, good.replication_factor), (1, 1));
                assert_eq!(good.topic_id != Uuid::ZERO, version >= 7, "one it might have had");
                let configs = good.configs.as_ref().unwrap();
                assert!(
                    configs
                        .iter()
                        .any(|config| config.name == "cleanup.policy" && config.value == Some("delete"))
                );
            }
        }
        let answer = metadata(&mut raw, 13, &["good"], false).await;
        let error_code = answer.decode::<MetadataResponse<'_>>().topics[0].error_code;
        assert_eq!(error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "validate_only creates nothing");
    });
}

#[test]
fn deleting_answers_for_every_topic() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        for version in 1..=6 {
            create(&mut raw, "t", 1, &[]).await;
            let names = vec!["t", "missing"];
            let request = if version < 6 {
                DeleteTopicsRequest { topic_names: names, timeout_ms: 10_000, ..Default::default() }
            } else {
                let state = |name| DeleteTopicState { name: Some(name), ..Default::default() };
                DeleteTopicsRequest {
                    topics: names.into_iter().map(state).collect(),
                    timeout_ms: 10_000,
                    ..Default::default()
                }
            };
            let answer = raw.call(version, &request).await;
            let response: DeleteTopicsResponse<'_> = answer.decode();
            let outcomes: Vec<_> =
                response.responses.iter().map(|topic| (topic.name, topic.error_code)).collect();
            let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            assert_eq!(outcomes, [(Some("t"), ErrorCode::NONE), (Some("missing"), unknown)]);
        }
        let topics = vec![DeleteTopicState { name: None, topic_id: Uuid([1; 16]) }];
        let answer =
            raw.call(6, &DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() }).await;
        let response: DeleteTopicsResponse<'_> = answer.decode();
        assert_eq!(response.responses[0].error_code, ErrorCode::UNKNOWN_TOPIC_ID);
    });
}

#[test]
fn a_deletion_that_is_disabled_deletes_nothing() {
    with_broker("delete.topic.enable=false", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let answer = raw.call(5, &DeleteTopicsRequest { topic_names: vec!["t"], ..Default::default() }).await;
        let response: DeleteTopicsResponse<'_> = answer.decode();
        assert_eq!(response.responses[0].error_code, ErrorCode::TOPIC_DELETION_DISABLED);
        let answer = metadata(&mut raw, 13, &["t"], false).await;
        assert_eq!(answer.decode::<MetadataResponse<'_>>().topics[0].error_code, ErrorCode::NONE);
    });
}

#[test]
fn partitions_are_added_and_every_topic_is_answered() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        for (version, count) in [(0, 2), (1, 3), (2, 4), (3, 5)] {
            let topic = |name| CreatePartitionsTopic { name, count, assignments: None };
            let topics = vec![topic("t"), topic("missing")];
            let answer = raw
                .call(version, &CreatePartitionsRequest { topics, timeout_ms: 10_000, ..Default::default() })
                .await;
            let response: CreatePartitionsResponse<'_> = answer.decode();
            let outcomes: Vec<_> =
                response.results.iter().map(|topic| (topic.name, topic.error_code)).collect();
            let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
            assert_eq!(outcomes, [("t", ErrorCode::NONE), ("missing", unknown)]);
        }
        let answer = metadata(&mut raw, 13, &["t"], false).await;
        assert_eq!(answer.decode::<MetadataResponse<'_>>().topics[0].partitions.len(), 5);
    });
}

#[test]
fn every_key_of_a_topic_and_of_the_broker_is_described() {
    with_broker("log.retention.hours=1", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[("cleanup.policy", "compact")]).await;
        let resource = |resource_type, resource_name| DescribeConfigsResource {
            resource_type,
            resource_name,
            configuration_keys: None,
        };
        for version in 1..=4 {
            let request = DescribeConfigsRequest {
                resources: vec![resource(2, "t"), resource(4, "1"), resource(2, "missing"), resource(4, "9")],
                include_synonyms: true,
                include_documentation: true,
            };
            let answer = raw.call(version, &request).await;
            let response: DescribeConfigsResponse<'_> = answer.decode();
            let [topic, broker, missing, other] = &response.results[..] else { panic!("four answers") };
            assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            assert_eq!(other.error_code, ErrorCode::INVALID_REQUEST);
            assert_eq!(topic.configs.len(), 33);
            assert!(broker.configs.len() > 300);
            let find = |name: &str| topic.configs.iter().find(|config| config.name == name).unwrap();
            let policy = find("cleanup.policy");
            assert_eq!((policy.value, policy.config_source), (Some("compact"), 1));
            let sources: Vec<_> =
                policy.synonyms.iter().map(|synonym| (synonym.name, synonym.source)).collect();
            assert_eq!(sources, [("cleanup.policy", 1), ("log.cleanup.policy", 5)]);
            let retention = find("retention.ms");
            assert_eq!((retention.value, retention.config_source), (Some("3600000"), 4));
            if version >= 3 {
                assert_eq!(retention.config_type, 5);
                assert!(retention.documentation.is_some());
            }
            let secret = broker.configs.iter().find(|config| config.name == "ssl.key.password").unwrap();
            assert!(secret.is_sensitive && secret.value.is_none());
        }
        let asked =
            DescribeConfigsResource { configuration_keys: Some(vec!["retention.ms"]), ..resource(2, "t") };
        let answer =
            raw.call(4, &DescribeConfigsRequest { resources: vec![asked], ..Default::default() }).await;
        let response: DescribeConfigsResponse<'_> = answer.decode();
        assert_eq!(response.results[0].configs.len(), 1);
        assert!(response.results[0].configs[0].synonyms.is_empty(), "synonyms only if asked for");
    });
}

#[test]
fn configurations_change_key_by_key_and_a_bad_one_changes_nothing() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[("retention.bytes", "5")]).await;
        let change = |name, config_operation, value| AlterableConfig { name, config_operation, value };
        let alter = async |raw: &mut Raw, resource_type, resource_name, configs: Vec<AlterableConfig<'_>>| {
            let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
            let request = IncrementalAlterConfigsRequest { resources, validate_only: false };
            let answer = raw.call(1, &request).await;
            answer.decode::<IncrementalAlterConfigsResponse<'_>>().responses[0].error_code
        };
        let value = async |raw: &mut Raw, key: &str| {
            let configuration_keys = Some(vec![key]);
            let resources =
                vec![DescribeConfigsResource { resource_type: 2, resource_name: "t", configuration_keys }];
            let answer = raw.call(4, &DescribeConfigsRequest { resources, ..Default::default() }).await;
            let response: DescribeConfigsResponse<'_> = answer.decode();
            response.results[0].configs[0].value.unwrap().to_string()
        };
        let good = vec![
            change("cleanup.policy", 2, Some("compact")),
            change("retention.bytes", 1, None),
            change("retention.ms", 0, Some("77")),
        ];
        assert_eq!(alter(&mut raw, 2, "t", good).await, ErrorCode::NONE);
        assert_eq!(value(&mut raw, "cleanup.policy").await, "delete,compact");
        assert_eq!(value(&mut raw, "retention.bytes").await, "-1");
        assert_eq!(value(&mut raw, "retention.ms").await, "77");
        let bad = vec![change("retention.ms", 0, Some("1")), change("segment.bytes", 0, Some("x"))];
        assert_eq!(alter(&mut raw, 2, "t", bad).await, ErrorCode::INVALID_CONFIG);
        assert_eq!(value(&mut raw, "retention.ms").await, "77");
        let not_a_list = vec![change("retention.ms", 2, Some("1"))];
        assert_eq!(alter(&mut raw, 2, "t", not_a_list).await, ErrorCode::INVALID_CONFIG);
        let unknown = alter(&mut raw, 2, "missing", vec![change("retention.ms", 0, Some("1"))]).await;
        assert_eq!(unknown, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        // A default for all topics may change, and threads may within half and double of what they are.
        let on_all = vec![change("log.retention.bytes", 0, Some("123"))];
        assert_eq!(alter(&mut raw, 4, "", on_all).await, ErrorCode::NONE);
        assert_eq!(value(&mut raw, "retention.bytes").await, "123");
        let idle = vec![change("num.io.threads", 0, Some("3"))];
        assert_eq!(alter(&mut raw, 4, "1", idle).await, ErrorCode::INVALID_REQUEST);
    });
}

#[test]
fn partitions_are_described_page_by_page() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "a", 3, &[]).await;
        create(&mut raw, "b", 3, &[]).await;
        let mut pages: Vec<Vec<(String, Vec<i32>)>> = Vec::new();
        let mut next: Option<(String, i32)> = None;
        loop {
            let cursor = next.as_ref().map(|(topic_name, partition_index)| Cursor {
                topic_name,
                partition_index: *partition_index,
            });
            let topics = ["a", "b", "c"].map(|name| TopicRequest { name }).to_vec();
            let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: 2, cursor };
            let answer = raw.call(0, &request).await;
            let response: DescribeTopicPartitionsResponse<'_> = answer.decode();
            let shown = response.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
                (topic.name.unwrap().to_string(), partitions)
            });
            pages.push(shown.collect());
            next = response.next_cursor.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
            if next.is_none() {
                assert_eq!(response.topics.last().unwrap().error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                break;
            }
        }
        let topics = vec![TopicRequest { name: "a" }];
        let cursor = Some(Cursor { topic_name: "a", partition_index: -1 });
        let request = DescribeTopicPartitionsRequest { topics, response_partition_limit: 2, cursor };
        let answer = raw.call(0, &request).await;
        let response: DescribeTopicPartitionsResponse<'_> = answer.decode();
        let refused = &response.topics[0];
        assert_eq!((refused.error_code, refused.partitions.len()), (ErrorCode::INVALID_REQUEST, 0));
        let page = |topics: &[(&str, &[i32])]| -> Vec<(String, Vec<i32>)> {
            topics.iter().map(|(name, partitions)| (name.to_string(), partitions.to_vec())).collect()
        };
        assert_eq!(
            pages,
            [
                page(&[("a", &[0, 1])]),
                page(&[("a", &[2]), ("b", &[0])]),
                page(&[("b", &[1, 2])]),
                page(&[("c", &[])])
            ]
        );
    });
}

#[test]
fn producer_ids_are_never_given_twice() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..2500 {
            let answer = raw.call(round % 6, &InitProducerIdRequest::default()).await;
            let response: InitProducerIdResponse = answer.decode();
            assert_eq!((response.error_code, response.producer_epoch), (ErrorCode::NONE, 0));
            assert!(seen.insert(response.producer_id), "{} twice", response.producer_id);
        }
    });
}

#[test]
fn a_coordinators_topic_is_internal_cannot_be_deleted_and_takes_nothing_from_producers() {
    with_broker("offsets.topic.num.partitions=2", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let answer = metadata(&mut raw, 13, &["__consumer_offsets", "t"], true).await;
        let response: MetadataResponse<'_> = answer.decode();
        let shown: Vec<_> =
            response.topics.iter().map(|topic| (topic.is_internal, topic.partitions.len())).collect();
        assert_eq!(shown, [(true, 2), (false, 1)]);
        let topic_names = vec!["__consumer_offsets"];
        let answer = raw.call(5, &DeleteTopicsRequest { topic_names, ..Default::default() }).await;
        let response: DeleteTopicsResponse<'_> = answer.decode();
        assert_eq!(response.responses[0].error_code, ErrorCode::INVALID_REQUEST);
        let produced = produce(&mut raw, "__consumer_offsets", batch(Compression::None, &["a"])).await;
        assert_eq!(produced.error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    });
}

/// Where a topic would get more partitions than a request may make, the client hears that, and does not ask for ever.
#[test]
fn a_topic_of_too_many_partitions_is_not_made_on_first_use() {
    with_broker("num.partitions=10001", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        let topics = Some(vec![MetadataRequestTopic { name: Some("t"), ..Default::default() }]);
        let request = MetadataRequest { topics, allow_auto_topic_creation: true, ..Default::default() };
        let answer = raw.call(12, &request).await;
        let response: MetadataResponse<'_> = answer.decode();
        assert_eq!(response.topics[0].error_code, ErrorCode::POLICY_VIOLATION);
    });
}
