//! User sessions: what a user does without a pause of half an hour belongs together.
//!
//! ```text
//! $ cargo run --release --example user_sessions
//! ada  1 page in 0 minutes
//! bob  1 page in 0 minutes
//! ada  2 pages in 10 minutes
//! ada  1 page in 0 minutes
//! ada  4 pages in 60 minutes
//! ```
//!
//! Ada's third page comes too long after her second: a new session. Her fourth is a straggler that lies between the two,
//! near enough to both: they become one session.

use anabranch::prelude::*;

/// By user: the minute at which a page was looked at.
const PAGES: Topic<String, i64> = Topic::new("pages");
/// By user.
const SESSIONS: Topic<String, String> = Topic::new("sessions");

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream(PAGES.consumed().timestamps(|page, _| page.value * 60_000))
        .group_by_key()
        .windowed_by(Session::gap(minutes(30)).grace(hours(1)))
        .count()
        .updates()
        .map(|user, pages| {
            let lasted = (user.window.end_ms - user.window.start_ms) / 60_000;
            (user.key, format!("{pages} page{} in {lasted} minutes", if pages == 1 { "" } else { "s" }))
        })
        .to(SESSIONS);
    builder.build()
}

/// Who looked at a page in which minute, in the order in which it became known.
const SEEN: [(&str, i64); 5] = [("ada", 0), ("bob", 5), ("ada", 10), ("ada", 60), ("ada", 35)];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Without a cache every session is told of as it grows.
    let app = Streams::new("user-sessions", topology()?).create_topics(1);
    let app = app.config("statestore.cache.max.bytes", 0).start().await?;
    let mut sessions = app.consumer(SESSIONS).await?;
    let pages = app.producer(PAGES)?;
    for (user, minute) in SEEN {
        pages.send(user.to_string(), minute).await?;
    }
    pages.flush().await?;
    for _ in SEEN {
        let session = sessions.next().await?;
        println!("{:4} {}", session.key, session.value);
    }
    app.close().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straggler_joins_two_sessions() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        for (user, minute) in SEEN {
            driver.input(PAGES).pipe(user, minute);
        }
        let sessions = driver.output(SESSIONS).read_key_values();
        let lines: Vec<String> = sessions.iter().map(|(user, session)| format!("{user} {session}")).collect();
        let expected = [
            "ada 1 page in 0 minutes",
            "bob 1 page in 0 minutes",
            "ada 2 pages in 10 minutes",
            "ada 1 page in 0 minutes",
            "ada 4 pages in 60 minutes",
        ];
        assert_eq!(lines, expected);
        Ok(())
    }
}
