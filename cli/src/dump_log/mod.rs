//! `anabranch dump-log`: what lies in the files of a log, as `kafka-dump-log` prints it. Reads files, changes nothing.

mod indexes;
mod segment;

use std::path::{Path, PathBuf};

use anabranch_host::Host;
use anyhow::{Context, Result, bail};
use clap::Args;

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct DumpLogArguments {
    /// Files: *.log, *.index, *.timeindex, *.txnindex, *.snapshot
    #[arg(long, value_name = "FILE,..", value_delimiter = ',', required = true)]
    files: Vec<PathBuf>,
    /// Also print the records.
    #[arg(long)]
    print_data_log: bool,
    /// Also walk the records of compressed batches.
    #[arg(long)]
    deep_iteration: bool,
    /// Print no keys and values.
    #[arg(long)]
    skip_record_metadata: bool,
    /// Print a JSON object for each batch.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: DumpLogArguments) -> Result<()> {
    let (host, _runtime) = Host::real(1).context("cannot start threads")?;
    for path in &arguments.files {
        let bytes = host.disk().read(path).with_context(|| path.display().to_string())?;
        dump(path, bytes, &arguments).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn dump(path: &Path, bytes: Vec<u8>, arguments: &DumpLogArguments) -> Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (offset, suffix) = name.split_once('.').unwrap_or((name, ""));
    let base_offset = offset.parse::<i64>().ok();
    if !arguments.json {
        println!("Dumping {}", path.display());
    }
    match (suffix, base_offset) {
        ("log", Some(base_offset)) => segment::dump(base_offset, bytes, arguments),
        ("index", Some(base_offset)) => indexes::dump_offsets(base_offset, &bytes),
        ("timeindex", Some(base_offset)) => indexes::dump_times(base_offset, &bytes),
        ("txnindex", Some(_)) => indexes::dump_aborted(&bytes),
        ("snapshot", Some(_)) => indexes::dump_producers(&bytes),
        _ => bail!(
            "the name is none of a log's files: an offset of 20 digits, then .log, .index, .timeindex, .txnindex or .snapshot"
        ),
    }
}
