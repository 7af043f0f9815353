//! Lets each payment through once, though its sender repeats some: a processor with a store.
//!
//! ```text
//! $ cargo run --release --example deduplicate
//! received  p1 250
//! received  p2 1999
//! received  p1 250
//! received  p3 40
//! received  p2 1999
//! booked    p1 250
//! booked    p2 1999
//! booked    p3 40
//! ```
//!
//! A payment's id is the record's key. The processor remembers ids for ten minutes of event time and drops a payment whose
//! id it knows; each minute it forgets the older ones, so that its store does not grow for ever. A store survives a crash,
//! and moves with its partition to another instance.

use anabranch::prelude::*;

const PAYMENTS: Topic<String, i64> = Topic::new("payments");
const ONCE: Topic<String, i64> = Topic::new("payments-once");
const SEEN: Store<KeyValue<String, i64>> = Store::named("seen");

/// How long a payment may be repeated.
const REPEATED_WITHIN: Duration = minutes(10);

struct Deduplicate {
    seen: StoreRef<KeyValue<String, i64>>,
}

impl Deduplicate {
    fn new(ctx: &mut FixedKeyInitContext<'_, Self>) -> Self {
        ctx.schedule(minutes(1), StreamTime, |this, now, ctx| {
            for (id, time) in ctx.store(this.seen).all()? {
                if now - time > REPEATED_WITHIN.as_millis() as i64 {
                    ctx.store(this.seen).delete(&id)?;
                }
            }
            Ok(())
        });
        Deduplicate { seen: ctx.store(SEEN) }
    }
}

impl FixedKeyProcessor for Deduplicate {
    type Key = String;
    type ValueIn = i64;
    type ValueOut = i64;

    fn process(
        &mut self,
        payment: FixedKeyRecord<String, i64>,
        ctx: &mut FixedKeyContext<'_, Self>,
    ) -> Result<()> {
        let known = ctx.store(self.seen).put_if_absent(payment.key(), &payment.timestamp)?;
        if known.is_none() {
            ctx.forward(payment);
        }
        Ok(())
    }
}

fn topology() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    builder.stream(PAYMENTS).process_values(Deduplicate::new).to(ONCE);
    builder.build()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let app = Streams::new("deduplicate", topology()?).create_topics(1).start().await?;
    let payments = app.producer(PAYMENTS)?;
    for (id, cents) in [("p1", 250), ("p2", 1_999), ("p1", 250), ("p3", 40), ("p2", 1_999)] {
        payments.send(id.to_string(), cents).await?;
        println!("received  {id} {cents}");
    }
    payments.flush().await?;
    app.drain().await?;
    let mut once = app.consumer(ONCE).await?.from_the_start()?;
    for _ in 0..3 {
        let payment = once.next().await?;
        println!("booked    {} {}", payment.key, payment.value);
    }
    app.close().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_repeated_in_vain_for_ten_minutes() -> Result<()> {
        let driver = TestDriver::new(&topology()?)?;
        let payments = driver.input(PAYMENTS);
        payments.pipe("p1", 250);
        payments.pipe("p1", 250);
        payments.advance(minutes(10));
        payments.pipe("p2", 1_999);
        payments.pipe("p1", 250);
        payments.advance(minutes(1));
        payments.pipe("p3", 40);
        payments.pipe("p1", 250);
        let once = driver.output(ONCE).read_key_values();
        let expected = [("p1", 250), ("p2", 1_999), ("p3", 40), ("p1", 250)];
        assert_eq!(once, expected.map(|(id, cents)| (id.to_string(), cents)));
        assert_eq!(driver.store(SEEN)?.all()?.count(), 3);
        Ok(())
    }
}
