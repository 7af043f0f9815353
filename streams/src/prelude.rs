//! All that a topology and its test name: `use anabranch::prelude::*;`.

pub use bytes::Bytes;
pub use uuid::Uuid;

pub use crate::data::{Data, Item, Nullable, Outcome, Present};
pub use crate::dsl::{
    BufferLimit, CogroupedKStream, GlobalKTable, Grouped, Joined, KGroupedStream, KGroupedTable, KStream,
    KTable, Named, Repartitioned, SameKey, SessionWindowed, SessionWindowedCogroupedKStream,
    SessionWindowedKStream, Split, StreamJoined, StreamsBuilder, Suppress, TableJoined, TimeWindowed,
    TimeWindowedCogroupedKStream, TimeWindowedKStream, UntilTimeLimit, UntilWindowCloses, WhenFull,
    WindowSpec, max_bytes, max_records, until_time_limit, until_window_closes,
};
pub use crate::error::{Error, ErrorKind, Result};
pub use crate::headers::Headers;
pub use crate::policy::{OnError, RecordError, dead_letter, fail, skip};
pub use crate::processor::PunctuationType::{self, StreamTime, WallClockTime};
pub use crate::processor::TaskId;
pub use crate::processor_api::{
    Cancellable, ChildRef, FixedKeyContext, FixedKeyInitContext, FixedKeyProcessor, GlobalStoreRef,
    InitContext, Processor, ProcessorContext, StoreRef, TransformContext, TransformInitContext,
    ValueTransformer,
};
pub use crate::record::{FixedKeyRecord, RawRecord, Record, RecordMetadata};
pub use crate::runtime::application::{RunningStreams, State, Streams};
pub use crate::runtime::config::{AtLeastOnce, ExactlyOnce, Guarantee};
pub use crate::runtime::position::Position;
pub use crate::runtime::query::{
    KeyQueryMetadata, KeyValueIterator, QueryableStore, ReadOnlyKeyValueStore, ReadOnlySessionStore,
    ReadOnlyVersionedStore, ReadOnlyWindowStore, Scan, StreamsMetadata,
};
pub use crate::runtime::restore_listener::{RestoreEvent, RestorePlace, StandbyEvent, SuspendReason};
pub use crate::runtime::task_status::TaskStatus;
pub use crate::runtime::uncaught::{ReplaceThread, ShutdownApplication, ShutdownClient, UncaughtErrorAnswer};
pub use crate::serdes::{
    BigEndian, Json, Postcard, Raw, Serde, SerdeContext, SerdeError, Text, Void, big_endian, json, list,
    nullable, postcard, raw, text, void, windowed,
};
#[cfg(feature = "bincode")]
pub use crate::serdes::{Bincode, bincode};
pub use crate::state::{
    Custom, CustomRows, CustomStore, Entries, GlobalStore, KeyValue, KeyValueStore, PutOutcome,
    ReadableStore, SessionStore, Sessions, Store, StoreEngine, StoreFor, TableStore, ValueAndTimestamp,
    Versioned, VersionedRecord, VersionedStore, WindowStore, Windows,
};
pub use crate::test_driver::{TestConfig, TestDriver, TestInput, TestOutput, TestStore};
pub use crate::time::{Duration, days, hours, millis, minutes, seconds};
pub use crate::topic::{
    AutoOffsetReset, Consumed, Fits, IntoTopic, Produced, Sink, TimestampExtractor, Topic,
};
pub use crate::topology::{NodeRef, Optimization, Topology};
pub use crate::window::{SessionWindow, TimeWindow, UnlimitedWindow, Windowed};
pub use crate::windows::{Closes, Hopping, JoinWindows, Session, Sliding, TimeWindows, Tumbling, Unlimited};
