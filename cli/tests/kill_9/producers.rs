//! Who writes: producers whose every record counts when it is acknowledged, and producers of transactions, which commit,
//! abort, or are let go in the midst of one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anabranch_client::{Client, Delivery, ErrorKind, Producer, ProducerConfig, ProducerRecord};

use crate::judge::{Outcome, Sent, Value};
use crate::{NUMBERS, PARTITIONS};

/// Records of one producer that may wait for their acknowledgement.
const IN_FLIGHT: usize = 500;
/// After so many records it pauses for at most [`PAUSE_MS`]: what is written is to be copied too.
const RECORDS_AT_ONCE: u32 = 20;
const PAUSE_MS: u64 = 20;

/// Sends rising numbers until told to stop, to each partition in turn; what became of each.
pub(crate) async fn produce(client: Client, number: u32, seed: u64, is_over: Arc<AtomicBool>) -> Vec<Sent> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let keys = [("delivery.timeout.ms", "300000"), ("linger.ms", "2"), ("batch.size", "1000")];
    let producer = Producer::new(&client, ProducerConfig::from_pairs(keys).unwrap()).unwrap();
    let mut waiting = VecDeque::new();
    let mut sent = Vec::new();
    let mut settle = async |(partition, value, delivery): (i32, Value, Delivery)| {
        let outcome = match delivery.await {
            Ok(written) => Outcome::Acknowledged { offset: written.offset },
            Err(error) => {
                eprintln!("{value:?}: {error}");
                Outcome::Unknown
            }
        };
        sent.push(Sent { partition, value, transaction: None, outcome });
    };
    let mut sequence = 0;
    while !is_over.load(Ordering::Acquire) {
        let value = Value { producer: number, sequence };
        let partition = (sequence % PARTITIONS as u32) as i32;
        let record = ProducerRecord::new(NUMBERS).partition(partition);
        let delivery = producer.send(record.value(&value.to_bytes())).await.unwrap();
        waiting.push_back((partition, value, delivery));
        if waiting.len() >= IN_FLIGHT {
            settle(waiting.pop_front().unwrap()).await;
        }
        sequence += 1;
        if sequence.is_multiple_of(RECORDS_AT_ONCE) {
            client.host().sleep(Duration::from_millis(dice.u64(0..PAUSE_MS))).await;
        }
    }
    for delivery in waiting {
        settle(delivery).await;
    }
    producer.close().await.unwrap();
    sent
}

/// A producer of transactions under this id, with time limits that are sometimes too short for a restart.
pub(crate) fn transactional(client: &Client, id: &str, dice: &mut fastrand::Rng) -> Producer {
    let mut one_of = |choices: [&'static str; 3]| dice.choice(choices).expect("one of three");
    let keys = [
        ("transactional.id", id),
        ("max.block.ms", one_of(["100", "1000", "60000"])),
        ("transaction.timeout.ms", one_of(["1000", "60000", "60000"])),
        ("linger.ms", one_of(["0", "1", "3"])),
    ];
    Producer::new(client, ProducerConfig::from_pairs(keys).unwrap()).unwrap()
}

/// How a transaction is to end.
#[derive(Clone, Copy)]
enum End {
    Commit,
    Abort,
    /// Its producer does not come back, as that of a process that died.
    LetGo,
}

/// Writes transactions until told to stop, and leaves none open; what became of each of their records. Whenever something
/// is not known, another producer takes the id over.
pub(crate) async fn transact(client: Client, number: u32, seed: u64, is_over: Arc<AtomicBool>) -> Vec<Sent> {
    let (mut dice, id) = (fastrand::Rng::with_seed(seed), format!("writer{number}"));
    let (mut sent, mut transaction) = (Vec::new(), 0);
    loop {
        let producer = transactional(&client, &id, &mut dice);
        if producer.init_transactions().await.is_err() {
            continue;
        }
        let mut goes_on = true;
        while goes_on && !is_over.load(Ordering::Acquire) {
            transaction += 1;
            let length = dice.usize(1..20);
            let record = |at: usize| {
                let value = Value { producer: number, sequence: (sent.len() + at) as u32 };
                let partition = dice.i32(0..PARTITIONS);
                Sent { partition, value, transaction: Some(transaction), outcome: Outcome::Aborted }
            };
            let mut records: Vec<Sent> = (0..length).map(record).collect();
            let end = match dice.u8(0..8) {
                0 => End::LetGo,
                1 | 2 => End::Abort,
                _ => End::Commit,
            };
            // What is given up before it was ever written could not be read.
            let is_written_first = dice.bool();
            goes_on = attempt(&producer, &mut records, is_written_first, end).await;
            sent.append(&mut records);
        }
        if goes_on {
            return sent;
        }
    }
}

/// One transaction; notes what became of its records, and says whether the producer can go on.
async fn attempt(producer: &Producer, records: &mut [Sent], is_written_first: bool, end: End) -> bool {
    if producer.begin_transaction().is_err() {
        return false;
    }
    let mut deliveries = Vec::new();
    for Sent { partition, value, .. } in &*records {
        let record = ProducerRecord::new(NUMBERS).partition(*partition);
        match producer.send(record.value(&value.to_bytes())).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(_) => return producer.abort_transaction().await.is_ok(),
        }
    }
    if is_written_first {
        // If something was not written, the commit tells.
        let _ = producer.flush().await;
    }
    match end {
        End::LetGo => return false,
        End::Abort => return producer.abort_transaction().await.is_ok(),
        End::Commit => {}
    }
    match producer.commit_transaction().await {
        Ok(()) => {
            for (record, delivery) in records.iter_mut().zip(deliveries) {
                let written = delivery.await.expect("a record of a committed transaction is written");
                record.outcome = Outcome::Acknowledged { offset: written.offset };
            }
            true
        }
        Err(error) if error.kind() == ErrorKind::Abort => producer.abort_transaction().await.is_ok(),
        Err(_) => {
            records.iter_mut().for_each(|record| record.outcome = Outcome::Unknown);
            false
        }
    }
}
