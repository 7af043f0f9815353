//! Repartition topics keep what is not processed yet, and no more.

use std::collections::BTreeMap;
use std::time::Duration;

use anabranch::prelude::*;
use anabranch_client::{Client, IsolationLevel, OffsetSpec, TopicPartition};

use super::outside::Outside;
use super::{App, count, counted, expected};

/// Where a repartition topic begins and ends, summed over its partitions.
async fn bounds(client: &Client, topic: &str) -> (i64, i64) {
    let of = async |spec: OffsetSpec| {
        let wanted: BTreeMap<_, _> = (0..3).map(|n| (TopicPartition::new(topic, n), spec)).collect();
        let listed = client.admin().list_offsets(&wanted, IsolationLevel::ReadUncommitted).await;
        listed.into_values().map(|offset| offset.expect("an offset").offset).sum::<i64>()
    };
    (of(OffsetSpec::Earliest).await, of(OffsetSpec::Latest).await)
}

async fn check(guarantee: Guarantee, interval_ms: u64) -> Result<()> {
    let outside = Outside::start().await;
    let (host, client) = (&outside.host, outside.client().await);
    let app = App::new("purge");
    let start = || {
        let streams = outside.run(app.streams(app.word_count()));
        streams.guarantee(guarantee).config("repartition.purge.interval.ms", interval_ms).start()
    };
    let running = start().await?;
    count(&running, app.lines(), &["a b a", "c"]).await?;
    let topic = format!("{}-word-counts-repartition", app.id());
    let purged = async {
        // A record a word, and whatever markers a transaction adds.
        while !matches!(bounds(&client, &topic).await, (start, end) if start == end && end >= 4) {
            host.sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        host.timeout(Duration::from_secs(60), purged).await.is_ok(),
        "{:?}",
        bounds(&client, &topic).await
    );

    // What is gone was counted: a restart goes on behind it.
    running.close().await?;
    let running = start().await?;
    count(&running, app.lines(), &["a d"]).await?;
    assert_eq!(counted(&running).await?, expected(&[("a", 3), ("b", 1), ("c", 1), ("d", 1)]));
    running.close().await?;
    outside.end().await;
    Ok(())
}

#[tokio::test]
async fn processed_records_of_a_repartition_topic_are_deleted() -> Result<()> {
    // At every commit, and no more often.
    check(AtLeastOnce, 0).await
}

#[tokio::test]
async fn so_they_are_under_exactly_once() -> Result<()> {
    check(ExactlyOnce, 20).await
}
