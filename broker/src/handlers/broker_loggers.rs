//! Broker loggers (KIP-412), as DescribeConfigs shows and IncrementalAlterConfigs changes them.
//!
//! They are no part of the metadata: what is changed holds for this process, until it ends.

use std::collections::BTreeMap;

use anabranch_protocol::ErrorCode;
use anabranch_protocol::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::incremental_alter_configs::{DELETE, SET, check_keys};
use crate::loggers::{LEVELS, ROOT};
use crate::metadata::creation::Refusal;
use crate::node::Node;

/// The loggers of the broker of this name.
///
/// # Errors
/// If that is another broker.
pub(super) fn of(node: &Node, name: &str) -> Result<BTreeMap<String, LevelFilter>, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    if name.is_empty() {
        return invalid("Broker id must not be empty".to_string());
    }
    if name.parse::<i32>().is_err() {
        return invalid(format!("Node id must be an integer, but it is: {name}"));
    }
    if name != node.name {
        return invalid(format!("Unexpected broker id, expected {}, but received {name}", node.name));
    }
    Ok(node.loggers.get().map(|loggers| loggers.levels()).unwrap_or_default())
}

/// Changes the levels of loggers, all that are named or none.
///
/// # Errors
/// If one does not exist, or cannot have what it is to have.
pub(super) fn alter(
    node: &Node,
    resource: &AlterConfigsResource<'_>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let known = of(node, resource.resource_name)?;
    check_keys(&resource.configs)?;
    let wanted = resource.configs.iter().map(|config| wanted(&known, config));
    let wanted: Vec<(&str, Option<Level>)> = wanted.collect::<Result<_, _>>()?;
    if let Some(loggers) = node.loggers.get().filter(|_| !validate_only) {
        for (logger, level) in wanted {
            let level_name = level.as_ref().map(Level::as_str);
            tracing::info!(logger, level = level_name, "a logger is changed");
            loggers.set(logger, level);
        }
    }
    Ok(())
}

fn wanted<'a>(
    known: &BTreeMap<String, LevelFilter>,
    config: &AlterableConfig<'a>,
) -> Result<(&'a str, Option<Level>), Refusal> {
    let (logger, operation) = (config.name, config.config_operation);
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message.to_string()));
    let invalid_config = |message: String| Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
    if operation != SET && operation != DELETE {
        return invalid("Levels of loggers are set or deleted: they are no lists.");
    }
    if !known.contains_key(logger) {
        return invalid_config(format!("Logger {logger} does not exist!"));
    }
    match config.value {
        _ if operation == DELETE && logger == ROOT => {
            invalid("Removing the log level of the root logger is not allowed")
        }
        _ if operation == DELETE => Ok((logger, None)),
        value => match LEVELS.iter().find(|(name, _)| Some(*name) == value) {
            Some((_, level)) => Ok((logger, Some(*level))),
            None => invalid_config(format!(
                "Cannot set the log level of {logger} to {}: valid levels are {}",
                value.unwrap_or("null"),
                LEVELS.map(|(name, _)| name).join(", ")
            )),
        },
    }
}
