//! A scripted broker in this process, for tests of faults: it answers what a test's closure says, in the order in which
//! requests come on a connection, and by itself only the question for versions.

use std::sync::Arc;
use std::time::Duration;

use anabranch_host::{Dialer, Host, in_process};
use anabranch_protocol::frame::take_frame;
use anabranch_protocol::messages::api_versions::{ApiVersion, ApiVersionsResponse, FinalizedFeatureKey};
use anabranch_protocol::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};
use anabranch_protocol::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use anabranch_protocol::{ApiKey, Decoder, Message, Request, RequestHeader, Uuid, encode_response};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What the broker does with a request.
pub(crate) enum Reply {
    /// Sends these bytes.
    Bytes(Bytes),
    /// Waits first, as a broker does that waits for replicas or members; what comes behind waits too.
    Later(Duration, Box<Reply>),
    /// Says nothing and goes on.
    Silence,
    /// Closes the connection.
    Close,
}

/// A request as it came.
pub(crate) struct Call {
    frame: Bytes,
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
}

impl Call {
    fn new(frame: Bytes, connection: usize) -> Self {
        let header = RequestHeader::decode(&mut Decoder::new(&frame)).expect("a client sends good headers");
        let key = ApiKey::from_i16(header.api_key).expect("a client calls known APIs");
        let (version, correlation_id) = (header.api_version, header.correlation_id);
        Call { frame, key, version, correlation_id, connection }
    }

    /// The request's message.
    pub(crate) fn decode<'a, R: Request<'a>>(&'a self) -> R {
        assert_eq!(R::KEY, self.key);
        let mut decoder = Decoder::new(&self.frame);
        RequestHeader::decode(&mut decoder).expect("decoded before");
        R::decode(&mut decoder, self.version).expect("a client sends good requests")
    }

    /// An answer to it.
    pub(crate) fn answer<'r>(&self, response: &impl Message<'r>) -> Reply {
        self.answer_version(response, self.version)
    }

    /// An answer in another version.
    pub(crate) fn answer_version<'r>(&self, response: &impl Message<'r>, version: i16) -> Reply {
        Reply::Bytes(encode_response(self.key, version, self.correlation_id, response).into_bytes())
    }

    /// What a broker of Kafka 4.3 answers to the question for versions.
    pub(crate) fn versions(&self) -> Reply {
        self.answer(&ApiVersionsResponse { api_keys: all_versions(), ..Default::default() })
    }

    /// The same where the cluster has switched a feature on.
    pub(crate) fn versions_and_feature(&self, name: &'static str, level: i16) -> Reply {
        let feature = FinalizedFeatureKey { name, max_version_level: level, min_version_level: level };
        self.answer(&ApiVersionsResponse {
            api_keys: all_versions(),
            finalized_features_epoch: 1,
            finalized_features: vec![feature],
            ..Default::default()
        })
    }

    /// That this broker coordinates whatever is asked for.
    pub(crate) fn coordinator(&self) -> Reply {
        let request: FindCoordinatorRequest<'_> = self.decode();
        let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
            key,
            node_id: 1,
            host: "fake",
            port: 9092,
            ..Default::default()
        });
        self.answer(&FindCoordinatorResponse { coordinators: coordinators.collect(), ..Default::default() })
    }

    /// One broker that leads every partition of `topics`.
    pub(crate) fn metadata(&self, topics: &[(&'static str, i32)]) -> Reply {
        let partition = |partition_index| MetadataResponsePartition {
            partition_index,
            leader_id: 1,
            leader_epoch: 0,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..Default::default()
        };
        let topic = |(name, partitions): &(&'static str, i32)| MetadataResponseTopic {
            name: Some(name),
            topic_id: topic_id(name),
            partitions: (0..*partitions).map(partition).collect(),
            ..Default::default()
        };
        self.answer(&MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: "fake",
                port: 9092,
                ..Default::default()
            }],
            controller_id: 1,
            topics: topics.iter().map(topic).collect(),
            ..Default::default()
        })
    }
}

/// The id that a topic of this name has.
pub(crate) fn topic_id(name: &str) -> Uuid {
    let mut id = [7; 16];
    for (byte, letter) in id.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    Uuid(id)
}

fn all_versions() -> Vec<ApiVersion> {
    let range = |key: &ApiKey| ApiVersion {
        api_key: i16::from(*key),
        min_version: *key.versions().start(),
        max_version: *key.versions().end(),
    };
    ApiKey::ALL.iter().map(range).collect()
}

/// Starts a broker whose answers `script` gives.
pub(crate) fn start(host: &Host, script: impl FnMut(&Call) -> Reply + Send + 'static) -> Dialer {
    let (listener, dialer) = in_process();
    let script = Arc::new(Mutex::new(script));
    let world = host.clone();
    host.spawn(async move {
        let mut connections = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let connection = connections;
            connections += 1;
            let script = Arc::clone(&script);
            let host = world.clone();
            world.spawn(async move {
                let mut arrived = BytesMut::new();
                loop {
                    while let Some(frame) =
                        take_frame(&mut arrived, usize::MAX).expect("a client sends frames")
                    {
                        let call = Call::new(frame, connection);
                        let mut reply = (script.lock())(&call);
                        while let Reply::Later(time, next) = reply {
                            host.sleep(time).await;
                            reply = *next;
                        }
                        match reply {
                            Reply::Bytes(bytes) if stream.write_all(&bytes).await.is_err() => return,
                            Reply::Close => return,
                            _ => {}
                        }
                    }
                    if !matches!(stream.read_buf(&mut arrived).await, Ok(1..)) {
                        return;
                    }
                }
            });
        }
    });
    dialer
}
