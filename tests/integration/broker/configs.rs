//! Configurations of what is no topic: groups, subscriptions to client metrics, and keys of a broker that only a running one
//! has. Expectations are Apache Kafka's answers.

use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use anabranch_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use anabranch_protocol::messages::list_config_resources::{
    ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use super::{Raw, with_broker};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

async fn alter(
    raw: &mut Raw,
    (resource_type, resource_name): (i8, &str),
    (name, config_operation, value): (&str, i8, Option<&str>),
) -> ErrorCode {
    let configs = vec![AlterableConfig { name, config_operation, value }];
    let resources = vec![AlterConfigsResource { resource_type, resource_name, configs }];
    let answer = raw.call(1, &IncrementalAlterConfigsRequest { resources, validate_only: false }).await;
    answer.decode::<IncrementalAlterConfigsResponse<'_>>().responses[0].error_code
}

/// What is described of some keys (or of all), each as `name=value source type synonyms`.
async fn describe(
    raw: &mut Raw,
    (resource_type, resource_name): (i8, &str),
    keys: Option<Vec<&str>>,
) -> Result<Vec<String>, ErrorCode> {
    let resource = DescribeConfigsResource { resource_type, resource_name, configuration_keys: keys };
    let request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let answer = raw.call(4, &request).await;
    let response: DescribeConfigsResponse<'_> = answer.decode();
    let result = &response.results[0];
    if !result.error_code.is_none() {
        return Err(result.error_code);
    }
    let shown = |value: Option<&str>| value.unwrap_or("null").to_string();
    let tell =
        |config: &anabranch_protocol::messages::describe_configs::DescribeConfigsResourceResult<'_>| {
            let synonyms: Vec<String> = config
                .synonyms
                .iter()
                .map(|synonym| format!("{}:{}={}", synonym.source, synonym.name, shown(synonym.value)))
                .collect();
            format!(
                "{}={} {} {}{} [{}]",
                config.name,
                shown(config.value),
                config.config_source,
                config.config_type,
                if config.read_only { " read-only" } else { "" },
                synonyms.join(", ")
            )
        };
    Ok(result.configs.iter().map(tell).collect())
}

async fn list(raw: &mut Raw, version: i16, resource_types: Vec<i8>) -> Vec<(i8, String)> {
    let answer = raw.call(version, &ListConfigResourcesRequest { resource_types }).await;
    let response: ListConfigResourcesResponse<'_> = answer.decode();
    response.config_resources.iter().map(|it| (it.resource_type, it.resource_name.to_string())).collect()
}

#[test]
fn groups_and_subscriptions_have_configurations_of_their_own() {
    with_broker("group.consumer.heartbeat.interval.ms=6000", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        // A group has all keys, whether it is there or not.
        assert_eq!(describe(&mut raw, (GROUP, "g"), None).await.unwrap().len(), 17);
        let keys = || Some(vec!["consumer.session.timeout.ms", "consumer.heartbeat.interval.ms", "nonsense"]);
        assert_eq!(
            describe(&mut raw, (GROUP, "g"), keys()).await.unwrap(),
            [
                "consumer.heartbeat.interval.ms=6000 4 3 [4:group.consumer.heartbeat.interval.ms=6000, \
                 5:group.consumer.heartbeat.interval.ms=5000]",
                "consumer.session.timeout.ms=45000 5 3 [5:group.consumer.session.timeout.ms=45000]",
            ]
        );
        let set = |name, value| (name, SET, Some(value));
        let timeout = "consumer.session.timeout.ms";
        for (change, expected) in [
            (set(timeout, " 50000 "), ErrorCode::NONE),
            (set(timeout, "44999"), ErrorCode::INVALID_CONFIG),
            (set(timeout, "60001"), ErrorCode::INVALID_CONFIG),
            (set(timeout, "x"), ErrorCode::INVALID_CONFIG),
            ((timeout, SET, None), ErrorCode::INVALID_REQUEST),
            ((timeout, APPEND, Some("5")), ErrorCode::INVALID_CONFIG),
            (set("nonsense", "5"), ErrorCode::INVALID_CONFIG),
            (("nonsense", DELETE, None), ErrorCode::NONE),
        ] {
            assert_eq!(alter(&mut raw, (GROUP, "g"), change).await, expected, "{change:?}");
        }
        assert_eq!(
            describe(&mut raw, (GROUP, "g"), Some(vec![timeout])).await.unwrap(),
            [format!("{timeout}=50000 8 3 [8:{timeout}=50000, 5:group.{timeout}=45000]")]
        );
        assert_eq!(alter(&mut raw, (GROUP, ""), set(timeout, "50000")).await, ErrorCode::INVALID_REQUEST);
        assert_eq!(describe(&mut raw, (GROUP, ""), None).await, Err(ErrorCode::INVALID_REQUEST));

        let nothing = ["interval.ms=300000 5 3 []", "match= 5 7 []", "metrics= 5 7 []"];
        assert_eq!(describe(&mut raw, (CLIENT_METRICS, "m"), None).await.unwrap(), nothing);
        for (change, expected) in [
            (set("interval.ms", "1000"), ErrorCode::NONE),
            (set("interval.ms", "99"), ErrorCode::INVALID_REQUEST),
            (set("interval.ms", "x"), ErrorCode::INVALID_CONFIG),
            (set("metrics", "org.apache.kafka.producer., *"), ErrorCode::NONE),
            (("metrics", APPEND, Some("a")), ErrorCode::INVALID_CONFIG),
            (set("match", "client_id=app-.*"), ErrorCode::NONE),
            (set("match", "colour=red"), ErrorCode::INVALID_CONFIG),
            (set("nonsense", "1"), ErrorCode::INVALID_REQUEST),
        ] {
            assert_eq!(alter(&mut raw, (CLIENT_METRICS, "m"), change).await, expected, "{change:?}");
        }
        let interval = describe(&mut raw, (CLIENT_METRICS, "m"), Some(vec!["interval.ms"])).await.unwrap();
        assert_eq!(interval, ["interval.ms=1000 7 3 [7:interval.ms=1000]"]);
        assert_eq!(
            list(&mut raw, 1, vec![GROUP, CLIENT_METRICS]).await,
            [(32, "g".into()), (16, "m".into())]
        );
        assert_eq!(list(&mut raw, 0, vec![]).await.len(), 1);
        for key in ["interval.ms", "metrics", "match"] {
            assert_eq!(alter(&mut raw, (CLIENT_METRICS, "m"), (key, DELETE, None)).await, ErrorCode::NONE);
        }
        assert_eq!(list(&mut raw, 1, vec![CLIENT_METRICS]).await, []);
    });
}

#[test]
fn a_running_broker_takes_what_kafka_does() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        super::topics::create(&mut raw, "t", 1, &[]).await;
        let set = |name, value| (name, SET, Some(value));
        for (subject, change, expected) in [
            // What copying may take, and what only plug-ins know.
            ((BROKER, "1"), set("leader.replication.throttled.rate", "1000"), ErrorCode::NONE),
            ((BROKER, ""), set("leader.replication.throttled.rate", "5"), ErrorCode::NONE),
            ((BROKER, "1"), set("leader.replication.throttled.rate", "-1"), ErrorCode::INVALID_REQUEST),
            ((BROKER, "1"), set("a.plug.ins.key", "secret"), ErrorCode::NONE),
            // Threads within half and double.
            ((BROKER, "1"), set("num.io.threads", "16"), ErrorCode::NONE),
            ((BROKER, "1"), set("num.network.threads", "100"), ErrorCode::INVALID_REQUEST),
            ((BROKER, "1"), set("transaction.partition.verification.enable", "false"), ErrorCode::NONE),
            ((BROKER, "1"), set("sasl.enabled.mechanisms", "PLAIN"), ErrorCode::NONE),
            ((BROKER, ""), set("sasl.enabled.mechanisms", "PLAIN"), ErrorCode::INVALID_REQUEST),
            // A bad value is a bad request, of a broker.
            ((BROKER, "1"), set("log.segment.bytes", "10"), ErrorCode::INVALID_REQUEST),
            ((BROKER, "1"), set("node.id", "7"), ErrorCode::INVALID_REQUEST),
            ((BROKER, "1"), ("node.id", DELETE, None), ErrorCode::NONE),
            ((TOPIC, "t"), set("nonsense", "1"), ErrorCode::INVALID_CONFIG),
            ((TOPIC, "t"), ("nonsense", DELETE, None), ErrorCode::NONE),
            ((TOPIC, "t"), set("leader.replication.throttled.replicas", "0:1,1:1"), ErrorCode::NONE),
            ((TOPIC, "t"), set("leader.replication.throttled.replicas", "none"), ErrorCode::INVALID_CONFIG),
            ((TOPIC, "no good"), set("retention.ms", "1"), ErrorCode::INVALID_TOPIC_EXCEPTION),
            // What is wrong in itself is told before what nobody has.
            ((TOPIC, "absent"), set("retention.ms", "1"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            ((TOPIC, "absent"), set("nonsense", "1"), ErrorCode::INVALID_CONFIG),
            ((TOPIC, "absent"), ("retention.ms", APPEND, Some("1")), ErrorCode::INVALID_CONFIG),
            ((TOPIC, ""), set("retention.ms", "1"), ErrorCode::INVALID_REQUEST),
        ] {
            assert_eq!(alter(&mut raw, subject, change).await, expected, "{subject:?} {change:?}");
        }
        let told = describe(&mut raw, (BROKER, "1"), None).await.unwrap();
        assert!(
            told.contains(
                &"leader.replication.throttled.rate=1000 2 5 [2:leader.replication.throttled.rate=1000, \
              3:leader.replication.throttled.rate=5]"
                    .to_string()
            )
        );
        assert!(told.contains(&"a.plug.ins.key=null 2 0 read-only [2:a.plug.ins.key=null]".to_string()));
        assert_eq!(
            describe(&mut raw, (BROKER, ""), None).await.unwrap(),
            ["leader.replication.throttled.rate=5 3 5 [3:leader.replication.throttled.rate=5]"]
        );
    });
}

#[test]
fn configurations_of_all_kinds_outlive_the_broker() {
    let sim = Sim::new(3, SimOptions::default());
    let start = async |host: &Host| {
        let config = BrokerConfig::from_pairs([("log.dirs", "/data")]).unwrap();
        EmbeddedBroker::start(host.clone(), config).await.unwrap()
    };
    let all = [
        ((GROUP, "g"), "streams.num.standby.replicas", "1"),
        ((CLIENT_METRICS, "m"), "interval.ms", "1000"),
        ((BROKER, ""), "a.plug.ins.key", "x"),
        ((BROKER, "1"), "max.connections", "100"),
    ];
    let host = sim.node("broker");
    sim.block_on(async {
        let broker = start(&host).await;
        let mut raw = Raw::connect(&host, &broker).await;
        for (subject, key, value) in all {
            assert_eq!(alter(&mut raw, subject, (key, SET, Some(value))).await, ErrorCode::NONE);
        }
    });
    sim.crash("broker");
    let host = sim.node("broker");
    sim.block_on(async {
        let broker = start(&host).await;
        let mut raw = Raw::connect(&host, &broker).await;
        for (subject, key, value) in all {
            let told = describe(&mut raw, subject, Some(vec![key])).await.unwrap();
            let shown = if key.starts_with("a.") { "null" } else { value };
            assert!(told[0].starts_with(&format!("{key}={shown} ")), "{told:?}");
        }
        broker.shutdown().await;
    });
    assert_eq!(sim.panics(), Vec::new());
}

#[test]
fn connections_over_the_rate_come_in_later() {
    let sim = Sim::new(4, SimOptions::default());
    let host = sim.node("broker");
    sim.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await.unwrap();
        let mut first = Raw::connect(&host, &broker).await;
        let change = ("max.connection.creation.rate", SET, Some("2"));
        assert_eq!(alter(&mut first, (BROKER, "1"), change).await, ErrorCode::NONE);
        host.sleep(Duration::from_secs(10)).await;
        let started = host.now();
        let mut waits = Vec::new();
        for _ in 0..4 {
            let mut raw = Raw::connect(&host, &broker).await;
            list(&mut raw, 1, vec![TOPIC]).await;
            waits.push((host.now() - started).as_secs_f64());
        }
        let tenths: Vec<i64> = waits.iter().map(|wait| (wait * 10.0).round() as i64).collect();
        assert_eq!(tenths, [0, 0, 5, 10]);
        broker.shutdown().await;
    });
    assert_eq!(sim.panics(), Vec::new());
}
