//! How what is counted is registered: families of metrics, each with its labels.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Metric, Registry, Unit};

/// What tells the metrics of a family apart.
pub(super) type Labels = Vec<(&'static str, String)>;
/// Time that adds up.
pub(super) type Seconds = Counter<f64, AtomicU64>;

pub(super) fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

pub(super) fn in_unit<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    unit: Unit,
    metric: M,
) -> M {
    registry.register_with_unit(name, help, unit, metric.clone());
    metric
}
