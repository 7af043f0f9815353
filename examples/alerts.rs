//! Raises an alert when a sensor falls silent: a processor that acts because time goes by, not because a record comes.
//!
//! ```text
//! $ cargo run --release --example alerts
//! 0.0 s  boiler is heard
//! 0.0 s  pump is heard
//! 1.2 s  boiler is silent
//! ```
//!
//! The processor notes when each sensor was heard. By the wall clock it looks through its notes five times a second and
//! reports whoever has been silent for longer than a second, once: the note is deleted, and the next reading makes a new
//! one.

#![allow(clippy::disallowed_methods, reason = "a program of a user's: its clock is its own")]

use std::time::Instant;

use anabranch::prelude::*;

const READINGS: Topic<String, f64> = Topic::new("readings");
const ALERTS: Topic<String, String> = Topic::new("alerts");
const HEARD: Store<KeyValue<String, i64>> = Store::named("heard");

const SILENT_MS: i64 = 1_000;

struct Watch {
    heard: StoreRef<KeyValue<String, i64>>,
}

impl Watch {
    fn new(ctx: &mut InitContext<'_, Self>) -> Self {
        ctx.schedule(millis(200), WallClockTime, |this, now, ctx| {
            for (sensor, heard) in ctx.store(this.heard).all()? {
                if now - heard > SILENT_MS {
                    ctx.store(this.heard).delete(&sensor)?;
                    ctx.forward(Record::new(sensor, "is silent".to_string(), now));
                }
            }
            Ok(())
        });
        Watch { heard: ctx.store(HEARD) }
    }
}

impl Processor for Watch {
    type KeyIn = String;
    type ValueIn = f64;
    type KeyOut = String;
    type ValueOut = String;

    fn process(&mut self, reading: Record<String, f64>, ctx: &mut ProcessorContext<'_, Self>) -> Result<()> {
        let now = ctx.wall_clock_time();
        let heard_before = ctx.store(self.heard).get(&reading.key)?.is_some();
        ctx.store(self.heard).put(&reading.key, &now)?;
        if !heard_before {
            ctx.forward(Record::new(reading.key, "is heard".to_string(), now));
        }
        Ok(())
    }
}

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder.stream(READINGS).process(Watch::new).to(ALERTS);
    builder.build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let app = Streams::new("alerts", topology()?).create_topics(1).start().await?;
    let (readings, mut alerts) = (app.producer(READINGS)?, app.consumer(ALERTS).await?);
    // The boiler speaks once; the pump goes on until the boiler has been missed, and two readings longer.
    let started = Instant::now();
    readings.send("boiler".to_string(), 71.5).await?;
    let mut told = 0;
    while told < 3 {
        readings.send("pump".to_string(), 0.8).await?;
        readings.flush().await?;
        if let Ok(alert) = tokio::time::timeout(millis(300), alerts.next()).await {
            let Record { key: sensor, value: what, .. } = alert?;
            println!("{:.1} s  {sensor} {what}", started.elapsed().as_secs_f64());
            told += 1;
        }
    }
    app.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_reported_once() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        let (readings, alerts) = (driver.input(READINGS), driver.output(ALERTS));
        let said = || alerts.read_key_values().into_iter().map(|(sensor, what)| format!("{sensor} {what}"));
        readings.pipe("boiler", 71.5);
        readings.pipe("pump", 0.8);
        assert!(said().eq(["boiler is heard", "pump is heard"]));
        driver.advance_wall_clock(millis(800));
        readings.pipe("pump", 0.9);
        driver.advance_wall_clock(millis(400));
        assert!(said().eq(["boiler is silent"]));
        driver.advance_wall_clock(millis(400));
        readings.pipe("boiler", 70.0);
        assert!(said().eq(["boiler is heard"]));
        assert_eq!(driver.store(HEARD)?.all()?.count(), 2);
        Ok(())
    }
}
