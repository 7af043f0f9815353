//! The built server, killed again and again in the middle of its work: no acknowledged record is lost, none is there
//! twice, the order of each producer is kept, transactions count as a whole or not at all, nobody has read what is not there
//! in the end, and no transaction stays open.
//!
//! Several idempotent producers (acks=all) and producers of transactions write to the same partitions, members of a group
//! copy them in transactions that give the group's offsets, and a reader of committed records follows, while the server gets
//! SIGKILL at random moments and is started again on its data. After most kills another reader looks at what lies around the
//! moment. 20 rounds; `ANABRANCH_FULL=1` makes 200. The moments come from a seed (`ANABRANCH_SEED` replays them as well as a
//! real machine can).
//!
//! Reading order: [`judge`] (what must be true in the end), [`process`] (the server), [`producers`], [`copiers`],
//! [`reader`], then the run here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod copiers;
mod judge;
mod process;
mod producers;
mod reader;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_client::{Client, ClientConfig, NewTopic};
use anabranch_host::Host;

use judge::{Outcome, Sent, judge, judge_copies};
use process::Server;
use reader::{End, ends, read, read_to, records};

/// What is written.
const NUMBERS: &str = "numbers";
/// What the copiers make of it.
const COPIES: &str = "copies";
const PARTITIONS: i32 = 3;
const PRODUCERS: u32 = 4;
const TRANSACTIONAL_PRODUCERS: u32 = 3;
const COPIERS: u32 = 2;
/// How long the world may take to come to rest after the last kill.
const PATIENCE: Duration = Duration::from_secs(120);
const FROM_THE_BEGINNING: [i64; PARTITIONS as usize] = [0; PARTITIONS as usize];

/// The server's settings: segments roll on the way, and a recovery begins at a checkpoint that is near, or far.
fn settings(dice: &mut fastrand::Rng) -> Vec<String> {
    let checkpoint_ms = dice.choice([200, 1000, 60_000]).expect("one of three");
    vec![
        "log.roll.ms=700".to_string(),
        format!("log.flush.offset.checkpoint.interval.ms={checkpoint_ms}"),
        "transaction.abort.timed.out.transaction.cleanup.interval.ms=500".to_string(),
        "group.initial.rebalance.delay.ms=0".to_string(),
        "group.min.session.timeout.ms=1000".to_string(),
        "offsets.topic.num.partitions=2".to_string(),
        "transaction.state.log.num.partitions=2".to_string(),
    ]
}

async fn connect(host: &Host, server: &Server) -> Client {
    let address = server.address();
    let config = ClientConfig::from_pairs([("bootstrap.servers", address.as_str())]).unwrap();
    Client::connect(host, host.dialer(), config).await.unwrap()
}

fn count(sent: &[Sent], is_it: impl Fn(&Sent) -> bool) -> usize {
    sent.iter().filter(|sent| is_it(sent)).count()
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_kills_at_random_moments() {
    let rounds = if std::env::var_os("ANABRANCH_FULL").is_some() { 200 } else { 20 };
    let (host, runtime) = Host::real(2).unwrap();
    let seed =
        std::env::var("ANABRANCH_SEED").ok().map(|seed| seed.parse().expect("ANABRANCH_SEED is a number"));
    let seed = seed.unwrap_or_else(|| host.random_u64());
    println!("replay: ANABRANCH_SEED={seed} cargo test -p anabranch-cli --test kill_9");
    let mut dice = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let mut server = Server::start(&host, directory.path(), &settings(&mut dice), None).await;
        let client = connect(&host, &server).await;
        let topics = [NUMBERS, COPIES].map(|name| NewTopic::new(name, PARTITIONS));
        for created in client.admin().create_topics(&topics).await.unwrap().into_values() {
            created.unwrap();
        }
        let (is_over, is_copied) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut producing: Vec<_> = (0..PRODUCERS)
            .map(|number| host.spawn(producers::produce(client.clone(), number, dice.u64(..), is_over.clone())))
            .collect();
        producing.extend((PRODUCERS..PRODUCERS + TRANSACTIONAL_PRODUCERS).map(|number| {
            host.spawn(producers::transact(client.clone(), number, dice.u64(..), is_over.clone()))
        }));
        let copying: Vec<_> = (0..COPIERS)
            .map(|number| {
                host.spawn(copiers::copy(client.clone(), number, dice.u64(..), is_copied.clone()))
            })
            .collect();
        let (follower, over) = (client.clone(), is_over.clone());
        let following = host.spawn(async move {
            read(&follower, NUMBERS, &FROM_THE_BEGINNING, |_| over.load(Ordering::Acquire)).await
        });
        let (mut pieces, mut looked) = (Vec::new(), VecDeque::from(vec![FROM_THE_BEGINNING.to_vec(); 2]));
        for _ in 0..rounds {
            host.sleep(Duration::from_millis(dice.u64(1..400))).await;
            server.kill();
            server.start_again(&host).await;
            // From where the look before the last ended: what the last two recoveries had to do with. Sometimes the next
            // kill comes at once.
            if dice.u8(0..4) > 0 {
                let from = looked.pop_front().expect("two looks");
                let found = read_to(&client, NUMBERS, &from, End::LastStableOffset).await;
                looked.push_back(ends(&found));
                pieces.extend(found);
            }
        }
        host.sleep(Duration::from_millis(200)).await;
        is_over.store(true, Ordering::Release);
        let mut sent = Vec::new();
        for producer in producing {
            sent.extend(patiently(&host, "a producer does not end", producer).await.unwrap());
        }
        let followed = following.await.unwrap();
        server.kill();
        server.start_again(&host).await;

        // To the end of what is written, so no transaction may be open any more.
        let client = connect(&host, &server).await;
        let finally = read_to(&client, NUMBERS, &FROM_THE_BEGINNING, End::HighWatermark).await;
        let finally = records(&finally);
        let of_transactions = |wanted: fn(&Outcome) -> bool| {
            count(&sent, |sent| sent.transaction.is_some() && wanted(&sent.outcome))
        };
        let committed = of_transactions(|outcome| matches!(outcome, Outcome::Acknowledged { .. }));
        let aborted = of_transactions(|outcome| *outcome == Outcome::Aborted);
        let unknown = of_transactions(|outcome| *outcome == Outcome::Unknown);
        let acknowledged = count(&sent, |sent| matches!(sent.outcome, Outcome::Acknowledged { .. })) - committed;
        println!(
            "{rounds} kills: {acknowledged} acknowledged; in transactions {committed} committed, {aborted} not, {unknown} \
             unknown; {} read on the way, {} by looks",
            records(&followed).len(),
            records(&pieces).len(),
        );
        assert!(!records(&followed).is_empty());
        pieces.extend(followed);
        check(&judge(&sent, &pieces, &finally));

        // The copiers get on with the rest.
        let all_is_copied = async {
            let (mut copied, mut from) = (0, FROM_THE_BEGINNING.to_vec());
            while copied < finally.len() {
                let more = read_to(&client, COPIES, &from, End::LastStableOffset).await;
                copied += records(&more).len();
                from = ends(&more);
            }
        };
        patiently(&host, "copies are missing", all_is_copied).await;
        is_copied.store(true, Ordering::Release);
        for copier in copying {
            patiently(&host, "a copier does not end", copier).await.unwrap();
        }
        server.kill();
        server.start_again(&host).await;
        let client = connect(&host, &server).await;
        let copies = read_to(&client, COPIES, &FROM_THE_BEGINNING, End::HighWatermark).await;
        check(&judge_copies(&finally, &records(&copies)));

        assert!(acknowledged > 20 * rounds, "too little was acknowledged to have tested anything");
        assert!(committed > rounds && aborted > rounds, "too few transactions to have tested anything");
        server.stop(&host).await;
    });
}

/// What comes of it; fails if nothing does for far longer than anything here takes.
async fn patiently<T>(host: &Host, failure: &str, future: impl Future<Output = T>) -> T {
    host.timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{failure}"))
}

fn check(violations: &[judge::Violation]) {
    assert!(violations.is_empty(), "{} violations, such as {:#?}", violations.len(), &violations[..1]);
}
