//! Every API served, at every version, with requests made by chance: each is answered in the version it was asked in, and
//! none stops the broker, whatever its fields say and whichever of its bytes are wrong.

use std::task::{Context, Poll, Waker};

use anabranch_host::{Host, Sim, SimOptions};
use anabranch_protocol::messages::describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
use anabranch_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, TopicRequest,
};
use anabranch_protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse,
};
use anabranch_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use anabranch_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use anabranch_protocol::sample::{Chance, Declared, EveryRequest, every_request, sample};
use anabranch_protocol::{ErrorCode, Request, ResponseHeader, encode_request};

use super::*;
use crate::{Broker, BrokerConfig};

/// Requests of each API and version.
const SEEDS: u64 = 60;

fn endpoint() -> Endpoint {
    Endpoint { name: "PLAINTEXT".to_string(), host: "broker".to_string(), port: 9092 }
}

/// Asks the broker as a client does.
pub(crate) async fn ask<'a, R: Request<'a>, T>(
    broker: &Broker,
    version: i16,
    request: &R,
    look: impl FnOnce(R::Response<'_>) -> T,
) -> T {
    let frame = encode_request(&RequestHeader::new(R::KEY, version, 1, None), request).into_bytes();
    let node = broker.node();
    let answer = match handle(node, &frame.slice(4..), "peer:1", &endpoint(), node.host.now()).unwrap() {
        Reply::Now(segments) => segments,
        Reply::Later(later) => later.await,
        Reply::Silent | Reply::Close(_) => panic!("no answer"),
    };
    let answer = answer.into_bytes().slice(4..);
    let mut decoder = Decoder::new(&answer);
    ResponseHeader::decode(&mut decoder, R::KEY, version).unwrap();
    look(R::Response::decode(&mut decoder, version).unwrap())
}

struct Ask<'a> {
    node: &'a Arc<Node>,
    endpoint: Endpoint,
    asked: Vec<ApiKey>,
}

impl Ask<'_> {
    fn handle(&self, frame: &Bytes) -> Result<Reply, String> {
        handle(self.node, frame, "peer:1", &self.endpoint, self.node.host.now())
    }

    /// What is answered now, if anything is.
    fn answer(&self, frame: &Bytes) -> Result<Option<Bytes>, String> {
        match self.handle(frame)? {
            Reply::Now(segments) => Ok(Some(segments.into_bytes())),
            Reply::Later(mut future) => match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(segments) => Ok(Some(segments.into_bytes())),
                Poll::Pending => Ok(None),
            },
            Reply::Silent | Reply::Close(_) => Ok(None),
        }
    }
}

impl EveryRequest for Ask<'_> {
    fn request<R: Request<'static> + Declared>(&mut self) {
        if !SERVED.contains(&R::KEY) {
            return;
        }
        self.asked.push(R::KEY);
        for version in R::VERSIONS {
            for seed in 0..SEEDS {
                let what = format!("{} version {version} seed {seed}", R::KEY);
                let request: R = sample(seed, version);
                let header = RequestHeader::new(R::KEY, version, 7, Some("chance"));
                let frame = encode_request(&header, &request).into_bytes().slice(4..);
                let answer = self.answer(&frame).unwrap_or_else(|problem| panic!("{what}: {problem}"));
                if let Some(answer) = answer {
                    let answer = answer.slice(4..);
                    let mut decoder = Decoder::new(&answer);
                    let header = ResponseHeader::decode(&mut decoder, R::KEY, version);
                    assert_eq!(header.map(|header| header.correlation_id), Ok(7), "{what}");
                    let response = R::Response::decode(&mut decoder, version);
                    assert!(response.is_ok() && decoder.remaining() == 0, "{what}: {:?}", response.err());
                    // Clients take it for a broker that has lost its mind, and give up.
                    let told = format!("{response:?}");
                    assert!(!told.contains("UNKNOWN_SERVER_ERROR"), "{what}: {request:?} -> {told}");
                }
                let mut chance = Chance::new(seed ^ 0x5eed);
                for _ in 0..4 {
                    let mut bytes = frame.to_vec();
                    let at = chance.below(bytes.len());
                    bytes[at] = chance.next_u64() as u8;
                    bytes.truncate(bytes.len() - chance.below(2) * chance.below(bytes.len()));
                    // Whether it is understood or not.
                    let _ = self.answer(&Bytes::from(bytes));
                }
            }
        }
    }
}

#[test]
fn requests_made_by_chance_are_answered_in_their_version_or_refused() {
    let (host, runtime) = Host::real(1).unwrap();
    runtime.block_on(async {
        let config =
            BrokerConfig::from_pairs([("flush", "os"), ("offsets.topic.num.partitions", "1")]).unwrap();
        let broker = Broker::open(host, config).await.unwrap();
        let mut ask = Ask { node: broker.node(), endpoint: endpoint(), asked: Vec::new() };
        ask.node.create_missing_topic("__consumer_offsets").unwrap();
        every_request(&mut ask);
        let never = SERVED.iter().filter(|api_key| !ask.asked.contains(api_key)).collect::<Vec<_>>();
        assert!(never.is_empty(), "{never:?} have no messages by chance");
        broker.shutdown().await;
    });
}

#[test]
fn what_is_named_again_is_told_again_within_bounds() {
    let sim = Sim::new(1, SimOptions::default());
    sim.block_on(async {
        let config = BrokerConfig::from_pairs([("offsets.topic.num.partitions", "1")]).unwrap();
        let broker = Broker::open(sim.node("n"), config).await.unwrap();
        for topic in ["t", "__consumer_offsets", "__transaction_state"] {
            broker.node().create_missing_topic(topic).unwrap();
        }
        let metadata = "m".repeat(4000);
        let partition =
            OffsetCommitRequestPartition { committed_metadata: Some(&metadata), ..Default::default() };
        let topic = OffsetCommitRequestTopic { name: "t", partitions: vec![partition], ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: "g",
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let look = |response: OffsetCommitResponse<'_>| {
            assert!(response.topics[0].partitions[0].error_code.is_none())
        };
        ask(&broker, 8, &request, look).await;

        let named = |partition_indexes| {
            let topic = OffsetFetchRequestTopics { name: "t", partition_indexes, ..Default::default() };
            OffsetFetchRequestGroup { group_id: "g", topics: Some(vec![topic]), ..Default::default() }
        };
        let all = || OffsetFetchRequestGroup { group_id: "g", topics: None, ..Default::default() };
        let groups = vec![named(vec![0, 1, 0, 1]), all(), named(vec![0]), all()];
        let look = |response: OffsetFetchResponse<'_>| {
            let told = response.groups.iter().map(|group| {
                let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
                let lengths =
                    partitions.map(|it| (it.error_code, it.metadata.map_or(0, |metadata| metadata.len())));
                (group.error_code, lengths.collect::<Vec<_>>())
            });
            told.collect::<Vec<_>>()
        };
        let (none, again) = (ErrorCode::NONE, ErrorCode::INVALID_REQUEST);
        let expected = [
            (none, vec![(none, 4000), (none, 0), (none, 4000), (none, 0)]),
            (none, vec![(none, 4000)]),
            (none, vec![(none, 4000)]),
            (none, vec![(none, 4000)]),
        ];
        let request = OffsetFetchRequest { groups, ..Default::default() };
        assert_eq!(ask(&broker, 8, &request, look).await, expected);

        // A mebibyte again, and no more; what is small is told always.
        let often = (1 << 20) / 4000 + 1;
        let groups = vec![named(vec![0; often + 3]), all(), all(), named(vec![1, 1])];
        let request = OffsetFetchRequest { groups, ..Default::default() };
        let told = ask(&broker, 8, &request, look).await;
        let lengths: Vec<_> = [vec![(none, 4000); often + 1], vec![(again, 0); 2]].concat();
        assert_eq!(told[0], (none, lengths));
        assert_eq!(told[1..], [(none, vec![(none, 4000)]), (again, vec![]), (none, vec![(none, 0); 2])]);

        let request = DescribeGroupsRequest { groups: vec!["g", "other", "g"], ..Default::default() };
        let look = |response: DescribeGroupsResponse<'_>| {
            response.groups.iter().map(|group| group.group_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ask(&broker, 5, &request, look).await, ["g", "other", "g"]);

        let request = DescribeTransactionsRequest { transactional_ids: vec!["a", "b", "a"] };
        let look = |response: DescribeTransactionsResponse<'_>| {
            let states = response.transaction_states.iter();
            states.map(|state| state.transactional_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ask(&broker, 0, &request, look).await, ["a", "b", "a"]);

        let topic = |partition_indexes| TopicRequest { name: "t", partition_indexes };
        let request = DescribeProducersRequest { topics: vec![topic(vec![0, 5, 0]), topic(vec![5, 6])] };
        let look = |response: DescribeProducersResponse<'_>| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.partition_index).collect::<Vec<_>>()
        };
        assert_eq!(ask(&broker, 0, &request, look).await, [0, 5, 0, 5, 6]);
        broker.shutdown().await;
    });
}

#[test]
fn the_table_is_in_the_order_of_the_keys() {
    assert!(SERVED.is_sorted(), "{SERVED:?}");
}
