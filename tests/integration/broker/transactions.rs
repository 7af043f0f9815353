//! Transactions: both protocols, what readers see, fencing, offsets of groups, and what tools ask.

use std::time::Duration;

use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::Host;
use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use anabranch_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
};
use anabranch_protocol::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, TopicRequest,
};
use anabranch_protocol::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse,
};
use anabranch_protocol::messages::find_coordinator::FindCoordinatorRequest;
use anabranch_protocol::messages::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use anabranch_protocol::messages::produce::{ProduceRequest, ProduceResponse};
use anabranch_protocol::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use anabranch_protocol::records::{Compression, seal, set_producer};

use super::topics::create;
use super::transactional::{
    add, commit_offset, commit_offset_as, committed, end, find_coordinator, in_transaction, init, init_again,
    latest, offset, send, try_init,
};
use super::{Raw, batch, produce, produce_request, with_broker};
use bytes::BytesMut;

#[test]
fn in_the_newer_protocol_the_epoch_rises_with_every_transaction() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let first = init(&mut raw, "x").await;
        assert_eq!(first.1, 0);
        produce(&mut raw, "t", batch(Compression::None, &["before"])).await;
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(first, 0, &["a", "b"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        assert_eq!(committed(&mut raw, "t").await, (vec!["before".to_string()], 1, 3));
        assert_eq!((latest(&mut raw, "t", 0).await, latest(&mut raw, "t", 1).await), (3, 1));
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(first, 2, &["c"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        let second = end(&mut raw, 5, "x", first, true).await.unwrap();
        assert_eq!(second, (first.0, 1));
        let (values, last_stable_offset, high_watermark) = committed(&mut raw, "t").await;
        assert_eq!(values, ["before", "a", "b", "c"]);
        assert_eq!((last_stable_offset, high_watermark), (5, 5), "the marker has an offset");
        assert_eq!(end(&mut raw, 5, "x", first, true).await, Ok(second), "sent again");
        assert_eq!(end(&mut raw, 5, "x", first, false).await, Err(ErrorCode::INVALID_TXN_STATE));

        // What comes late of the transaction before is fenced.
        let late = send(&mut raw, 12, Some("x"), "t", in_transaction(first, 3, &["late"])).await;
        assert_eq!(late, ErrorCode::INVALID_PRODUCER_EPOCH);
        let gap = send(&mut raw, 12, Some("x"), "t", in_transaction(second, 4, &["gap"])).await;
        assert_eq!(gap, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(second, 0, &["not", "this"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        let third = end(&mut raw, 5, "x", second, false).await.unwrap();
        assert_eq!(third, (first.0, 2));
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(third, 0, &["d"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        end(&mut raw, 5, "x", third, true).await.unwrap();
        let (values, ..) = committed(&mut raw, "t").await;
        assert_eq!(values, ["before", "a", "b", "c", "d"]);
    });
}

/// Nobody is asked about it, and whatever else is wrong with it does not matter; but that it is one batch does.
#[test]
fn a_batch_of_an_epoch_that_has_passed_is_refused_before_anything_else() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let first = init(&mut raw, "x").await;
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(first, 0, &["a"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        end(&mut raw, 5, "x", first, true).await.unwrap();
        let no_sequence = in_transaction(first, -1, &["late"]);
        let mut damaged = in_transaction(first, 1, &["late"]);
        damaged[66] ^= 1;
        let late = in_transaction(first, 1, &["late"]);
        let two = BytesMut::from(&[&late[..], &late[..]].concat()[..]);
        for version in [3, 9, 11, 12] {
            for (what, records, acks, expected) in [
                ("late", &late, -1, ErrorCode::INVALID_PRODUCER_EPOCH),
                ("late, with unknown acks", &late, 7, ErrorCode::INVALID_PRODUCER_EPOCH),
                ("without a sequence number", &no_sequence, -1, ErrorCode::INVALID_PRODUCER_EPOCH),
                ("damaged", &damaged, -1, ErrorCode::INVALID_PRODUCER_EPOCH),
                ("two batches", &two, -1, ErrorCode::INVALID_RECORD),
            ] {
                let request = ProduceRequest {
                    transactional_id: Some("x"),
                    ..produce_request("t", acks, records.clone().freeze())
                };
                let answer = raw.call(version, &request).await;
                let response: ProduceResponse<'_> = answer.decode();
                let told = &response.responses[0].partition_responses[0];
                let told = (told.error_code, told.base_offset, told.log_start_offset);
                assert_eq!(told, (expected, -1, -1), "{what}, version {version}");
            }
        }
    });
}

#[test]
fn in_the_older_protocol_partitions_are_added_before_they_are_written_to() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let me = init(&mut raw, "x").await;
        // Not added: each version hears what it knows.
        for (version, error_code) in
            [(9, ErrorCode::INVALID_TXN_STATE), (11, ErrorCode::TRANSACTION_ABORTABLE)]
        {
            let sent = send(&mut raw, version, Some("x"), "t", in_transaction(me, 0, &["a"])).await;
            assert_eq!(sent, error_code, "version {version}");
        }
        let sent = send(&mut raw, 9, None, "t", in_transaction(me, 0, &["a"])).await;
        assert_eq!(
            sent,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "without a transactional id nobody can be asked"
        );
        let unknown = add(&mut raw, 3, "x", me, "nowhere").await;
        assert_eq!(unknown, [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION]);
        assert_eq!(add(&mut raw, 3, "x", me, "t").await, [ErrorCode::NONE]);
        for sequence in 0..2 {
            let sent = send(&mut raw, 9, Some("x"), "t", in_transaction(me, sequence, &["a"])).await;
            assert_eq!(sent, ErrorCode::NONE);
        }
        let outside = send(&mut raw, 9, None, "t", {
            let mut outside = batch(Compression::None, &["outside"]);
            set_producer(&mut outside, me.0, me.1, 2);
            seal(&mut outside);
            outside
        });
        assert_eq!(outside.await, ErrorCode::INVALID_TXN_STATE);
        assert_eq!(committed(&mut raw, "t").await, (vec![], 0, 2));
        end(&mut raw, 3, "x", me, true).await.unwrap();
        end(&mut raw, 3, "x", me, true).await.unwrap();
        assert_eq!(end(&mut raw, 3, "x", me, false).await, Err(ErrorCode::INVALID_TXN_STATE));
        assert_eq!(committed(&mut raw, "t").await, (vec!["a".to_string(), "a".to_string()], 3, 3));
        // The next one, with the same epoch and sequence numbers that go on.
        assert_eq!(add(&mut raw, 3, "x", me, "t").await, [ErrorCode::NONE]);
        let sent = send(&mut raw, 9, Some("x"), "t", in_transaction(me, 2, &["b"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        end(&mut raw, 3, "x", me, false).await.unwrap();
        assert_eq!(committed(&mut raw, "t").await.0, ["a", "a"]);
    });
}

#[test]
fn all_partitions_are_added_or_none_and_brokers_may_only_ask() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 2, &[]).await;
        let me = init(&mut raw, "x").await;
        let topics = |partitions| vec![AddPartitionsToTxnTopic { name: "t", partitions }];
        let transaction = |transactional_id, verify_only, partitions| AddPartitionsToTxnTransaction {
            transactional_id,
            producer_id: me.0,
            producer_epoch: me.1,
            verify_only,
            topics: topics(partitions),
        };
        let request = AddPartitionsToTxnRequest {
            transactions: vec![
                transaction("x", false, vec![0, 7]),
                transaction("x", true, vec![0]),
                transaction("x", false, vec![0]),
                transaction("x", true, vec![0, 1]),
                transaction("stranger", true, vec![0]),
                transaction("", true, vec![0]),
            ],
            ..Default::default()
        };
        let answer = raw.call(5, &request).await;
        let response: AddPartitionsToTxnResponse<'_> = answer.decode();
        let errors: Vec<Vec<_>> = response
            .results_by_transaction
            .iter()
            .map(|result| {
                let partitions = result.topic_results.iter().flat_map(|topic| &topic.results_by_partition);
                partitions.map(|partition| partition.partition_error_code).collect()
            })
            .collect();
        let expected = [
            vec![ErrorCode::OPERATION_NOT_ATTEMPTED, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION],
            vec![ErrorCode::TRANSACTION_ABORTABLE],
            vec![ErrorCode::NONE],
            vec![ErrorCode::NONE, ErrorCode::TRANSACTION_ABORTABLE],
            vec![ErrorCode::INVALID_PRODUCER_ID_MAPPING],
            vec![ErrorCode::INVALID_REQUEST],
        ];
        assert_eq!(errors, expected);
    });
}

#[test]
fn whoever_takes_an_id_over_fences_the_one_before_in_words_it_knows() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let old = init(&mut raw, "x").await;
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(old, 0, &["old"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        assert_eq!(
            try_init(&mut raw, 5, "x", 60_000, (-1, -1)).await,
            Err(ErrorCode::CONCURRENT_TRANSACTIONS),
            "the open transaction is aborted first"
        );
        let new = init_again(&mut raw, host, "x").await;
        assert_eq!(new, (old.0, 2), "one epoch fences, the next is the new producer's");
        assert_eq!(committed(&mut raw, "t").await, (vec![], 2, 2));
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(old, 1, &["zombie"])).await;
        assert_eq!(sent, ErrorCode::INVALID_PRODUCER_EPOCH);
        for (version, error_code) in [(1, ErrorCode::INVALID_PRODUCER_EPOCH), (2, ErrorCode::PRODUCER_FENCED)]
        {
            assert_eq!(end(&mut raw, version, "x", old, true).await, Err(error_code), "EndTxn {version}");
            assert_eq!(add(&mut raw, version, "x", old, "t").await, [error_code], "{version}");
            let request = AddOffsetsToTxnRequest {
                transactional_id: "x",
                producer_id: old.0,
                producer_epoch: old.1,
                group_id: "g",
            };
            let answer = raw.call(version, &request).await;
            assert_eq!(answer.decode::<AddOffsetsToTxnResponse>().error_code, error_code);
        }
        for (version, error_code) in [(3, ErrorCode::INVALID_PRODUCER_EPOCH), (4, ErrorCode::PRODUCER_FENCED)]
        {
            assert_eq!(try_init(&mut raw, version, "x", 60_000, old).await, Err(error_code));
        }
        for (timeout_ms, identity, error_code) in [
            (0, (-1, -1), ErrorCode::INVALID_TRANSACTION_TIMEOUT),
            (900_001, (-1, -1), ErrorCode::INVALID_TRANSACTION_TIMEOUT),
            (1000, (-1, 3), ErrorCode::INVALID_REQUEST),
            (1000, (3, -1), ErrorCode::INVALID_REQUEST),
        ] {
            assert_eq!(try_init(&mut raw, 5, "x", timeout_ms, identity).await, Err(error_code));
        }
        assert_eq!(try_init(&mut raw, 5, "", 1000, (-1, -1)).await, Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(
            end(&mut raw, 5, "stranger", old, true).await,
            Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING)
        );
        assert_eq!(end(&mut raw, 5, "", old, true).await, Err(ErrorCode::INVALID_REQUEST));
    });
}

#[test]
fn offsets_count_when_their_transaction_is_committed() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let request =
            FindCoordinatorRequest { key_type: 0, coordinator_keys: vec!["g"], ..Default::default() };
        raw.call(4, &request).await;
        let mut me = init(&mut raw, "x").await;
        assert_eq!(commit_offset(&mut raw, 3, me, -1, 5).await, ErrorCode::INVALID_TXN_STATE, "not added");
        assert_eq!(commit_offset(&mut raw, 4, me, -1, 5).await, ErrorCode::TRANSACTION_ABORTABLE);
        assert_eq!(
            commit_offset(&mut raw, 5, me, 3, 5).await,
            ErrorCode::ILLEGAL_GENERATION,
            "no such group"
        );
        assert_eq!(commit_offset(&mut raw, 5, me, -1, 5).await, ErrorCode::NONE, "added by this itself");
        assert_eq!(offset(&mut raw, false).await, Ok(-1));
        assert_eq!(offset(&mut raw, true).await, Err(ErrorCode::UNSTABLE_OFFSET_COMMIT));
        me = end(&mut raw, 5, "x", me, true).await.unwrap();
        assert_eq!(offset(&mut raw, true).await, Ok(5));
        assert_eq!(commit_offset(&mut raw, 5, me, -1, 9).await, ErrorCode::NONE);
        me = end(&mut raw, 5, "x", me, false).await.unwrap();
        assert_eq!(offset(&mut raw, true).await, Ok(5));
        // The older protocol.
        let request = AddOffsetsToTxnRequest {
            transactional_id: "x",
            producer_id: me.0,
            producer_epoch: me.1,
            group_id: "g",
        };
        let answer = raw.call(3, &request).await;
        assert_eq!(answer.decode::<AddOffsetsToTxnResponse>().error_code, ErrorCode::NONE);
        assert_eq!(commit_offset(&mut raw, 3, me, -1, 11).await, ErrorCode::NONE);
        end(&mut raw, 3, "x", me, true).await.unwrap();
        assert_eq!(offset(&mut raw, true).await, Ok(11));
        let zombie = (me.0, me.1 - 1);
        assert_eq!(commit_offset(&mut raw, 5, zombie, -1, 1).await, ErrorCode::INVALID_PRODUCER_EPOCH);
    });
}

#[test]
fn offsets_of_an_epoch_that_has_passed_are_refused_before_anybody_is_asked() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        raw.call(4, &FindCoordinatorRequest { coordinator_keys: vec!["g"], ..Default::default() }).await;
        let first = init(&mut raw, "x").await;
        assert_eq!(commit_offset(&mut raw, 5, first, -1, 1).await, ErrorCode::NONE);
        init_again(&mut raw, host, "x").await;
        for (version, id) in [(3, "x"), (3, "nobody"), (5, "x"), (5, "nobody")] {
            let told = commit_offset_as(&mut raw, version, id, first, -1, 2).await;
            assert_eq!(told, ErrorCode::INVALID_PRODUCER_EPOCH, "version {version}, {id}");
        }
        let told = commit_offset_as(&mut raw, 5, "nobody", (first.0, first.1 + 9), -1, 2).await;
        assert_eq!(told, ErrorCode::INVALID_PRODUCER_ID_MAPPING);
    });
}

#[test]
fn a_transaction_whose_time_is_up_is_aborted() {
    let quick = "transaction.abort.timed.out.transaction.cleanup.interval.ms=20";
    with_broker(quick, async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        find_coordinator(&mut raw, "x").await;
        let me = try_init(&mut raw, 5, "x", 1, (-1, -1)).await.unwrap();
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(me, 0, &["slow"])).await;
        assert_eq!(sent, ErrorCode::NONE);
        while committed(&mut raw, "t").await.1 == 0 {
            host.sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(committed(&mut raw, "t").await, (vec![], 2, 2));
        let sent = send(&mut raw, 12, Some("x"), "t", in_transaction(me, 1, &["late"])).await;
        assert_eq!(sent, ErrorCode::INVALID_PRODUCER_EPOCH);
        assert_eq!(end(&mut raw, 5, "x", me, true).await, Err(ErrorCode::INVALID_TXN_STATE));
        // It may give up what was given up for it.
        assert_eq!(end(&mut raw, 5, "x", me, false).await, Ok((me.0, me.1 + 1)));
    });
}

#[test]
fn tools_see_transactions_and_end_those_that_hang() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let me = init(&mut raw, "x").await;
        let idle = init(&mut raw, "idle-1").await;
        send(&mut raw, 12, Some("x"), "t", in_transaction(me, 0, &["a", "b"])).await;

        let request = DescribeTransactionsRequest { transactional_ids: vec!["x", "nobody", ""] };
        let answer = raw.call(0, &request).await;
        let response: DescribeTransactionsResponse<'_> = answer.decode();
        let [x, nobody, empty] = &response.transaction_states[..] else { panic!("{response:?}") };
        assert_eq!((x.transaction_state, x.transaction_timeout_ms), ("Ongoing", 60_000));
        assert_eq!((x.producer_id, x.producer_epoch, x.topics[0].topic), (me.0, me.1, "t"));
        assert!(x.transaction_start_time_ms > 0);
        assert_eq!(nobody.error_code, ErrorCode::TRANSACTIONAL_ID_NOT_FOUND);
        assert_eq!(empty.error_code, ErrorCode::INVALID_REQUEST);

        let mut list = async |request: ListTransactionsRequest<'static>| {
            let answer = raw.call(2, &request).await;
            let response: ListTransactionsResponse<'_> = answer.decode();
            let listed = response.transaction_states.iter().map(|state| state.transactional_id.to_string());
            let unknown = response.unknown_state_filters.join(" ");
            (response.error_code, listed.collect::<Vec<_>>().join(" "), unknown)
        };
        let none = || ListTransactionsRequest::default();
        let ok = |listed: &str, unknown: &str| (ErrorCode::NONE, listed.to_string(), unknown.to_string());
        let by_state = |state_filters| ListTransactionsRequest { state_filters, ..none() };
        let by_pattern =
            |pattern| ListTransactionsRequest { transactional_id_pattern: Some(pattern), ..none() };
        assert_eq!(list(none()).await, ok("idle-1 x", ""));
        assert_eq!(list(by_state(vec!["Ongoing"])).await, ok("x", ""));
        assert_eq!(list(by_state(vec!["Nonsense"])).await, ok("", "Nonsense"));
        assert_eq!(list(by_state(vec!["Dead"])).await, ok("", ""));
        let by_producer = ListTransactionsRequest { producer_id_filters: vec![idle.0], ..none() };
        assert_eq!(list(by_producer).await, ok("idle-1", ""));
        assert_eq!(list(by_pattern("idle-[0-9]")).await, ok("idle-1", ""));
        assert_eq!(list(by_pattern("idle")).await, ok("", ""), "all of the id must match");
        assert_eq!(list(by_pattern("")).await, ok("idle-1 x", ""));
        let bad = (ErrorCode::INVALID_REGULAR_EXPRESSION, String::new(), String::new());
        assert_eq!(list(by_pattern("(")).await, bad);

        let topics = vec![
            TopicRequest { name: "t", partition_indexes: vec![0, 5] },
            TopicRequest { name: "nowhere", partition_indexes: vec![0] },
        ];
        let answer = raw.call(0, &DescribeProducersRequest { topics }).await;
        let response: DescribeProducersResponse<'_> = answer.decode();
        let partitions: Vec<_> = response.topics.iter().flat_map(|topic| &topic.partitions).collect();
        let [found, missing, nowhere] = partitions[..] else { panic!("{response:?}") };
        let producer = &found.active_producers[0];
        assert_eq!((producer.producer_id, producer.producer_epoch), (me.0, i32::from(me.1)));
        assert_eq!((producer.last_sequence, producer.current_txn_start_offset), (1, 0));
        assert_eq!(missing.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(nowhere.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);

        let mut abort = async |producer_epoch, transaction_version| {
            let topics = vec![
                WritableTxnMarkerTopic { name: "t", partition_indexes: vec![0] },
                WritableTxnMarkerTopic { name: "nowhere", partition_indexes: vec![0] },
            ];
            let marker = WritableTxnMarker {
                producer_id: me.0,
                producer_epoch,
                transaction_result: false,
                topics,
                coordinator_epoch: 0,
                transaction_version,
            };
            let answer = raw.call(2, &WriteTxnMarkersRequest { markers: vec![marker] }).await;
            let response: WriteTxnMarkersResponse<'_> = answer.decode();
            let topics = response.markers[0].topics.iter();
            topics.map(|topic| topic.partitions[0].error_code).collect::<Vec<_>>()
        };
        let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        assert_eq!(
            abort(me.1, 2).await,
            [ErrorCode::INVALID_PRODUCER_EPOCH, unknown],
            "its epoch must be newer"
        );
        assert_eq!(abort(-1, 0).await, [ErrorCode::INVALID_REQUEST, unknown], "nobody's");
        assert_eq!(abort(me.1, 0).await, [ErrorCode::NONE, unknown], "as the tool aborts a hanging one");
        assert_eq!(committed(&mut raw, "t").await, (vec![], 3, 3));
    });
}

#[test]
fn no_batch_takes_the_place_of_one_before_it_whose_transaction_is_not_known_yet() {
    with_broker("", async |host, broker| {
        let mut raw = Raw::connect(host, broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let me = init(&mut raw, "x").await;
        let early = send(&mut raw, 10, Some("x"), "t", in_transaction(me, 0, &["a"])).await;
        assert_eq!(early, ErrorCode::INVALID_TXN_STATE);
        add(&mut raw, 3, "x", me, "t").await;
        let next = send(&mut raw, 10, Some("x"), "t", in_transaction(me, 1, &["b"])).await;
        assert_eq!(next, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, "0 is missing");
        for (sequence, value) in [(0, "a"), (1, "b")] {
            let sent = send(&mut raw, 10, Some("x"), "t", in_transaction(me, sequence, &[value])).await;
            assert_eq!(sent, ErrorCode::NONE, "{value}");
        }
        end(&mut raw, 4, "x", me, true).await.unwrap();
        assert_eq!(committed(&mut raw, "t").await.0, ["a", "b"]);
    });
}

#[test]
fn transactions_go_on_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (host, runtime) = Host::real(2).unwrap();
    let config = BrokerConfig::from_pairs([("log.dirs", directory.path().to_str().unwrap())]).unwrap();
    runtime.block_on(async {
        let broker = EmbeddedBroker::start(host.clone(), config.clone()).await.unwrap();
        let mut raw = Raw::connect(&host, &broker).await;
        create(&mut raw, "t", 1, &[]).await;
        let aborted = init(&mut raw, "aborted").await;
        send(&mut raw, 12, Some("aborted"), "t", in_transaction(aborted, 0, &["no"])).await;
        end(&mut raw, 5, "aborted", aborted, false).await.unwrap();
        let open = init(&mut raw, "open").await;
        send(&mut raw, 12, Some("open"), "t", in_transaction(open, 0, &["a"])).await;
        broker.shutdown().await;

        let broker = EmbeddedBroker::start(host.clone(), config.clone()).await.unwrap();
        let mut raw = Raw::connect(&host, &broker).await;
        assert_eq!(committed(&mut raw, "t").await, (vec![], 2, 3));
        // The coordinator may still be loading, which a client waits for.
        let mut sent = ErrorCode::NOT_ENOUGH_REPLICAS;
        while sent == ErrorCode::NOT_ENOUGH_REPLICAS {
            sent = send(&mut raw, 12, Some("open"), "t", in_transaction(open, 1, &["b"])).await;
        }
        assert_eq!(sent, ErrorCode::NONE);
        while end(&mut raw, 5, "open", open, true).await.is_err() {
            host.sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(committed(&mut raw, "t").await.0, ["a", "b"]);
        broker.shutdown().await;

        let broker = EmbeddedBroker::start(host.clone(), config).await.unwrap();
        let mut raw = Raw::connect(&host, &broker).await;
        assert_eq!(committed(&mut raw, "t").await.0, ["a", "b"], "the aborted one is still known as such");
        broker.shutdown().await;
    });
}
