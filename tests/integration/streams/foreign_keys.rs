//! A foreign-key join on a broker: subscriptions and answers travel over its topics, and its state comes back.

use std::collections::BTreeMap;

use anabranch::prelude::*;

use super::{App, keep};

const DELIVERED: Store<KeyValue<String, String>> = Store::named("delivered");

/// The topics of an application that sends orders to where their customers live.
struct Topics {
    /// Customer of each order.
    orders: Topic<String, Option<String>>,
    /// Address of each customer.
    customers: Topic<String, Option<String>>,
    deliveries: Topic<String, Option<String>>,
}

impl Topics {
    fn of(app: &App) -> Topics {
        let name = |topic: &str| format!("{}-{topic}", app.id());
        Topics {
            orders: Topic::named(name("orders")),
            customers: Topic::named(name("customers")),
            deliveries: Topic::named(name("deliveries")),
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        let (orders, customers) = (builder.table(&self.orders), builder.table(&self.customers));
        orders
            .foreign_key_join_with(
                &customers,
                |_, customer| customer.clone(),
                |_, customer, address| format!("{customer} in {address}"),
                TableJoined::new(),
                DELIVERED,
            )
            .to_stream()
            .to(&self.deliveries);
        builder.build().expect("a valid topology")
    }
}

/// Writes rows and waits until all that follows from them is committed.
async fn tell(
    running: &RunningStreams,
    topic: &Topic<String, Option<String>>,
    rows: &[(&str, Option<&str>)],
) -> Result<()> {
    let producer = running.producer(topic.clone())?;
    for (key, value) in rows {
        producer.send((*key).to_string(), value.map(str::to_string)).await?;
    }
    producer.flush().await?;
    running.drain().await
}

async fn check(running: &RunningStreams, expected: &[(&str, &str)]) -> Result<()> {
    let joined: BTreeMap<String, String> = running.store(DELIVERED)?.all().await?.into_iter().collect();
    let expected = expected.iter().map(|(order, text)| ((*order).to_string(), (*text).to_string())).collect();
    assert_eq!(joined, expected);
    Ok(())
}

#[tokio::test]
async fn rows_follow_both_sides_across_a_restart() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("foreign-keys");
    let topics = Topics::of(&app);
    let start = || {
        let streams = app.streams(topics.topology()).threads(2);
        keep(streams, directory.path()).start()
    };

    let running = start().await?;
    // Orders before their customers, customers before their orders, and one that nobody knows.
    tell(&running, &topics.orders, &[("1", Some("ada")), ("2", Some("ada")), ("3", Some("blaise"))]).await?;
    check(&running, &[]).await?;
    tell(&running, &topics.customers, &[("ada", Some("London")), ("carl", Some("Göttingen"))]).await?;
    tell(&running, &topics.orders, &[("4", Some("carl"))]).await?;
    check(&running, &[("1", "ada in London"), ("2", "ada in London"), ("4", "carl in Göttingen")]).await?;
    running.close().await?;

    let running = start().await?;
    check(&running, &[("1", "ada in London"), ("2", "ada in London"), ("4", "carl in Göttingen")]).await?;
    // Subscriptions are there again: one address changes two rows; an order changes hands; one side or the other goes.
    tell(&running, &topics.customers, &[("ada", Some("Ockham")), ("blaise", Some("Paris"))]).await?;
    tell(&running, &topics.orders, &[("2", Some("blaise")), ("4", None)]).await?;
    check(&running, &[("1", "ada in Ockham"), ("2", "blaise in Paris"), ("3", "blaise in Paris")]).await?;
    tell(&running, &topics.customers, &[("blaise", None), ("carl", None)]).await?;
    check(&running, &[("1", "ada in Ockham")]).await?;
    running.close().await
}
