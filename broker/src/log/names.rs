//! How the files of a log are called: Kafka's names.

/// The file that holds records.
pub(crate) const LOG_SUFFIX: &str = ".log";
/// The file that leads from offsets to positions.
pub(crate) const INDEX_SUFFIX: &str = ".index";
/// The file that leads from timestamps to offsets.
pub(crate) const TIME_INDEX_SUFFIX: &str = ".timeindex";
/// The aborted transactions of a segment.
pub(crate) const TRANSACTION_INDEX_SUFFIX: &str = ".txnindex";
/// The checksum of a file of aborted transactions; a name of our own.
pub(crate) const TRANSACTION_CHECKSUM_SUFFIX: &str = ".txnchecksum";
/// The state of the producers at an offset.
pub(crate) const SNAPSHOT_SUFFIX: &str = ".snapshot";
/// What a file is called that will be removed soon.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// Digits of an offset in a name.
const OFFSET_DIGITS: usize = 20;

/// `00000000000000000042.log` and the like.
pub(crate) fn offset_file_name(offset: i64, suffix: &str) -> String {
    format!("{offset:0OFFSET_DIGITS$}{suffix}")
}

/// The offset in a name that ends in `suffix`.
pub(crate) fn parse_offset_file_name(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?;
    let is_offset = digits.len() == OFFSET_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        let name = offset_file_name(42, LOG_SUFFIX);
        assert_eq!(name, "00000000000000000042.log");
        assert_eq!(parse_offset_file_name(&name, LOG_SUFFIX), Some(42));
        for other in [
            "42.log",
            "00000000000000000042.log.deleted",
            "0000000000000000004x.log",
            "+0000000000000000042.log",
        ] {
            assert_eq!(parse_offset_file_name(other, LOG_SUFFIX), None, "{other}");
        }
    }
}
