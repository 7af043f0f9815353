//! Every API served, at every version, with requests made by chance: each is answered in the version it was asked in, and
//! none stops the broker, whatever its fields say and whichever of its bytes are wrong.

use std::task::{Context, Poll, Waker};

use anabranch_host::Host;
use anabranch_protocol::sample::{Chance, Declared, EveryRequest, every_request, sample};
use anabranch_protocol::{Request, ResponseHeader, encode_request};

use super::*;
use crate::{Broker, BrokerConfig};

/// Requests of each API and version.
const SEEDS: u64 = 60;

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
        let endpoint = Endpoint { name: "PLAINTEXT".to_string(), host: "broker".to_string(), port: 9092 };
        let mut ask = Ask { node: broker.node(), endpoint, asked: Vec::new() };
        ask.node.create_missing_topic("__consumer_offsets").unwrap();
        every_request(&mut ask);
        let never = SERVED.iter().filter(|api_key| !ask.asked.contains(api_key)).collect::<Vec<_>>();
        assert!(never.is_empty(), "{never:?} have no messages by chance");
        broker.shutdown().await;
    });
}

#[test]
fn the_table_is_in_the_order_of_the_keys() {
    assert!(SERVED.is_sorted(), "{SERVED:?}");
}
