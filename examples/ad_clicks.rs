//! Ad click attribution: two streams are joined in time. A click counts for an ad if it follows the ad's impression within
//! ten minutes.
//!
//! ```text
//! $ cargo run --release --example ad_clicks
//! tea     clicked after 40 s
//! bread   clicked after 540 s
//! ```
//!
//! Impressions and clicks carry the id of the impression as their key, so they meet in one task; each side keeps its
//! records as long as one of the other side may still come for them. The third click comes too late for its ad.

use anabranch::prelude::*;
use serde::{Deserialize, Serialize};

/// An ad was shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Impression {
    ad: String,
    at_ms: i64,
}

impl Data for Impression {
    type Serde = Json;
}

const IMPRESSIONS: Topic<String, Impression> = Topic::new("impressions");
/// By the impression's id: when it was clicked.
const CLICKS: Topic<String, i64> = Topic::new("clicks");
/// By ad.
const ATTRIBUTED: Topic<String, String> = Topic::new("attributed-clicks");

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let shown = builder.stream(IMPRESSIONS.consumed().timestamps(|shown, _| shown.value.at_ms));
    let clicked = builder.stream(CLICKS.consumed().timestamps(|clicked, _| clicked.value));
    let ten_minutes = JoinWindows::of(seconds(0)).after(minutes(10)).grace(minutes(1));
    shown
        .join(&clicked, ten_minutes, |shown, clicked| (shown.ad.clone(), (clicked - shown.at_ms) / 1_000))
        .map(|_, (ad, seconds)| (ad, format!("clicked after {seconds} s")))
        .to(ATTRIBUTED);
    builder.build()
}

const SHOWN: [(&str, &str, i64); 3] = [("i1", "tea", 0), ("i2", "bread", 60_000), ("i3", "soap", 90_000)];
const CLICKED: [(&str, i64); 3] = [("i1", 40_000), ("i2", 600_000), ("i3", 700_000)];

fn impressions() -> impl Iterator<Item = (String, Impression)> {
    SHOWN.iter().map(|(id, ad, at_ms)| (id.to_string(), Impression { ad: ad.to_string(), at_ms: *at_ms }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let app = Streams::new("ad-clicks", topology()?).create_topics(1).start().await?;
    let mut attributed = app.consumer(ATTRIBUTED).await?;
    let (shown, clicked) = (app.producer(IMPRESSIONS)?, app.producer(CLICKS)?);
    for (id, impression) in impressions() {
        shown.send(id, impression).await?;
    }
    shown.flush().await?;
    // Times are given by hand, and a click that is read first would make its impression late.
    app.drain().await?;
    for (id, at_ms) in CLICKED {
        clicked.send(id.to_string(), at_ms).await?;
    }
    clicked.flush().await?;
    for _ in 0..2 {
        let click = attributed.next().await?;
        println!("{:7} {}", click.key, click.value);
    }
    app.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_counts_for_ten_minutes() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        for (id, impression) in impressions() {
            driver.input(IMPRESSIONS).pipe(id, impression);
        }
        for (id, at_ms) in CLICKED {
            driver.input(CLICKS).pipe(id, at_ms);
        }
        let clicks = driver.output(ATTRIBUTED).read_key_values();
        let lines: Vec<String> = clicks.iter().map(|(ad, click)| format!("{ad} {click}")).collect();
        assert_eq!(lines, ["tea clicked after 40 s", "bread clicked after 540 s"]);
        Ok(())
    }
}
