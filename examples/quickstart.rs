//! Counts clicks by page, on a broker in the process: the smallest whole application.
//!
//! ```text
//! $ cargo run --release --example quickstart
//! /home     2
//! /pricing  1
//! ```

use anabranch::prelude::*;

const CLICKS: Topic<String, String> = Topic::new("clicks");
const BY_PAGE: Topic<String, i64> = Topic::new("clicks-by-page");
const COUNTS: Store<KeyValue<String, i64>> = Store::named("counts");

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder.stream(CLICKS).group_by(|_user, page| page.clone()).count_with(COUNTS).to_stream().to(BY_PAGE);
    builder.build()
}

#[tokio::main]
async fn main() -> Result<()> {
    // Without `.bootstrap_server("host:9092")` the broker runs in this process.
    let app = Streams::new("quickstart", topology()?).create_topics(1).start().await?;

    let clicks = app.producer(CLICKS)?;
    for (user, page) in [("anna", "/home"), ("ben", "/pricing"), ("ben", "/home")] {
        clicks.send(user.to_string(), page.to_string()).await?;
    }
    clicks.flush().await?;

    // Waits until what was written is processed and committed; then asks the store.
    app.drain().await?;
    for (page, count) in app.store(COUNTS)?.all().await? {
        println!("{page:<9} {count}");
    }
    app.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clicks_are_counted_by_page() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        driver.input(CLICKS).pipe("anna", "/home");
        driver.input(CLICKS).pipe("ben", "/home");
        let counts = driver.output(BY_PAGE).read_key_values();
        assert_eq!(counts, [("/home".to_string(), 1), ("/home".to_string(), 2)]);
        Ok(())
    }
}
