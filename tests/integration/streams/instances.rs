//! Several instances of one application share its tasks.

use anabranch::prelude::*;

use super::outside::Outside;
use super::{App, counted};

#[tokio::test]
async fn tasks_move_to_a_second_instance_and_back() -> Result<()> {
    let outside = Outside::start().await;
    let app = App::new("instances");
    let start = || outside.run(app.streams(app.word_count())).start();
    let first = start().await?;
    let lines = first.producer(app.lines())?;
    let send = async |from: i64, to: i64| -> Result<()> {
        for n in from..to {
            lines.send(None, format!("w{}", n % 20)).await?;
        }
        lines.flush().await
    };
    send(0, 400).await?;
    first.drain().await?;
    assert_eq!(counted(&first).await?.values().sum::<i64>(), 400);

    let second = start().await?;
    send(400, 800).await?;
    second.drain().await?;
    // Tasks move in one rebalance after the other, and an instance shows its counts when it knows that they are committed.
    let shared = outside.host.timeout(seconds(60), async {
        loop {
            let (mut counts, of_second) = (counted(&first).await?, counted(&second).await?);
            let (is_shared, words) =
                (!of_second.is_empty() && !counts.is_empty(), counts.len() + of_second.len());
            counts.extend(of_second);
            if is_shared && counts.values().sum::<i64>() == 800 {
                assert_eq!(words, 20, "a word has two owners");
                assert!(counts.values().all(|count| *count == 40), "{counts:?}");
                return Ok::<(), Error>(());
            }
            outside.host.sleep(millis(20)).await;
        }
    });
    shared.await.expect("both have tasks")?;

    second.close().await?;
    send(800, 1200).await?;
    first.drain().await?;
    let counts = counted(&first).await?;
    assert_eq!(counts.values().sum::<i64>(), 1200);
    first.close().await?;
    outside.end().await;
    Ok(())
}
