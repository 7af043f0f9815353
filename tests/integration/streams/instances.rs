//! Several instances of one application share its tasks.

use anabranch::prelude::*;
use anabranch_broker::{BrokerConfig, EmbeddedBroker};
use anabranch_host::Host;

use super::{App, counted};

#[tokio::test]
async fn tasks_move_to_a_second_instance_and_back() -> Result<()> {
    let (host, runtime) = Host::real(2).expect("threads");
    let broker = EmbeddedBroker::start(host.clone(), BrokerConfig::default()).await.expect("a broker");
    let app = App::new("instances");
    let start = || app.streams(app.word_count()).on(host.clone(), broker.dialer()).start();
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
    let (mut of_first, of_second) = (counted(&first).await?, counted(&second).await?);
    assert!(!of_second.is_empty(), "the second instance has no task");
    assert!(of_first.keys().all(|word| !of_second.contains_key(word)), "a word has two owners");
    of_first.extend(of_second);
    assert_eq!(of_first.values().sum::<i64>(), 800);
    assert!(of_first.values().all(|count| *count == 40), "{of_first:?}");

    second.close().await?;
    send(800, 1200).await?;
    first.drain().await?;
    let counts = counted(&first).await?;
    assert_eq!(counts.values().sum::<i64>(), 1200);
    first.close().await?;
    broker.shutdown().await;
    drop(runtime);
    Ok(())
}
