//! A store as a processor declares it: what a topology needs to make it.

use std::sync::Arc;

use super::session::SessionSettings;
use super::{
    CustomState, CustomStore, KeyValueState, SessionState, StoreSettings, StoreSupplier, VersionedState,
    WindowSettings, WindowState,
};
use crate::data::Data;
use crate::serdes::Serde;

/// A store that a processor declares, without its types.
#[doc(hidden)]
pub struct StoreDeclaration {
    pub(crate) settings: StoreSettings,
    pub(crate) kind: DeclaredKind,
    pub(crate) supplier: StoreSupplier,
    /// What the declaration leaves out, if no operator keeps its result in the store and says it.
    pub(crate) fault: Option<String>,
}

/// The kind of a declared store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeclaredKind {
    KeyValue { timestamped: bool },
    Windows { retention_ms: i64 },
    Sessions { retention_ms: i64 },
    Versioned { history_ms: i64 },
    Custom,
}

pub(super) fn key_value<K: Data, V: Data>(settings: &StoreSettings) -> StoreDeclaration {
    let (key, value) = serdes::<K, V>(settings);
    StoreDeclaration {
        settings: settings.clone(),
        kind: DeclaredKind::KeyValue { timestamped: settings.timestamped },
        supplier: KeyValueState::supplier(key, value),
        fault: None,
    }
}

pub(super) fn windows<K: Data, V: Data>(settings: &StoreSettings) -> StoreDeclaration {
    let (key, value) = serdes::<K, V>(settings);
    let (retention, size) = (settings.retention_ms, settings.window_ms);
    let (retention_ms, size_ms) = (retention.unwrap_or(0), size.unwrap_or(0));
    let fault = match (retention, size) {
        (_, None) => Some("say how long its windows are: `.window(..)`"),
        (None, _) => Some("say how long it keeps its rows: `.retention(..)`"),
        _ if retention_ms < size_ms => Some("its retention must cover a window: raise it"),
        _ => None,
    };
    let windows = WindowSettings { size_ms, retention_ms, hides: true, in_memory: settings.in_memory };
    StoreDeclaration {
        settings: settings.clone(),
        kind: DeclaredKind::Windows { retention_ms },
        supplier: WindowState::supplier(key, value, windows),
        fault: fault.map(|fault| fault_in(settings, fault)),
    }
}

pub(super) fn sessions<K: Data, V: Data>(settings: &StoreSettings) -> StoreDeclaration {
    let (key, value) = serdes::<K, V>(settings);
    let retention_ms = settings.retention_ms.unwrap_or(0);
    let fault = "say how long it keeps its rows: `.retention(..)`";
    // Readers ask for what the retention covers; hiding below them would be the rule of operators.
    let sessions = SessionSettings { retention_ms, hides: false, in_memory: settings.in_memory };
    StoreDeclaration {
        settings: settings.clone(),
        kind: DeclaredKind::Sessions { retention_ms },
        supplier: SessionState::supplier(key, value, sessions),
        fault: settings.retention_ms.is_none().then(|| fault_in(settings, fault)),
    }
}

pub(super) fn versioned<K: Data, V: Data>(settings: &StoreSettings) -> StoreDeclaration {
    let (key, value) = serdes::<K, V>(settings);
    let history_ms = settings.history_ms.unwrap_or(0);
    let fault = "say how far back it can be read: `.history(..)`";
    StoreDeclaration {
        settings: settings.clone(),
        kind: DeclaredKind::Versioned { history_ms },
        supplier: VersionedState::supplier(key, value, history_ms),
        fault: settings.history_ms.is_none().then(|| fault_in(settings, fault)),
    }
}

pub(super) fn custom<S: CustomStore>(settings: &StoreSettings) -> StoreDeclaration {
    let (key, value) = serdes::<S::Key, S::Value>(settings);
    StoreDeclaration {
        settings: settings.clone(),
        kind: DeclaredKind::Custom,
        supplier: CustomState::<S>::supplier(key, value),
        fault: None,
    }
}

fn fault_in(settings: &StoreSettings, fault: &str) -> String {
    format!("the store `{}`: {fault}", settings.name)
}

fn serdes<K: Data, V: Data>(settings: &StoreSettings) -> (Arc<dyn Serde<K>>, Arc<dyn Serde<V>>) {
    let key = settings.key_serde().unwrap_or_else(|| Arc::new(K::Serde::default()));
    (key, settings.value_serde().unwrap_or_else(|| Arc::new(V::Serde::default())))
}
