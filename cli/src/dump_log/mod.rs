//! `anabranch dump-log`: what lies in the files of a log, as `kafka-dump-log` prints it. Reads files, changes nothing.

mod indexes;
mod segment;
mod verify;

use std::path::{Path, PathBuf};

use anabranch_host::Host;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Args;

use crate::connect::ignored;
use crate::deserializer::Deserializer;
use crate::internal_records::RecordDecoder;

/// What the command takes.
#[derive(Debug, Args)]
pub(crate) struct DumpLogArguments {
    /// Files: *.log, *.index, *.timeindex, *.txnindex, *.snapshot, *.checkpoint
    #[arg(long, value_name = "FILE,..", value_delimiter = ',', required = true)]
    files: Vec<PathBuf>,
    /// Also print the records.
    #[arg(long)]
    print_data_log: bool,
    /// Also walk the records of compressed batches.
    #[arg(long)]
    deep_iteration: bool,
    /// Print the records of __consumer_offsets as what they say.
    #[arg(long, conflicts_with_all = ["transaction_log_decoder", "cluster_metadata_decoder"])]
    offsets_decoder: bool,
    /// Print the records of __transaction_state as what they say.
    #[arg(long, conflicts_with = "cluster_metadata_decoder")]
    transaction_log_decoder: bool,
    /// Print the records of __cluster_metadata as what they say.
    #[arg(long)]
    cluster_metadata_decoder: bool,
    /// There are no share groups here.
    #[arg(long)]
    share_group_state_decoder: bool,
    /// There is no tiered storage here.
    #[arg(long)]
    remote_log_metadata_decoder: bool,
    /// Print the records, and keys as StringDecoder, IntegerDecoder or LongDecoder read them.
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = "StringDecoder", value_parser = Deserializer::of_decoder)]
    key_decoder_class: Option<Deserializer>,
    /// Print the records, and values as one of these reads them.
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = "StringDecoder", value_parser = Deserializer::of_decoder)]
    value_decoder_class: Option<Deserializer>,
    /// Of records print keys and values only.
    #[arg(long)]
    skip_record_metadata: bool,
    /// Read no more of a segment.
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<usize>,
    /// Ignored: batches of any size are read.
    #[arg(long, value_name = "BYTES")]
    max_message_size: Option<usize>,
    /// Only check that indexes can be read.
    #[arg(long)]
    index_sanity_check: bool,
    /// Only check that indexes say what is in their segment.
    #[arg(long)]
    verify_index_only: bool,
    /// Print a JSON object for each batch or entry.
    #[arg(long)]
    json: bool,
}

impl DumpLogArguments {
    /// How records are told, if not as text.
    fn decoder(&self) -> Option<RecordDecoder> {
        match (self.offsets_decoder, self.transaction_log_decoder, self.cluster_metadata_decoder) {
            (true, _, _) => Some(RecordDecoder::Offsets),
            (_, true, _) => Some(RecordDecoder::Transactions),
            (_, _, true) => Some(RecordDecoder::Metadata),
            (false, false, false) => None,
        }
    }

    /// Whether records are printed.
    fn prints_data(&self) -> bool {
        let has_decoder = self.key_decoder_class.is_some() || self.value_decoder_class.is_some();
        self.print_data_log || has_decoder || self.decoder().is_some()
    }
}

pub(crate) fn run(arguments: DumpLogArguments) -> Result<()> {
    if arguments.share_group_state_decoder {
        bail!("--share-group-state-decoder: there are no share groups here");
    }
    if arguments.remote_log_metadata_decoder {
        bail!("--remote-log-metadata-decoder: there is no tiered storage here");
    }
    ignored("--max-message-size", &arguments.max_message_size, "batches of any size are read");
    let (host, _runtime) = Host::real(1).context("cannot start threads")?;
    for path in &arguments.files {
        let bytes = host.disk().read(path).with_context(|| path.display().to_string())?;
        let dumped = if is_index(path) && (arguments.index_sanity_check || arguments.verify_index_only) {
            let segment = host.disk().read(&path.with_extension("log"));
            let segment = segment.with_context(|| path.with_extension("log").display().to_string());
            check_index(path, &bytes, segment.map(Bytes::from), &arguments)
        } else {
            dump(path, bytes, &arguments)
        };
        dumped.with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "index" || ending == "timeindex")
}

/// The first offset of the segment that a file belongs to, and what the file is of it.
fn parse_name(path: &Path) -> (Option<i64>, &str) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (offset, suffix) = name.split_once('.').unwrap_or((name, ""));
    (offset.parse().ok(), suffix)
}

/// End offset and epoch in the name of a snapshot of metadata.
fn parse_snapshot_name(path: &Path) -> Option<(i64, i32)> {
    let (end_offset, epoch) = path.file_stem()?.to_str()?.split_once('-')?;
    Some((end_offset.parse().ok()?, epoch.parse().ok()?))
}

/// Looks at an index without printing it.
fn check_index(
    path: &Path,
    bytes: &[u8],
    segment: Result<Bytes>,
    arguments: &DumpLogArguments,
) -> Result<()> {
    println!("Dumping {}", path.display());
    let (base_offset, suffix) = parse_name(path);
    let base_offset = base_offset.context("the name says no offset")?;
    let is_of_times = suffix == "timeindex";
    if bytes.is_empty() && !is_of_times {
        println!("{} is empty.", path.display());
        return Ok(());
    }
    if arguments.index_sanity_check {
        let entry_bytes = if is_of_times { indexes::TIME_ENTRY_BYTES } else { indexes::OFFSET_ENTRY_BYTES };
        indexes::check_sanity(bytes, entry_bytes)?;
        println!("{} passed sanity check.", path.display());
        return Ok(());
    }
    if is_of_times {
        verify::verify_times(base_offset, bytes, segment?)
    } else {
        verify::verify_offsets(base_offset, bytes, segment?)
    }
}

fn dump(path: &Path, bytes: Vec<u8>, arguments: &DumpLogArguments) -> Result<()> {
    let (base_offset, suffix) = parse_name(path);
    if !arguments.json {
        println!("Dumping {}", path.display());
    }
    match (suffix, base_offset) {
        ("log", Some(base_offset)) => {
            segment::dump(&format!("Log starting offset: {base_offset}"), bytes, arguments)
        }
        ("checkpoint", None) => {
            let (end_offset, epoch) =
                parse_snapshot_name(path).context("the name is not that of a snapshot")?;
            segment::dump(&format!("Snapshot end offset: {end_offset}, epoch: {epoch}"), bytes, arguments)
        }
        ("index", Some(_)) if bytes.is_empty() && !arguments.json => {
            println!("{} is empty.", path.display());
            Ok(())
        }
        ("index", Some(base_offset)) => indexes::dump_offsets(base_offset, &bytes, arguments.json),
        ("timeindex", Some(base_offset)) => indexes::dump_times(base_offset, &bytes, arguments.json),
        ("txnindex", Some(_)) => indexes::dump_aborted(&bytes, arguments.json),
        ("snapshot", Some(_)) => indexes::dump_producers(&bytes, arguments.json),
        _ => bail!(
            "the name is none of a log's files: an offset of 20 digits, then .log, .index, .timeindex, .txnindex or .snapshot; \
             or offset-epoch.checkpoint"
        ),
    }
}
