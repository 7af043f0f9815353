//! Incremental fetch sessions over the wire (KIP-227).

use anabranch_protocol::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
};
use anabranch_protocol::records::Compression;
use anabranch_protocol::{ErrorCode, Uuid};

use super::topics::create;
use super::{Raw, batch, produce, with_broker};

fn request<'a>(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest<'a> {
    let partition = |(partition, fetch_offset): &(i32, i64)| FetchPartition {
        partition: *partition,
        fetch_offset: *fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    let topic = FetchTopic {
        topic: "t",
        topic_id: Uuid::ZERO,
        partitions: partitions.iter().map(partition).collect(),
    };
    let topics = if partitions.is_empty() { Vec::new() } else { vec![topic] };
    FetchRequest { session_id, session_epoch, min_bytes: 1, topics, ..Default::default() }
}

/// The session's id, the error, and which partitions were answered.
async fn call(raw: &mut Raw, request: &FetchRequest<'_>) -> (i32, ErrorCode, Vec<i32>) {
    let answer = raw.call(11, request).await;
    let response: FetchResponse<'_> = answer.decode();
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    (
        response.session_id,
        response.error_code,
        partitions.map(|partition| partition.partition_index).collect(),
    )
}

#[test]
fn a_session_answers_only_what_changed() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 3, &[]).await;
        let none = ErrorCode::NONE;
        let (id, error_code, shown) = call(&mut raw, &request(0, 0, &[(0, 0), (1, 0), (2, 0)])).await;
        assert_ne!(id, 0);
        assert_eq!((error_code, shown), (none, vec![0, 1, 2]), "the first answer shows everything");
        assert_eq!(call(&mut raw, &request(id, 1, &[])).await, (id, none, vec![]));
        produce(&mut raw, "t", batch(Compression::None, &["a"])).await;
        assert_eq!(call(&mut raw, &request(id, 2, &[])).await, (id, none, vec![0]));
        assert_eq!(call(&mut raw, &request(id, 3, &[(0, 1)])).await, (id, none, vec![]));
        // An unknown partition is an error every time.
        assert_eq!(call(&mut raw, &request(id, 4, &[(7, 0)])).await, (id, none, vec![7]));
        assert_eq!(call(&mut raw, &request(id, 5, &[])).await, (id, none, vec![7]));
        let forgotten = ForgottenTopic { topic: "t", topic_id: Uuid::ZERO, partitions: vec![7] };
        let forget = FetchRequest { forgotten_topics_data: vec![forgotten], ..request(id, 6, &[]) };
        assert_eq!(call(&mut raw, &forget).await, (id, none, vec![]));
    });
}

#[test]
fn wrong_ids_and_epochs_are_errors_of_the_whole_answer() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let (id, ..) = call(&mut raw, &request(0, 0, &[(0, 0)])).await;
        let not_found = (0, ErrorCode::FETCH_SESSION_ID_NOT_FOUND, vec![]);
        assert_eq!(call(&mut raw, &request(id ^ 1, 1, &[])).await, not_found);
        let wrong_epoch = (0, ErrorCode::INVALID_FETCH_SESSION_EPOCH, vec![]);
        assert_eq!(call(&mut raw, &request(id, 2, &[])).await, wrong_epoch);
        assert_eq!(
            call(&mut raw, &request(id, -1, &[(0, 0)])).await,
            (0, ErrorCode::NONE, vec![0]),
            "the last fetch"
        );
        assert_eq!(call(&mut raw, &request(id, 1, &[])).await, not_found);
    });
}

#[test]
fn without_room_for_sessions_whole_fetches_work() {
    with_broker("max.incremental.fetch.session.cache.slots=0", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        for _ in 0..2 {
            assert_eq!(call(&mut raw, &request(0, 0, &[(0, 0)])).await, (0, ErrorCode::NONE, vec![0]));
        }
    });
}
