//! `anabranch transactions`: what `kafka-transactions` does, with its commands, flags and columns.

mod hanging;

use anabranch_client::{Admin, ProducerState, TopicPartition, TransactionFilter};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use crate::connect::Connection;
use crate::datetime::now_ms;
use crate::output::Table;

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct TransactionsArguments {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List transactional ids and how their transactions stand.
    List {
        /// Only transactions that have been open for longer; all, if negative.
        #[arg(long, value_name = "MS", allow_negative_numbers = true)]
        duration_filter: Option<i64>,
        /// Only transactional ids that match this regular expression.
        #[arg(long, value_name = "REGEX")]
        transactional_id_pattern: Option<String>,
    },
    /// Show the transaction of a transactional id.
    Describe {
        /// The transactional id.
        #[arg(long, value_name = "ID")]
        transactional_id: String,
    },
    /// Show the producers that have written to a partition lately.
    DescribeProducers {
        #[command(flatten)]
        partition: Partition,
        /// As this broker knows them; the leader, if not given.
        #[arg(long, value_name = "N")]
        broker_id: Option<i32>,
    },
    /// Abort a hanging transaction in one partition.
    Abort {
        #[command(flatten)]
        partition: Partition,
        #[command(flatten)]
        transaction: Aborted,
    },
    /// Find transactions that nobody will ever end.
    FindHanging(hanging::FindHangingArguments),
    /// Abort the open transaction of a transactional id, and fence its producer.
    #[command(alias = "forceTerminateTransaction")]
    ForceTerminateTransaction {
        /// The transactional id.
        #[arg(long, alias = "transactionalId", value_name = "ID")]
        transactional_id: String,
    },
}

/// A partition.
#[derive(Debug, Args)]
struct Partition {
    /// The topic.
    #[arg(long, value_name = "NAME")]
    topic: String,
    /// The number of the partition.
    #[arg(long, value_name = "N")]
    partition: i32,
}

impl Partition {
    fn name(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }
}

/// Which transaction to abort: by where it began, or by all that the marker of its end says.
#[derive(Debug, Args)]
struct Aborted {
    /// Where the transaction began.
    #[arg(long, value_name = "OFFSET")]
    start_offset: Option<i64>,
    /// The producer, if --start-offset is not given.
    #[arg(long, value_name = "ID")]
    producer_id: Option<i64>,
    /// Its epoch.
    #[arg(long, value_name = "N")]
    producer_epoch: Option<i16>,
    /// The epoch of the coordinator that ended its last transaction.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    coordinator_epoch: Option<i32>,
}

pub(crate) fn run(arguments: TransactionsArguments) -> Result<()> {
    let is_json = arguments.json;
    let command = arguments.command;
    match &command {
        Command::Abort { transaction, .. } => transaction.check()?,
        Command::FindHanging(wanted) => wanted.check()?,
        _ => {}
    }
    arguments.connection.run(async |client| {
        let admin = client.admin();
        match &command {
            Command::List { duration_filter, transactional_id_pattern } => {
                let filter = TransactionFilter {
                    longer_than_ms: duration_filter.filter(|duration_ms| *duration_ms >= 0),
                    transactional_id_pattern: transactional_id_pattern.clone(),
                    ..TransactionFilter::default()
                };
                list(&admin, &filter).await?.print_tabbed(is_json);
            }
            Command::Describe { transactional_id } => {
                describe(&admin, transactional_id).await?.print_tabbed(is_json);
            }
            Command::DescribeProducers { partition, broker_id } => {
                let producers = producers(&admin, &partition.name(), *broker_id).await?;
                table_of_producers(&producers).print_tabbed(is_json);
            }
            Command::Abort { partition, transaction } => {
                let name = partition.name();
                let producer = transaction.producer(&admin, &name).await?;
                admin.abort_transaction(&name, &producer).await?;
            }
            Command::FindHanging(wanted) => wanted.find(&admin).await?.print_tabbed(is_json),
            Command::ForceTerminateTransaction { transactional_id } => {
                admin.fence_producers(transactional_id).await?;
            }
        }
        Ok(())
    })
}

async fn list(admin: &Admin, filter: &TransactionFilter) -> Result<Table> {
    let mut table = Table::new(&["TransactionalId", "Coordinator", "ProducerId", "TransactionState"]);
    for one in admin.list_transactions(filter).await? {
        table.push(vec![
            one.transactional_id.into(),
            one.coordinator_id.into(),
            one.producer_id.into(),
            one.state.into(),
        ]);
    }
    Ok(table)
}

async fn describe(admin: &Admin, transactional_id: &str) -> Result<Table> {
    let mut table = Table::new(&[
        "CoordinatorId",
        "TransactionalId",
        "ProducerId",
        "ProducerEpoch",
        "TransactionState",
        "TransactionTimeoutMs",
        "CurrentTransactionStartTimeMs",
        "TransactionDurationMs",
        "TopicPartitions",
    ]);
    let described = admin.describe_transaction(transactional_id).await?;
    let names: Vec<Value> = described.partitions.iter().map(|name| name.to_string().into()).collect();
    table.push(vec![
        described.coordinator_id.into(),
        transactional_id.into(),
        described.producer_id.into(),
        described.producer_epoch.into(),
        described.state.into(),
        described.timeout_ms.into(),
        described.start_time_ms.into(),
        described.start_time_ms.map(|start_ms| now_ms() - start_ms).into(),
        Value::Array(names),
    ]);
    Ok(table)
}

/// The producers of one partition, as its leader or another broker knows them.
async fn producers(
    admin: &Admin,
    name: &TopicPartition,
    broker_id: Option<i32>,
) -> Result<Vec<ProducerState>> {
    let names = std::slice::from_ref(name);
    let mut described = match broker_id {
        Some(broker_id) => admin.describe_producers_on(broker_id, names).await?,
        None => admin.describe_producers(names).await?,
    };
    let producers =
        described.remove(name).with_context(|| format!("{name}: the broker says nothing of it"))?;
    Ok(producers?)
}

fn table_of_producers(producers: &[ProducerState]) -> Table {
    let mut table = Table::new(&[
        "ProducerId",
        "ProducerEpoch",
        "LatestCoordinatorEpoch",
        "LastSequence",
        "LastTimestamp",
        "CurrentTransactionStartOffset",
    ]);
    for producer in producers {
        table.push(vec![
            producer.producer_id.into(),
            producer.producer_epoch.into(),
            producer.coordinator_epoch.into(),
            producer.last_sequence.into(),
            producer.last_timestamp.into(),
            producer.transaction_start_offset.into(),
        ]);
    }
    table
}

impl Aborted {
    /// Whether it says enough.
    fn check(&self) -> Result<()> {
        match (self.start_offset, self.producer_id, self.producer_epoch, self.coordinator_epoch) {
            (Some(_), ..) | (None, Some(_), Some(_), Some(_)) => Ok(()),
            (None, None, ..) => bail!(
                "which transaction? Give --start-offset, or --producer-id, --producer-epoch and --coordinator-epoch"
            ),
            (None, Some(_), None, _) => bail!("--producer-epoch is missing"),
            (None, Some(_), Some(_), None) => bail!("--coordinator-epoch is missing"),
        }
    }

    /// Whose transaction it is.
    async fn producer(&self, admin: &Admin, name: &TopicPartition) -> Result<ProducerState> {
        if let Some(offset) = self.start_offset {
            let mut all = producers(admin, name, None).await?;
            all.retain(|producer| producer.transaction_start_offset == Some(offset));
            return all
                .pop()
                .with_context(|| format!("no open transaction begins at offset {offset} of {name}"));
        }
        let (Some(producer_id), Some(producer_epoch), Some(coordinator_epoch)) =
            (self.producer_id, self.producer_epoch, self.coordinator_epoch)
        else {
            bail!("--producer-id, --producer-epoch and --coordinator-epoch belong together");
        };
        Ok(ProducerState {
            producer_id,
            producer_epoch: producer_epoch.into(),
            last_sequence: -1,
            last_timestamp: -1,
            coordinator_epoch,
            transaction_start_offset: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_aborted_is_said_in_one_of_two_ways() {
        let check = |start_offset, producer_id, producer_epoch, coordinator_epoch, expected: &str| {
            let aborted = Aborted { start_offset, producer_id, producer_epoch, coordinator_epoch };
            let said = aborted.check().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said}");
        };
        check(Some(0), None, None, None, "");
        check(None, Some(1), Some(2), Some(-1), "");
        check(None, None, None, None, "which transaction?");
        check(None, None, Some(2), Some(3), "which transaction?");
        check(None, Some(1), None, Some(3), "--producer-epoch");
        check(None, Some(1), Some(2), None, "--coordinator-epoch");
    }
}
