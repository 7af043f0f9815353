//! Memory has limits: what is not committed has one of its own.

use anabranch::prelude::*;

use super::App;

const GATHERED: Store<KeyValue<String, String>> = Store::named("gathered");
const AT_ONCE: Store<KeyValue<String, String>> = Store::named("at-once").in_memory().caching(false);

#[tokio::test]
async fn what_is_uncommitted_is_bounded() -> Result<()> {
    const KEYS: i64 = 300;
    for guarantee in [AtLeastOnce, ExactlyOnce] {
        for (store, suppressed) in [(GATHERED, false), (AT_ONCE, false), (AT_ONCE, true)] {
            let what = format!("{store:?} {suppressed} {guarantee:?}");
            let app = App::new("uncommitted");
            let values: Topic<String, String> = Topic::named(format!("{}-values", app.id()));
            let builder = StreamsBuilder::new();
            let last =
                builder.stream(values.clone()).group_by_key().reduce_with(|_, value| value, store.clone());
            if suppressed {
                last.suppress(until_time_limit(hours(1), max_records(10_000)));
            }
            let streams = app.streams(builder.build()?).create_topics(1).guarantee(guarantee);
            let streams = streams
                .config("commit.interval.ms", 600_000)
                .config("producer.transaction.timeout.ms", 900_000);
            let running = streams.config("statestore.uncommitted.max.bytes", 32_768).start().await?;
            let producer = running.producer(values.clone())?;
            let write_all = async |value: &str| {
                for number in 0..KEYS {
                    producer.send(format!("k{number}"), value.repeat(1000)).await?;
                }
                producer.flush().await
            };
            write_all("a").await?;
            running.drain().await?;
            // From now on nobody asks for a commit, and what an abort would bring back is held.
            write_all("b").await?;
            // What is not committed in the end is within the limit, by the looks that are taken at it.
            let (host, mut committed) = (running.client().host().clone(), 0);
            let waited = host.timeout(seconds(60), async {
                while committed < 2 * KEYS - 32 - 2 * 64 {
                    let reader = running.store(store.clone())?;
                    reader.get(&"k0".to_string()).await?;
                    committed = reader.position().offset(values.name(), 0).map_or(0, |offset| offset + 1);
                    host.sleep(millis(5)).await;
                }
                Ok::<(), Error>(())
            });
            waited.await.unwrap_or_else(|_| panic!("{what}: {committed} are committed"))?;
            running.close().await?;
        }
    }
    Ok(())
}
