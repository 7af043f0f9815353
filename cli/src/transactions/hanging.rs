//! `find-hanging`: transactions that are open in a partition, for longer than any may be, and that no coordinator will
//! end: it does not know the producer, or the partition is no part of what the producer's transaction is now.

use std::collections::{BTreeMap, BTreeSet};

use anabranch_client::{Admin, ErrorCode, ProducerState, TopicPartition, TransactionFilter};
use anyhow::{Context, Result, bail};
use clap::Args;

use crate::datetime::now_ms;
use crate::output::Table;

/// Partitions asked for in one request.
const MAX_BATCH: usize = 500;
const MS_PER_MINUTE: i64 = 60_000;

/// Where to look.
#[derive(Debug, Args)]
pub(super) struct FindHangingArguments {
    /// Only partitions of which this broker has a replica.
    #[arg(long, value_name = "N")]
    broker_id: Option<i32>,
    /// How long a transaction may be open, in minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 15)]
    max_transaction_timeout: u32,
    /// Only this topic.
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Only this partition of --topic.
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
}

/// A transaction that has been open for too long.
#[derive(Clone, Debug)]
struct Open {
    name: TopicPartition,
    producer: ProducerState,
}

impl FindHangingArguments {
    /// Whether it says enough.
    pub(super) fn check(&self) -> Result<()> {
        if self.topic.is_none() && self.broker_id.is_none() {
            bail!("where? Give --topic or --broker-id");
        }
        if self.topic.is_none() && self.partition.is_some() {
            bail!("--partition needs --topic");
        }
        Ok(())
    }

    pub(super) async fn find(&self, admin: &Admin) -> Result<Table> {
        let now_ms = now_ms();
        let mut candidates = Vec::new();
        for names in self.partitions(admin).await?.chunks(MAX_BATCH) {
            self.collect_open(admin, names, now_ms, &mut candidates).await?;
        }
        let mut table = Table::new(&[
            "Topic",
            "Partition",
            "ProducerId",
            "ProducerEpoch",
            "CoordinatorEpoch",
            "StartOffset",
            "LastTimestamp",
            "Duration(min)",
        ]);
        for Open { name, producer } in only_hanging(admin, candidates).await? {
            table.push(vec![
                name.topic.to_string().into(),
                name.partition.into(),
                producer.producer_id.into(),
                producer.producer_epoch.into(),
                producer.coordinator_epoch.into(),
                producer.transaction_start_offset.unwrap_or(-1).into(),
                producer.last_timestamp.into(),
                ((now_ms - producer.last_timestamp) / MS_PER_MINUTE).into(),
            ]);
        }
        Ok(table)
    }

    /// The partitions to look into.
    async fn partitions(&self, admin: &Admin) -> Result<Vec<TopicPartition>> {
        if let (Some(topic), Some(partition)) = (&self.topic, self.partition) {
            return Ok(vec![TopicPartition::new(topic.as_str(), partition)]);
        }
        let topics = match &self.topic {
            Some(topic) => {
                let mut described = admin.describe_topics(&[topic.as_str()]).await?;
                let described = described.remove(topic.as_str());
                vec![described.with_context(|| format!("topic {topic}: the broker says nothing of it"))??]
            }
            None => admin.list_topics().await?,
        };
        let mut names = Vec::new();
        for topic in topics {
            for (number, partition) in (0..).zip(&topic.partitions) {
                if self.broker_id.is_none_or(|broker_id| partition.replicas.contains(&broker_id)) {
                    names.push(TopicPartition::new(topic.name.clone(), number));
                }
            }
        }
        Ok(names)
    }

    async fn collect_open(
        &self,
        admin: &Admin,
        names: &[TopicPartition],
        now_ms: i64,
        candidates: &mut Vec<Open>,
    ) -> Result<()> {
        let described = match self.broker_id {
            Some(broker_id) => admin.describe_producers_on(broker_id, names).await?,
            None => admin.describe_producers(names).await?,
        };
        let max_ms = i64::from(self.max_transaction_timeout) * MS_PER_MINUTE;
        for (name, producers) in described {
            let is_open = |producer: &ProducerState| {
                producer.transaction_start_offset.is_some() && now_ms - producer.last_timestamp > max_ms
            };
            let open = producers?.into_iter().filter(is_open);
            candidates.extend(open.map(|producer| Open { name: name.clone(), producer }));
        }
        Ok(())
    }
}

/// Leaves out those that a coordinator will end.
async fn only_hanging(admin: &Admin, candidates: Vec<Open>) -> Result<Vec<Open>> {
    if candidates.is_empty() {
        return Ok(candidates);
    }
    let producer_ids: BTreeSet<i64> = candidates.iter().map(|open| open.producer.producer_id).collect();
    let filter = TransactionFilter {
        producer_ids: producer_ids.into_iter().collect(),
        ..TransactionFilter::default()
    };
    let mut expected = Expected::new();
    for listed in admin.list_transactions(&filter).await? {
        match admin.describe_transaction(&listed.transactional_id).await {
            Ok(described) => {
                expected.insert(listed.producer_id, described.partitions);
            }
            Err(error) if error.code() == Some(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(candidates.into_iter().filter(|open| is_hanging(open, &expected)).collect())
}

/// What the transaction of each producer consists of now: of partitions without their marker, while it ends.
type Expected = BTreeMap<i64, Vec<TopicPartition>>;

fn is_hanging(open: &Open, expected: &Expected) -> bool {
    expected.get(&open.producer.producer_id).is_none_or(|partitions| !partitions.contains(&open.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_coordinator_will_end_does_not_hang() {
        let expected = Expected::from([(7, vec![TopicPartition::new("t", 0)]), (8, vec![])]);
        let check = |producer_id, partition, hangs: bool| {
            let producer = ProducerState {
                producer_id,
                producer_epoch: 0,
                last_sequence: 0,
                last_timestamp: 0,
                coordinator_epoch: -1,
                transaction_start_offset: Some(0),
            };
            let open = Open { name: TopicPartition::new("t", partition), producer };
            assert_eq!(
                is_hanging(&open, &expected),
                hangs,
                "producer {producer_id} in partition {partition}"
            );
        };
        check(7, 0, false);
        // Part of no transaction now: its marker is written, or it never joined.
        check(7, 1, true);
        check(8, 0, true);
        // No coordinator knows the producer.
        check(9, 0, true);
    }

    #[test]
    fn where_to_look_must_be_said() {
        let check = |broker_id, topic: Option<&str>, partition, is_enough: bool| {
            let topic = topic.map(str::to_string);
            let wanted = FindHangingArguments { broker_id, max_transaction_timeout: 15, topic, partition };
            assert_eq!(wanted.check().is_ok(), is_enough, "{wanted:?}");
        };
        check(None, None, None, false);
        check(Some(1), None, None, true);
        check(Some(1), None, Some(0), false);
        check(None, Some("t"), Some(0), true);
    }
}
