//! Global stores that a processor feeds: every worker of every instance reads all rows.

use anabranch::prelude::*;

use super::{App, keep};

const TOTALS: Store<KeyValue<String, i64>> = Store::named("totals");

/// Adds up what is added.
struct Totals(StoreRef<KeyValue<String, i64>>);

impl Processor for Totals {
    type KeyIn = String;
    type ValueIn = i64;
    type KeyOut = ();
    type ValueOut = ();

    fn process(&mut self, record: Record<String, i64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        ctx.store(self.0).update(&record.key, |total| Some(total.unwrap_or(0) + record.value))?;
        Ok(())
    }
}

/// Answers with the total of the key that a record names.
struct Asks(GlobalStoreRef<String, i64>);

impl FixedKeyProcessor for Asks {
    type Key = String;
    type ValueIn = String;
    type ValueOut = String;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, String>,
        ctx: &mut FixedKeyContext<'_, Self>,
    ) -> Result<()> {
        let total = ctx.global_store(self.0).get(&record.value)?;
        let answer = format!("{} {total:?}", record.value);
        ctx.forward(record.with_value(answer));
        Ok(())
    }
}

struct Topics {
    added: Topic<String, i64>,
    asked: Topic<String, String>,
    answered: Topic<String, String>,
}

impl Topics {
    fn of(app: &App) -> Topics {
        let name = |topic: &str| format!("{}-{topic}", app.id());
        Topics {
            added: Topic::named(name("added")),
            asked: Topic::named(name("asked")),
            answered: Topic::named(name("answered")),
        }
    }

    fn topology(&self) -> Topology {
        let builder = StreamsBuilder::new();
        builder.global_store(&self.added, |ctx: &mut InitContext<'_, Totals>| Totals(ctx.store(TOTALS)));
        builder
            .stream(&self.asked)
            .process_values(|ctx: &mut FixedKeyInitContext<'_, Asks>| Asks(ctx.global_store(TOTALS)))
            .to(&self.answered);
        builder.build().expect("a valid topology")
    }
}

/// Adds, and waits until this instance shows it.
async fn add(running: &RunningStreams, topics: &Topics, numbers: &[(&str, i64)]) -> Result<()> {
    let added = running.producer(topics.added.clone())?;
    for (key, n) in numbers {
        added.send((*key).to_string(), *n).await?;
    }
    added.flush().await?;
    running.drain().await
}

/// Asks from every partition, and gives the answers, sorted.
async fn ask(running: &RunningStreams, topics: &Topics, keys: &[&str]) -> Result<Vec<String>> {
    let mut answered = running.consumer(topics.answered.clone()).await?;
    let asked = running.producer(topics.asked.clone())?;
    for (number, key) in keys.iter().enumerate() {
        asked.send(number.to_string(), (*key).to_string()).await?;
    }
    asked.flush().await?;
    let mut answers = Vec::new();
    while answers.len() < keys.len() {
        answers.push(answered.next().await?.value);
    }
    answers.sort();
    Ok(answers)
}

#[tokio::test]
async fn every_worker_reads_what_the_processor_has_kept() -> Result<()> {
    let directory = tempfile::tempdir().expect("a directory");
    let app = App::new("global-stores");
    let topics = Topics::of(&app);
    let start = || {
        let streams = app.streams(topics.topology()).threads(2);
        keep(streams, directory.path()).start()
    };
    let running = start().await?;
    add(&running, &topics, &[("a", 1), ("b", 2), ("a", 3), ("c", 4), ("d", 5)]).await?;
    let keys = ["a", "b", "c", "d", "e", "a"];
    let expected = ["a Some(4)", "a Some(4)", "b Some(2)", "c Some(4)", "d Some(5)", "e None"];
    assert_eq!(ask(&running, &topics, &keys).await?, expected);
    assert_eq!(running.store(TOTALS)?.get(&"a".to_string()).await?, Some(4));
    running.close().await?;

    // What it has added up it does not add again.
    let running = start().await?;
    assert_eq!(ask(&running, &topics, &["a", "b"]).await?, ["a Some(4)", "b Some(2)"]);
    add(&running, &topics, &[("a", 6)]).await?;
    assert_eq!(ask(&running, &topics, &["a"]).await?, ["a Some(10)"]);
    running.close().await
}
