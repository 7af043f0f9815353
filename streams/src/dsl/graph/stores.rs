//! The stores that operators keep their results in, out of what the user has said about them.

use std::sync::Arc;

use bytes::Bytes;

use super::{SerdeSlot, Walk};
use crate::data::Data;
use crate::processor::EdgeType;
use crate::serdes::{Raw, Serde};
use crate::state::{
    GraceState, JoinWindowState, KeyValueState, SessionSettings, SessionState, StoreEngine, StoreSettings,
    StoreSupplier, SuppressState, UnjoinedState, VersionedState, WindowSettings, WindowState,
};
use crate::topology::{StoreDefinition, StoreShape};

/// A key-value store that an operator keeps its result in.
pub(crate) fn result_store<K: Data, V: Data>(
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    value_serde: &SerdeSlot,
) -> StoreDefinition {
    let (key, value) = serdes::<K, V>(settings, key_serde, value_serde);
    let supplier = KeyValueState::supplier(key, value);
    definition::<K, V>(settings, generated, StoreShape::KeyValue { timestamped: true }, supplier)
}

/// A window store that an aggregation keeps its result in.
pub(crate) fn window_store<K: Data, V: Data>(
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    windows: WindowSettings,
) -> StoreDefinition {
    let (key, value) = serdes::<K, V>(settings, key_serde, &SerdeSlot::none());
    let shape = StoreShape::Window { retention_ms: windows.retention_ms };
    definition::<K, V>(settings, generated, shape, WindowState::supplier(key, value, windows))
}

/// A session store that an aggregation keeps its result in.
pub(crate) fn session_store<K: Data, V: Data>(
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    (retention_ms, hides): (i64, bool),
) -> StoreDefinition {
    let (key, value) = serdes::<K, V>(settings, key_serde, &SerdeSlot::none());
    let sessions = SessionSettings { retention_ms, hides, in_memory: settings.in_memory };
    let supplier = SessionState::supplier(key, value, sessions);
    definition::<K, V>(settings, generated, StoreShape::Session { retention_ms }, supplier)
}

/// How the stores of a join of streams are kept.
#[derive(Clone, Copy)]
pub(crate) struct JoinStores {
    pub(crate) retention_ms: i64,
    pub(crate) in_memory: bool,
}

/// The store of one side of a join of streams.
pub(crate) fn join_window_store<K: 'static, V: 'static>(
    name: &str,
    (key, value): (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>),
    JoinStores { retention_ms, in_memory }: JoinStores,
) -> StoreDefinition {
    let supplier = JoinWindowState::supplier(key, value, retention_ms);
    let shape = StoreShape::JoinWindow { retention_ms };
    StoreDefinition { in_memory, ..inner_store::<K, V>(name, shape, supplier) }
}

/// The store of the subscriptions of a foreign-key join: every write is logged.
pub(crate) fn subscription_store(name: &str) -> StoreDefinition {
    let supplier = KeyValueState::<Bytes, Bytes>::supplier(Arc::new(Raw), Arc::new(Raw));
    inner_store::<Bytes, Bytes>(name, StoreShape::KeyValue { timestamped: true }, supplier)
}

/// The store of a join's records that have met nothing.
pub(crate) fn unjoined_store<K: 'static>(
    name: &str,
    key: Arc<dyn Serde<K>>,
    JoinStores { in_memory, .. }: JoinStores,
) -> StoreDefinition {
    let supplier = UnjoinedState::supplier(key);
    StoreDefinition { in_memory, ..inner_store::<K, ()>(name, StoreShape::Unjoined, supplier) }
}

/// A versioned store that a table is kept in.
pub(crate) fn versioned_store<K: Data, V: Data>(
    settings: &StoreSettings,
    generated: Option<String>,
    key_serde: &SerdeSlot,
    value_serde: &SerdeSlot,
    history_ms: i64,
) -> StoreDefinition {
    let (key, value) = serdes::<K, V>(settings, key_serde, value_serde);
    let supplier = VersionedState::supplier(key, value, history_ms);
    let shape = StoreShape::Versioned { history_ms };
    // Each version counts: nothing is gathered.
    StoreDefinition { caching: false, ..definition::<K, V>(settings, generated, shape, supplier) }
}

/// The buffer of a suppression.
pub(crate) fn suppress_store<K: 'static, V: 'static>(
    name: &str,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
) -> StoreDefinition {
    inner_store::<K, V>(name, StoreShape::Suppress, SuppressState::supplier(key, value))
}

/// The buffer of a join with a table that has a grace.
pub(crate) fn grace_store<K: 'static, V: 'static>(
    name: &str,
    key: Arc<dyn Serde<K>>,
    value: Arc<dyn Serde<V>>,
) -> StoreDefinition {
    inner_store::<K, V>(name, StoreShape::Grace, GraceState::supplier(key, value))
}

/// A store that nobody outside sees.
fn inner_store<K: 'static, V: 'static>(
    name: &str,
    shape: StoreShape,
    supplier: StoreSupplier,
) -> StoreDefinition {
    StoreDefinition {
        name: name.to_owned(),
        shape,
        types: EdgeType::of::<K, V>(),
        supplier,
        in_memory: false,
        engine: StoreEngine::default(),
        caching: false,
        logging: true,
        source_topic: None,
        topic_configs: Vec::new(),
        global: false,
    }
}

fn serdes<K: Data, V: Data>(
    settings: &StoreSettings,
    key_serde: &SerdeSlot,
    value_serde: &SerdeSlot,
) -> (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>) {
    let key = settings.key_serde().unwrap_or_else(|| key_serde.or_default());
    (key, settings.value_serde().unwrap_or_else(|| value_serde.or_default()))
}

fn definition<K: 'static, V: 'static>(
    settings: &StoreSettings,
    generated: Option<String>,
    shape: StoreShape,
    supplier: StoreSupplier,
) -> StoreDefinition {
    StoreDefinition {
        name: generated.unwrap_or_else(|| settings.name.clone().into_owned()),
        shape,
        types: EdgeType::of::<K, V>(),
        supplier,
        in_memory: settings.in_memory,
        engine: settings.engine,
        caching: settings.caching.unwrap_or(true),
        logging: settings.logging,
        source_topic: None,
        topic_configs: settings.topic_configs.clone(),
        global: false,
    }
}

/// The serdes of a table that is made of another row by row: those that are given with its store, else what it inherits.
pub(crate) fn given_serdes<K: Data, V: Data>(
    settings: Option<&StoreSettings>,
    key: SerdeSlot,
    value: Option<SerdeSlot>,
) -> (SerdeSlot, SerdeSlot) {
    let given_key = settings.and_then(StoreSettings::key_serde::<K>);
    let given_value = settings.and_then(StoreSettings::value_serde::<V>);
    let inherited = value.unwrap_or_else(SerdeSlot::none);
    (given_key.map_or(key, SerdeSlot::of), given_value.map_or(inherited, SerdeSlot::of))
}

impl Walk {
    /// The name of a store that the user has not named.
    pub(crate) fn store_name(&mut self, settings: Option<&StoreSettings>, prefix: &str) -> Option<String> {
        match settings.and_then(StoreSettings::given_name) {
            Some(_) => None,
            None => Some(self.number(&format!("{prefix}STATE-STORE-"))),
        }
    }

    /// The store of a table that is made of another row by row. Without a name of the user's it is not kept, as in Kafka
    /// Streams: the number is used up, and the table is read through the other.
    pub(crate) fn named_result<K: Data, V: Data>(
        &mut self,
        settings: Option<&StoreSettings>,
        prefix: &str,
        key_serde: &SerdeSlot,
        value_serde: &SerdeSlot,
    ) -> Option<StoreDefinition> {
        let settings = settings?;
        match self.store_name(Some(settings), prefix) {
            None => Some(result_store::<K, V>(settings, None, key_serde, value_serde)),
            Some(_) => None,
        }
    }

    /// How long a store of windows keeps its rows: what the user says, if that is enough.
    pub(crate) fn retention_ms(&mut self, settings: &StoreSettings, least_ms: i64) -> i64 {
        let retention_ms = settings.retention_ms.unwrap_or(least_ms);
        if retention_ms < least_ms {
            let name = settings.given_name().unwrap_or("without a name");
            self.faults.push(format!(
                "the store `{name}` keeps rows for {retention_ms} ms, but its windows and their grace need {least_ms} ms: raise its retention"
            ));
        }
        retention_ms
    }
}
