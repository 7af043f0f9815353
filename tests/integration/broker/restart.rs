//! What is still there after the broker has stopped and started again on its directory.

use std::path::Path;
use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker, ErrorKind};
use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::fetch::FetchResponse;
use anabranch_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use anabranch_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use anabranch_protocol::records::Compression;

use super::topics::create;
use super::{Produced, Raw, batch, fetch_request, idempotent, produce, values};

async fn producer_id(raw: &mut Raw) -> i64 {
    let answer = raw.call(4, &InitProducerIdRequest::default()).await;
    answer.decode::<InitProducerIdResponse>().producer_id
}

#[test]
fn topics_records_and_producers_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (host, runtime) = Host::real(2).unwrap();
    let config = BrokerConfig::from_pairs([("log.dirs", directory.path().to_str().unwrap())]).unwrap();
    runtime.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), config.clone()).await.unwrap();
        let mut raw = Raw::connect(&host, &broker).await;
        let topic_id = create(&mut raw, "t", 3, &[("retention.ms", "-1")]).await;
        let first_id = producer_id(&mut raw).await;
        produce(&mut raw, "t", batch(Compression::None, &["a", "b"])).await;
        produce(&mut raw, "t", idempotent(first_id, 0, 0, &["c"])).await;
        let cluster_id = broker.broker().cluster_id().to_string();

        let second = EmbeddedBroker::start(host.clone(), config.clone()).await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::InUse);
        broker.shutdown().await;

        let broker = EmbeddedBroker::start(host.clone(), config.clone()).await.unwrap();
        assert_eq!(broker.broker().cluster_id(), cluster_id);
        let mut raw = Raw::connect(&host, &broker).await;
        let answer = raw.call(12, &MetadataRequest { topics: None, ..Default::default() }).await;
        let response: MetadataResponse<'_> = answer.decode();
        assert_eq!(response.topics.len(), 1);
        assert_eq!((response.topics[0].topic_id, response.topics[0].partitions.len()), (topic_id, 3));
        let again = produce(&mut raw, "t", idempotent(first_id, 0, 0, &["c"])).await;
        assert_eq!(
            again,
            Produced { error_code: ErrorCode::NONE, base_offset: 2 },
            "the producer is still known"
        );
        assert!(producer_id(&mut raw).await > first_id, "no id is given twice");
        let answer = raw.call(11, &fetch_request("t", 0)).await;
        let response: FetchResponse<'_> = answer.decode();
        assert_eq!(values(response.responses[0].partitions[0].records.as_ref()), ["a", "b", "c"]);
        broker.shutdown().await;
    });
}

#[test]
fn logs_without_their_metadata_are_not_thrown_away() {
    let directory = tempfile::tempdir().unwrap();
    let (host, runtime) = Host::real(2).unwrap();
    let config = BrokerConfig::from_pairs([("log.dirs", directory.path().to_str().unwrap())]).unwrap();
    runtime.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), config.clone()).await.unwrap();
        let mut raw = Raw::connect(&host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        produce(&mut raw, "t", batch(Compression::None, &["a"])).await;
        broker.shutdown().await;
        host.disk().remove_dir_all(&directory.path().join("__cluster_metadata-0")).unwrap();
        let error = EmbeddedBroker::start(host.clone(), config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(host.disk().exists(&directory.path().join("t-0/00000000000000000000.log")).unwrap());
    });
}

#[test]
fn how_far_logs_are_on_the_disk_is_written_down_as_often_as_configured() {
    for (interval_ms, expected) in [("1000", Some("t 0 2")), ("60000", None)] {
        let sim = Sim::new(5, SimOptions::default());
        let host = sim.node("broker");
        sim.block_on(async {
            let keys = [("log.dirs", "/data"), ("log.flush.offset.checkpoint.interval.ms", interval_ms)];
            let config = BrokerConfig::from_pairs(keys).unwrap();
            let broker = EmbeddedBroker::start(host.clone(), config).await.unwrap();
            let mut raw = Raw::connect(&host, &broker).await;
            create(&mut raw, "t", 1, &[]).await;
            assert_eq!(produce(&mut raw, "t", batch(Compression::None, &["a", "b"])).await.base_offset, 0);
            host.sleep(Duration::from_secs(5)).await;
            let file = Path::new("/data/recovery-point-offset-checkpoint");
            let text =
                host.disk().read(file).map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default();
            assert_eq!(text.lines().find(|line| line.starts_with("t ")), expected, "{interval_ms}: {text}");
            broker.shutdown().await;
        });
    }
}
