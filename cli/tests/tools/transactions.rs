//! `anabranch transactions`: what it shows of an open transaction, and that it ends it.

use anabranch_client::{Client, ClientConfig, Producer, ProducerConfig, ProducerRecord};
use anabranch_host::Host;

use super::Server;

/// Leaves a transaction open, with a record in partition 0 of `topic`.
fn leave_open(server: &Server, transactional_id: &str, topic: &str) {
    let (host, runtime) = Host::real(1).unwrap();
    runtime.block_on(async {
        let keys = [("bootstrap.servers", server.address.as_str())];
        let client =
            Client::connect(&host, host.dialer(), ClientConfig::from_pairs(keys).unwrap()).await.unwrap();
        let keys = [("transactional.id", transactional_id)];
        let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
        producer.init_transactions().await.unwrap();
        producer.begin_transaction().unwrap();
        let record = ProducerRecord { partition: Some(0), ..ProducerRecord::new(topic).value("v") };
        producer.send(record).await.unwrap().await.unwrap();
    });
}

/// A row of a table, its cells trimmed.
fn row(table: &str, number: usize) -> Vec<&str> {
    let line = table.lines().nth(number).unwrap_or_else(|| panic!("no row {number}: {table}"));
    line.trim_end_matches('\t').split('\t').map(str::trim_end).collect()
}

#[test]
fn an_open_transaction_is_seen_and_ended() {
    let server = Server::start();
    server.tool(&["topics", "--create", "--topic", "t", "--partitions", "2"]);
    leave_open(&server, "id-a", "t");
    leave_open(&server, "id-b", "t");

    let listed = server.tool(&["transactions", "list"]);
    assert_eq!(row(&listed, 0), ["TransactionalId", "Coordinator", "ProducerId", "TransactionState"]);
    assert_eq!((row(&listed, 1)[0], row(&listed, 2)[3]), ("id-a", "Ongoing"));
    let some = server.tool(&["transactions", "list", "--transactional-id-pattern", ".*-b"]);
    assert_eq!((row(&some, 1)[0], some.lines().count()), ("id-b", 2));
    let lasting = server.tool(&["transactions", "list", "--duration-filter", "3600000"]);
    assert_eq!(lasting.lines().count(), 1);
    let described = server.tool(&["transactions", "describe", "--transactional-id", "id-a"]);
    let (names, values) = (row(&described, 0), row(&described, 1));
    assert_eq!((names[8], values[8], values[4], values[5]), ("TopicPartitions", "t-0", "Ongoing", "60000"));
    let json = server.tool(&["transactions", "describe", "--transactional-id", "id-a", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["topic_partitions"], serde_json::json!(["t-0"]));
    assert_eq!(
        server.refusal(&["transactions", "describe", "--transactional-id", "id-c"]),
        "anabranch: describing transaction id-c: TRANSACTIONAL_ID_NOT_FOUND (105)"
    );

    let on = ["--topic", "t", "--partition", "0"];
    let producers = server.tool(&[&["transactions", "describe-producers"], &on[..]].concat());
    assert_eq!((row(&producers, 0)[5], row(&producers, 1)[5]), ("CurrentTransactionStartOffset", "0"));
    let same = server.tool(&[&["transactions", "describe-producers", "--broker-id", "1"], &on[..]].concat());
    assert_eq!(same, producers);
    let elsewhere = [&["transactions", "describe-producers", "--broker-id", "9"], &on[..]].concat();
    assert_eq!(server.refusal(&elsewhere), "anabranch: there is no broker 9");
    // The coordinator knows them, so they do not hang, however long they are open.
    let hanging =
        server.tool(&["transactions", "find-hanging", "--broker-id", "1", "--max-transaction-timeout", "0"]);
    assert_eq!((row(&hanging, 0)[7], hanging.lines().count()), ("Duration(min)", 1));

    let abort = [&["transactions", "abort"], &on[..]].concat();
    assert!(server.refusal(&abort).contains("--start-offset"));
    assert!(server.refusal(&[&abort[..], &["--start-offset", "7"]].concat()).contains("offset 7 of t-0"));
    assert_eq!(server.tool(&[&abort[..], &["--start-offset", "0"]].concat()), "");
    let (id, epoch) = (row(&producers, 2)[0], row(&producers, 2)[1]);
    let by_producer = ["--producer-id", id, "--producer-epoch", epoch, "--coordinator-epoch", "-1"];
    server.tool(&[&abort[..], &by_producer[..]].concat());
    let producers = server.tool(&[&["transactions", "describe-producers"], &on[..]].concat());
    assert_eq!((row(&producers, 1)[5], row(&producers, 2)[5]), ("None", "None"));

    server.tool(&["transactions", "forceTerminateTransaction", "--transactionalId", "id-a"]);
    let ended = server.tool(&["transactions", "list", "--transactional-id-pattern", "id-a"]);
    assert_ne!(row(&ended, 1)[3], "Ongoing");
}
