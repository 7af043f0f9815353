//! Orders enriched by a foreign key: each order names its customer, and shows the customer's address as it is now.
//!
//! ```text
//! $ cargo run --release --example enriched_orders
//! 1 tea to London
//! 2 cup to London
//! 3 pen to Paris
//! 1 tea to Ockham
//! 2 cup to Ockham
//! ```
//!
//! Orders are keyed by number, customers by name: orders and their customers lie in different partitions, whose counts
//! need not even be the same. Each order subscribes at its customer; when Ada moves, both of her orders change.

use anabranch::prelude::*;
use serde::{Deserialize, Serialize};

/// What was ordered, and by whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Order {
    customer: String,
    item: String,
}

impl Data for Order {
    type Serde = Json;
}

const ORDERS: Topic<String, Order> = Topic::new("orders");
/// The address of each customer.
const CUSTOMERS: Topic<String, String> = Topic::new("customers");
const DELIVERIES: Topic<String, String> = Topic::new("deliveries");

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let (orders, customers) = (builder.table(ORDERS), builder.table(CUSTOMERS));
    orders
        .foreign_key_join(
            &customers,
            |order| order.customer.clone(),
            |order, address| format!("{} to {address}", order.item),
        )
        .updates()
        .to(DELIVERIES);
    builder.build()
}

const ADDRESSES: [(&str, &str); 2] = [("ada", "London"), ("blaise", "Paris")];
const ORDERED: [(&str, &str, &str); 3] = [("1", "ada", "tea"), ("2", "ada", "cup"), ("3", "blaise", "pen")];
const MOVED: (&str, &str) = ("ada", "Ockham");

fn orders() -> impl Iterator<Item = (String, Order)> {
    let order = |customer: &str, item: &str| Order { customer: customer.into(), item: item.into() };
    ORDERED.iter().map(move |(number, customer, item)| (number.to_string(), order(customer, item)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Without a cache every change is told of, not only the last one.
    let app = Streams::new("enriched-orders", topology()?).create_topics(1);
    let app = app.config("statestore.cache.max.bytes", 0).start().await?;
    let mut deliveries = app.consumer(DELIVERIES).await?;
    let (customers, ordered) = (app.producer(CUSTOMERS)?, app.producer(ORDERS)?);
    for (customer, address) in ADDRESSES {
        customers.send(customer.to_string(), address.to_string()).await?;
    }
    customers.flush().await?;
    app.drain().await?;
    for (number, order) in orders() {
        ordered.send(number, order).await?;
    }
    ordered.flush().await?;
    app.drain().await?;
    customers.send(MOVED.0.to_string(), MOVED.1.to_string()).await?;
    customers.flush().await?;
    for _ in 0..5 {
        let delivery = deliveries.next().await?;
        println!("{} {}", delivery.key, delivery.value);
    }
    app.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_follow_their_customers() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        for (customer, address) in ADDRESSES {
            driver.input(CUSTOMERS).pipe(customer, address);
        }
        for (number, order) in orders() {
            driver.input(ORDERS).pipe(number, order);
        }
        driver.input(CUSTOMERS).pipe(MOVED.0, MOVED.1);
        let deliveries = driver.output(DELIVERIES).read_key_values();
        let lines: Vec<String> = deliveries.iter().map(|(number, text)| format!("{number} {text}")).collect();
        let expected =
            ["1 tea to London", "2 cup to London", "3 pen to Paris", "1 tea to Ockham", "2 cup to Ockham"];
        assert_eq!(lines, expected);
        Ok(())
    }
}
