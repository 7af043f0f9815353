//! Page views by region: a stream looks up its users in a table, and what it finds is counted in windows.
//!
//! ```text
//! $ cargo run --release --example page_views_by_region
//! europe  1 view in minute 0
//! asia    1 view in minute 0
//! europe  2 views in minute 0
//! unknown 1 view in minute 0
//! europe  1 view in minute 1
//! ```
//!
//! A view knows its user, the table `users` knows the user's region. The join re-keys the views by user, which leads
//! through a repartition topic; counting re-keys them by region, which leads through another.

use anabranch::prelude::*;
use serde::{Deserialize, Serialize};

/// Somebody has looked at a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct View {
    user: String,
    page: String,
    at_ms: i64,
}

impl Data for View {
    type Serde = Json;
}

const VIEWS: Topic<Option<String>, View> = Topic::new("page-views");
/// The region of each user.
const USERS: Topic<String, String> = Topic::new("users");
const PER_REGION: Topic<String, String> = Topic::new("views-per-region");

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let users = builder.table(USERS);
    builder
        .stream(VIEWS.consumed().timestamps(|view, _| view.value.at_ms))
        .select_key(|_, view| view.user.clone())
        .left_join_table(&users, |_, region| region.map_or("unknown", |region| region).to_string())
        .group_by(|_, region| region.clone())
        .windowed_by(Tumbling::of(minutes(1)).grace(seconds(10)))
        .count()
        .updates()
        .map(|region, views| (region.key, in_words(views, region.window.start_ms / 60_000)))
        .to(PER_REGION);
    builder.build()
}

fn in_words(views: i64, minute: i64) -> String {
    format!("{views} view{} in minute {minute}", if views == 1 { "" } else { "s" })
}

const REGIONS: [(&str, &str); 3] = [("ada", "europe"), ("chidi", "europe"), ("mei", "asia")];
const SEEN: [(&str, i64); 5] =
    [("ada", 1_000), ("mei", 2_000), ("chidi", 9_000), ("eve", 30_000), ("ada", 61_000)];

fn views() -> impl Iterator<Item = View> {
    SEEN.iter().map(|(user, at_ms)| View { user: (*user).into(), page: "/".into(), at_ms: *at_ms })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Without a cache every count is told of, not only the last one.
    let app = Streams::new("page-views-by-region", topology()?).create_topics(1);
    let app = app.config("statestore.cache.max.bytes", 0).start().await?;
    let users = app.producer(USERS)?;
    for (user, region) in REGIONS {
        users.send(user.to_string(), region.to_string()).await?;
    }
    users.flush().await?;
    // A view meets the table as it is when the view comes.
    app.drain().await?;
    let mut counts = app.consumer(PER_REGION).await?;
    let pages = app.producer(VIEWS)?;
    for view in views() {
        pages.send(None, view).await?;
    }
    pages.flush().await?;
    for _ in SEEN {
        let count = counts.next().await?;
        println!("{:7} {}", count.key, count.value);
    }
    app.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_counted_where_their_users_live() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        for (user, region) in REGIONS {
            driver.input(USERS).pipe(user, region);
        }
        for view in views() {
            driver.input(VIEWS).pipe(None, view);
        }
        let counts = driver.output(PER_REGION).read_key_values();
        let lines: Vec<String> = counts.iter().map(|(region, count)| format!("{region} {count}")).collect();
        let expected = [
            "europe 1 view in minute 0",
            "asia 1 view in minute 0",
            "europe 2 views in minute 0",
            "unknown 1 view in minute 0",
            "europe 1 view in minute 1",
        ];
        assert_eq!(lines, expected);
        Ok(())
    }
}
