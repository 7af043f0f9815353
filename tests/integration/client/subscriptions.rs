//! Members of groups: how topics are chosen, and how Kafka's assignors move partitions.

use std::collections::BTreeSet;
use std::time::Duration;

use anabranch_client::{Client, Consumer, ErrorKind, RebalanceEvent, TopicPartition};

use super::consumer::{consumer, partitions, poll_both};
use super::{Cluster, on_each_cluster};

fn member(client: &Client, group: &str, assignor: &str) -> Consumer {
    let keys = [
        ("group.id", group),
        ("partition.assignment.strategy", assignor),
        ("auto.offset.reset", "earliest"),
        ("heartbeat.interval.ms", "100"),
        ("session.timeout.ms", "6000"),
    ];
    consumer(client, &keys)
}

/// All partitions, each once, evenly.
fn is_shared(owned: &[Vec<TopicPartition>], all: &[TopicPartition]) -> bool {
    let given: Vec<_> = owned.iter().flatten().collect();
    let sizes: BTreeSet<_> = owned.iter().map(Vec::len).collect();
    given.len() == all.len()
        && given.iter().copied().collect::<BTreeSet<_>>().len() == all.len()
        && sizes.last().unwrap() - sizes.first().unwrap() <= 1
}

async fn check(cluster: &Cluster, assignor: &str, is_cooperative: bool) {
    let client = cluster.client().await;
    let (topic, group) = (cluster.topic(&client, assignor, 6).await, cluster.name(assignor));
    let all = partitions(&topic, 6);
    let [mut one, mut two, mut three] = [(); 3].map(|()| member(&client, &group, assignor));
    one.subscribe([&topic]).unwrap();
    poll_both(cluster, &mut [&mut one], "one has all", |owned| owned[0] == all).await;
    two.subscribe([&topic]).unwrap();
    let events =
        poll_both(cluster, &mut [&mut one, &mut two], "both share", |owned| is_shared(owned, &all)).await;
    let first_half: BTreeSet<_> = one.assignment().into_iter().collect();
    let revoked: usize = events[0]
        .iter()
        .map(|event| if let RebalanceEvent::Revoked(partitions) = event { partitions.len() } else { 0 })
        .sum();
    // One that comes later takes from both what it needs, and nothing else moves.
    three.subscribe([&topic]).unwrap();
    poll_both(cluster, &mut [&mut one, &mut two, &mut three], "all share", |owned| is_shared(owned, &all))
        .await;
    if assignor != "roundrobin" {
        assert_eq!(revoked, if is_cooperative { 3 } else { 6 }, "on {}: {assignor}", cluster.name);
        assert!(one.assignment().iter().all(|name| first_half.contains(name)), "it keeps what it has");
    }
    // One that goes leaves its own to the others, who keep theirs.
    let before: BTreeSet<_> = two.assignment().into_iter().collect();
    one.close().await.unwrap();
    poll_both(cluster, &mut [&mut two, &mut three], "both share again", |owned| is_shared(owned, &all)).await;
    if assignor != "roundrobin" {
        let after: BTreeSet<_> = two.assignment().into_iter().collect();
        assert!(before.is_subset(&after), "{before:?} {after:?}");
    }
    two.close().await.unwrap();
    three.close().await.unwrap();
}

#[test]
fn sticky_members_get_back_what_they_had() {
    on_each_cluster(async |cluster| check(cluster, "sticky", false).await);
}

#[test]
fn cooperative_members_let_go_of_what_moves() {
    on_each_cluster(async |cluster| check(cluster, "cooperative-sticky", true).await);
}

#[test]
fn partitions_are_dealt_out_in_turn() {
    on_each_cluster(async |cluster| check(cluster, "roundrobin", false).await);
}

#[test]
fn topics_are_chosen_by_what_their_names_match() {
    on_each_cluster(async |cluster| {
        let client = cluster.client_with(&[("metadata.max.age.ms", "100")]).await;
        let (first, other) =
            (cluster.topic(&client, "match-1", 1).await, cluster.topic(&client, "other", 1).await);
        let mut consumer = member(&client, &cluster.name("matching"), "range");
        let (prefix, own) = (cluster.name("match-"), cluster.name(""));
        let prefix = prefix.trim_end_matches(own.as_str()).to_string();
        let wanted = move |name: &str| name.starts_with(&prefix) && name.ends_with(&own);
        consumer.subscribe_matching(wanted).unwrap();
        let error = consumer.assign(&partitions(&other, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let expected = partitions(&first, 1);
        poll_both(cluster, &mut [&mut consumer], "it has the one", |owned| owned[0] == expected).await;
        // One that comes later.
        let second = cluster.topic(&client, "match-2", 1).await;
        let expected = [partitions(&first, 1), partitions(&second, 1)].concat();
        poll_both(cluster, &mut [&mut consumer], "it has both", |owned| owned[0] == expected).await;
        // By name again.
        consumer.subscribe([&other]).unwrap();
        let expected = partitions(&other, 1);
        poll_both(cluster, &mut [&mut consumer], "it has the other", |owned| owned[0] == expected).await;
        consumer.unsubscribe();
        assert!(consumer.poll(Duration::from_millis(20)).await.unwrap().records.is_empty());
        consumer.close().await.unwrap();
    });
}

#[test]
fn a_member_may_wait_for_its_first_topic() {
    on_each_cluster(async |cluster| {
        let client = cluster.client_with(&[("metadata.max.age.ms", "100")]).await;
        let mut consumer = member(&client, &cluster.name("awaiting"), "range");
        let (prefix, own) = (cluster.name("await-"), cluster.name(""));
        let prefix = prefix.trim_end_matches(own.as_str()).to_string();
        let wanted = move |name: &str| name.starts_with(&prefix) && name.ends_with(&own);
        consumer.subscribe_matching(wanted).unwrap();
        loop {
            let events = consumer.poll(Duration::from_millis(20)).await.unwrap().events;
            if let Some(RebalanceEvent::Assigned { partitions, .. }) = events.first() {
                assert!(partitions.is_empty(), "{partitions:?}");
                break;
            }
        }
        let topic = cluster.topic(&client, "await-1", 2).await;
        let expected = partitions(&topic, 2);
        poll_both(cluster, &mut [&mut consumer], "it has the topic", |owned| owned[0] == expected).await;
        consumer.close().await.unwrap();
    });
}
