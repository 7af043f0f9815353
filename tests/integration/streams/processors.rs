//! Processors of users on a running application.

use std::collections::BTreeMap;

use anabranch::prelude::*;

use super::App;

const WAITING: Store<KeyValue<String, i64>> = Store::named("waiting");

/// Counts words, and hands the counts out by the wall clock alone.
struct Batches {
    waiting: StoreRef<KeyValue<String, i64>>,
}

impl Batches {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        ctx.schedule(millis(20), WallClockTime, |this, time, ctx| {
            assert_eq!(ctx.record_metadata(), None);
            for (word, n) in ctx.store(this.waiting).all()? {
                ctx.store(this.waiting).delete(&word)?;
                ctx.forward(Record::new(word, n, time));
            }
            Ok(())
        });
        Batches { waiting: ctx.store(WAITING) }
    }
}

impl Processor for Batches {
    type KeyIn = Option<String>;
    type ValueIn = String;
    type KeyOut = String;
    type ValueOut = i64;

    fn process(
        &mut self,
        record: Record<Option<String>, String>,
        ctx: &mut ProcessorContext<'_, Self>,
    ) -> Result<()> {
        for word in record.value.split_whitespace() {
            ctx.store(self.waiting).update(&word.to_string(), |n| Some(n.unwrap_or(0) + 1))?;
        }
        ctx.request_commit();
        Ok(())
    }
}

#[tokio::test]
async fn punctuation_by_the_wall_clock_needs_no_record() -> Result<()> {
    let app = App::new("batches");
    let builder = StreamsBuilder::new();
    builder.stream(app.lines()).process(Batches::new).to(app.counts());
    let topology = builder.build()?;
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    // Once more after a restart: what was handed out is not handed out again.
    for round in 1..=2 {
        let running = app.streams(topology.clone()).start().await?;
        let lines = running.producer(app.lines())?;
        let mut counts = running.consumer(app.counts()).await?;
        for line in ["to be or", "not to be"] {
            lines.send(None, line.to_string()).await?;
        }
        lines.flush().await?;
        while seen.values().sum::<i64>() < 6 * round {
            let count = counts.next().await?;
            *seen.entry(count.key).or_default() += count.value;
        }
        let expected = [("be", 2 * round), ("not", round), ("or", round), ("to", 2 * round)];
        assert_eq!(seen, expected.map(|(word, n)| (word.to_string(), n)).into());
        running.close().await?;
    }
    Ok(())
}
