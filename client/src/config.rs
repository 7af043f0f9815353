//! Settings, by Kafka's keys and with Kafka's defaults. A key that is not known or a value that makes no sense is an
//! error that names it: a setting is never silently ignored.

use std::fmt;
use std::str::FromStr;

use anabranch_protocol::records::Compression;

use crate::error::{ClientError, Result};
pub use crate::offset_reset::AutoOffsetReset;

/// A value that can be read from the text of a `.properties` file.
trait ConfigValue: Sized {
    fn from_text(text: &str) -> Result<Self, String>;
}

macro_rules! number_values {
    ($($number:ty),*) => {$(
        impl ConfigValue for $number {
            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected a number from {} to {}", <$number>::MIN, <$number>::MAX))
            }
        }
    )*};
}
number_values!(u32, u64, i32);

impl ConfigValue for usize {
    fn from_text(text: &str) -> Result<Self, String> {
        u32::from_text(text).map(|number| number as usize)
    }
}

impl ConfigValue for bool {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("expected true or false".to_string()),
        }
    }
}

impl ConfigValue for String {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_string())
    }
}

impl ConfigValue for Option<String> {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.to_string()))
    }
}

impl ConfigValue for Vec<String> {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_string).collect())
    }
}

impl ConfigValue for Compression {
    fn from_text(text: &str) -> Result<Self, String> {
        Compression::from_str(text).map_err(|_| "expected none, gzip, snappy, lz4 or zstd".to_string())
    }
}

impl ConfigValue for AutoOffsetReset {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

/// An enum whose variants have Kafka's names.
macro_rules! named_values {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl ConfigValue for $name {
            fn from_text(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($text => Ok($name::$variant),)*
                    _ => Err(format!("expected one of {}", [$($text),*].join(", "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($name::$variant => $text),* })
            }
        }
    };
}

named_values! {
    /// How the wire is protected.
    pub enum SecurityProtocol {
        /// Not at all.
        Plaintext = "plaintext",
    }
}

named_values! {
    /// Which acknowledgement a produce request waits for.
    pub enum Acks {
        /// That of all in-sync replicas: the only one that an idempotent producer can use.
        All = "all",
        /// The same by its number.
        MinusOne = "-1",
    }
}

named_values! {
    /// Which records a consumer sees.
    pub enum IsolationLevel {
        /// All of them.
        ReadUncommitted = "read_uncommitted",
        /// Only those outside of transactions or in committed ones.
        ReadCommitted = "read_committed",
    }
}

macro_rules! config {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])* $key:literal => $field:ident: $value:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$doc])* #[doc = concat!("\n\nKey `", $key, "`.")] pub $field: $value,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        impl $name {
            /// The keys that it knows.
            pub const KEYS: &'static [&'static str] = &[$($key),*];

            /// Sets `key`; answers false if it is not one of [`Self::KEYS`].
            ///
            /// # Errors
            /// Invalid, if the value makes no sense.
            pub fn set(&mut self, key: &str, value: &str) -> Result<bool> {
                match key {
                    $($key => {
                        self.$field = ConfigValue::from_text(value.trim())
                            .map_err(|reason| bad_value(key, value, &reason))?;
                    })*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            /// The defaults with these keys set.
            ///
            /// # Errors
            /// Invalid, if a key is unknown or a value makes no sense.
            pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(
                pairs: impl IntoIterator<Item = (K, V)>,
            ) -> Result<Self> {
                let mut config = Self::default();
                for (key, value) in pairs {
                    if !config.set(key.as_ref(), value.as_ref())? {
                        return Err(ClientError::invalid(format!("unknown configuration key {}", key.as_ref())));
                    }
                }
                config.validate()?;
                Ok(config)
            }
        }
    };
}

config! {
    /// What every client needs to know.
    pub struct ClientConfig {
        /// Brokers to ask first, `host:port` each. In process the addresses mean nothing and may be left out.
        "bootstrap.servers" => bootstrap_servers: Vec<String> = Vec::new(),
        /// The name that brokers see in requests.
        "client.id" => client_id: String = "anabranch".to_string(),
        /// The only way to talk that is built so far.
        "security.protocol" => security_protocol: SecurityProtocol = SecurityProtocol::Plaintext,
        /// How long an answer may take before the connection is given up.
        "request.timeout.ms" => request_timeout_ms: u64 = 30_000,
        /// How long a call with all its attempts may take, where nothing else is said.
        "default.api.timeout.ms" => default_api_timeout_ms: u64 = 60_000,
        /// The wait after a first failed attempt; it doubles from one to the next.
        "retry.backoff.ms" => retry_backoff_ms: u64 = 100,
        /// The longest wait between attempts.
        "retry.backoff.max.ms" => retry_backoff_max_ms: u64 = 1000,
        /// The wait after a first failed connection to a broker.
        "reconnect.backoff.ms" => reconnect_backoff_ms: u64 = 50,
        /// The longest wait between connections to a broker.
        "reconnect.backoff.max.ms" => reconnect_backoff_max_ms: u64 = 1000,
        /// How long a connection may take to stand; also how long [`crate::Client::connect`] goes on trying.
        "socket.connection.setup.timeout.ms" => socket_connection_setup_timeout_ms: u64 = 10_000,
        /// Metadata older than this is asked for anew.
        "metadata.max.age.ms" => metadata_max_age_ms: u64 = 300_000,
    }
}

config! {
    /// What a producer needs to know. It is always idempotent.
    pub struct ProducerConfig {
        /// Always all.
        "acks" => acks: Acks = Acks::All,
        /// Always true: a retry never writes a record twice.
        "enable.idempotence" => enable_idempotence: bool = true,
        /// A batch of about this many bytes is sent without waiting further.
        "batch.size" => batch_size: usize = 16_384,
        /// How long a batch waits for more records.
        "linger.ms" => linger_ms: u64 = 5,
        /// How batches are compressed.
        "compression.type" => compression_type: Compression = Compression::None,
        /// Bytes that may wait to be sent or acknowledged; beyond, `send` waits.
        "buffer.memory" => buffer_memory: usize = 33_554_432,
        /// The largest record, and about the largest request.
        "max.request.size" => max_request_size: usize = 1_048_576,
        /// How long `send` may wait for metadata or memory.
        "max.block.ms" => max_block_ms: u64 = 60_000,
        /// How long after `send` a record is acknowledged or given up.
        "delivery.timeout.ms" => delivery_timeout_ms: u64 = 120_000,
        /// How often a batch is sent again; in practice `delivery.timeout.ms` decides.
        "retries" => retries: u32 = 2_147_483_647,
        /// Requests on the way to one broker; at most 5, for so many batches a broker remembers per producer.
        "max.in.flight.requests.per.connection" => max_in_flight_requests_per_connection: usize = 5,
        /// The name under which it writes in transactions; whoever takes it over ends what the one before has begun.
        "transactional.id" => transactional_id: Option<String> = None,
        /// After how long the coordinator aborts a transaction that is not ended.
        "transaction.timeout.ms" => transaction_timeout_ms: i32 = 60_000,
        /// Whether the key has no say in the choice of the partition.
        "partitioner.ignore.keys" => partitioner_ignore_keys: bool = false,
    }
}

config! {
    /// What a consumer needs to know.
    pub struct ConsumerConfig {
        /// The group whose partitions are shared and whose offsets are committed.
        "group.id" => group_id: Option<String> = None,
        /// A name that outlives this process: a member that comes back under it keeps its partitions.
        "group.instance.id" => group_instance_id: Option<String> = None,
        /// Assignors by name, the preferred one first. Others than Kafka's are given to the consumer as values.
        "partition.assignment.strategy" => partition_assignment_strategy: Vec<String> =
            vec!["range".to_string(), "cooperative-sticky".to_string()],
        /// Where to begin without a committed offset.
        "auto.offset.reset" => auto_offset_reset: AutoOffsetReset = AutoOffsetReset::Latest,
        /// Whether what `poll` has returned is committed without being asked.
        "enable.auto.commit" => enable_auto_commit: bool = true,
        /// How often that is done.
        "auto.commit.interval.ms" => auto_commit_interval_ms: u64 = 5000,
        /// A member that is not heard of for so long loses its partitions.
        "session.timeout.ms" => session_timeout_ms: u64 = 45_000,
        /// How often a member is heard of.
        "heartbeat.interval.ms" => heartbeat_interval_ms: u64 = 3000,
        /// A member that does not poll for so long leaves the group.
        "max.poll.interval.ms" => max_poll_interval_ms: u64 = 300_000,
        /// Records that one `poll` returns at most.
        "max.poll.records" => max_poll_records: usize = 500,
        /// A broker answers when it has so many bytes...
        "fetch.min.bytes" => fetch_min_bytes: i32 = 1,
        /// ...or after so long.
        "fetch.max.wait.ms" => fetch_max_wait_ms: u64 = 500,
        /// Bytes in one answer, about.
        "fetch.max.bytes" => fetch_max_bytes: i32 = 52_428_800,
        /// Bytes of one partition in one answer, about.
        "max.partition.fetch.bytes" => max_partition_fetch_bytes: i32 = 1_048_576,
        /// Which records are seen.
        "isolation.level" => isolation_level: IsolationLevel = IsolationLevel::ReadUncommitted,
        /// Whether `poll` checks the checksum of each batch.
        "check.crcs" => check_crcs: bool = true,
        /// Whether asking for a topic may create it.
        "allow.auto.create.topics" => allow_auto_create_topics: bool = true,
        /// The rack of this process, for the brokers to see.
        "client.rack" => client_rack: String = String::new(),
    }
}

/// A batch's length is an `i32`; half of it leaves room for whatever codecs add.
const LARGEST_BATCH_BYTES: usize = 1 << 30;

fn bad_value(key: &str, value: &str, reason: &str) -> ClientError {
    ClientError::invalid(format!("configuration {key}={value}: {reason}"))
}

fn require(holds: bool, key: &str, value: impl fmt::Display, reason: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(bad_value(key, &value.to_string(), reason)) }
}

impl ClientConfig {
    /// Checks what the type of a value cannot.
    ///
    /// # Errors
    /// Invalid, naming the key.
    pub fn validate(&self) -> Result<()> {
        for server in &self.bootstrap_servers {
            let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            let good = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
            require(good, "bootstrap.servers", server, "expected host:port")?;
        }
        let positive = [
            ("request.timeout.ms", self.request_timeout_ms),
            ("default.api.timeout.ms", self.default_api_timeout_ms),
            ("socket.connection.setup.timeout.ms", self.socket_connection_setup_timeout_ms),
        ];
        for (key, value) in positive {
            require(value > 0, key, value, "must be above 0")?;
        }
        Ok(())
    }
}

impl ProducerConfig {
    /// Checks what the type of a value cannot.
    ///
    /// # Errors
    /// Invalid, naming the key.
    pub fn validate(&self) -> Result<()> {
        require(self.enable_idempotence, "enable.idempotence", false, "this producer is always idempotent")?;
        let in_flight = self.max_in_flight_requests_per_connection;
        require(
            (1..=5).contains(&in_flight),
            "max.in.flight.requests.per.connection",
            in_flight,
            "an idempotent producer may have 1 to 5",
        )?;
        for (key, value) in [("batch.size", self.batch_size), ("max.request.size", self.max_request_size)] {
            require((1..=LARGEST_BATCH_BYTES).contains(&value), key, value, "must be from 1 to 1073741824")?;
        }
        require(
            self.transaction_timeout_ms > 0,
            "transaction.timeout.ms",
            self.transaction_timeout_ms,
            "must be above 0",
        )?;
        require(
            self.buffer_memory >= self.batch_size,
            "buffer.memory",
            self.buffer_memory,
            "must be at least batch.size",
        )?;
        require(
            self.delivery_timeout_ms > self.linger_ms,
            "delivery.timeout.ms",
            self.delivery_timeout_ms,
            "must be above linger.ms",
        )
    }
}

impl ConsumerConfig {
    /// Checks what the type of a value cannot.
    ///
    /// # Errors
    /// Invalid, naming the key.
    pub fn validate(&self) -> Result<()> {
        if let Some(group) = &self.group_id {
            require(!group.is_empty(), "group.id", group, "must not be empty")?;
        }
        require(
            self.heartbeat_interval_ms > 0 && self.heartbeat_interval_ms < self.session_timeout_ms,
            "heartbeat.interval.ms",
            self.heartbeat_interval_ms,
            "must be above 0 and below session.timeout.ms",
        )?;
        require(
            self.max_poll_interval_ms > 0,
            "max.poll.interval.ms",
            self.max_poll_interval_ms,
            "must be above 0",
        )?;
        require(self.max_poll_records > 0, "max.poll.records", self.max_poll_records, "must be above 0")?;
        require(self.fetch_min_bytes >= 0, "fetch.min.bytes", self.fetch_min_bytes, "must not be negative")?;
        let positive = [
            ("fetch.max.bytes", self.fetch_max_bytes),
            ("max.partition.fetch.bytes", self.max_partition_fetch_bytes),
        ];
        for (key, value) in positive {
            require(value > 0, key, value, "must be above 0")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_faults_are_named() {
        let check = |pairs: &[(&str, &str)], expected: Result<u64, &str>| {
            let result = ProducerConfig::from_pairs(pairs.iter().copied());
            let result = result.map(|config| config.linger_ms).map_err(|error| error.to_string());
            assert_eq!(result, expected.map_err(str::to_string), "{pairs:?}");
        };
        check(&[], Ok(5));
        check(&[("linger.ms", " 20 ")], Ok(20));
        check(&[("acks", "all"), ("compression.type", "zstd"), ("linger.ms", "0")], Ok(0));
        check(&[("acks", "-1")], Ok(5));
        check(&[("acks", "1")], Err("configuration acks=1: expected one of all, -1"));
        check(&[("linger", "1")], Err("unknown configuration key linger"));
        check(
            &[("linger.ms", "-1")],
            Err("configuration linger.ms=-1: expected a number from 0 to 18446744073709551615"),
        );
        check(
            &[("enable.idempotence", "false")],
            Err("configuration enable.idempotence=false: this producer is always idempotent"),
        );
        check(
            &[("max.in.flight.requests.per.connection", "6")],
            Err(
                "configuration max.in.flight.requests.per.connection=6: an idempotent producer may have 1 to 5",
            ),
        );
        check(
            &[("delivery.timeout.ms", "10"), ("linger.ms", "10")],
            Err("configuration delivery.timeout.ms=10: must be above linger.ms"),
        );
        check(
            &[("compression.type", "brotli")],
            Err("configuration compression.type=brotli: expected none, gzip, snappy, lz4 or zstd"),
        );
    }

    #[test]
    fn servers_are_checked() {
        let check = |servers: &str, good: bool| {
            let result = ClientConfig::from_pairs([("bootstrap.servers", servers)]);
            assert_eq!(result.is_ok(), good, "{servers}: {result:?}");
        };
        check("a:9092", true);
        check("a:9092, b:9092 ,", true);
        check("[::1]:9092", true);
        check("a", false);
        check(":9092", false);
        check("a:0", false);
        check("a:99999", false);
    }

    #[test]
    fn consumers_are_checked() {
        let check = |pairs: &[(&str, &str)], good: bool| {
            let result = ConsumerConfig::from_pairs(pairs.iter().copied());
            assert_eq!(result.is_ok(), good, "{pairs:?}: {result:?}");
        };
        check(
            &[("group.id", "g"), ("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")],
            true,
        );
        check(&[("auto.offset.reset", "begin")], false);
        check(&[("auto.offset.reset", "by_duration:P1D")], true);
        check(&[("heartbeat.interval.ms", "45000")], false);
        check(&[("max.poll.records", "0")], false);
        check(&[("fetch.max.bytes", "0")], false);
        check(&[("check.crcs", "yes")], false);
    }
}
