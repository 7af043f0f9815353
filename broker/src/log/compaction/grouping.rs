//! Which segments are written into one: as many as fit, so that what shrinks does not stay in ever smaller files.

use super::source::Source;

/// Bytes that the larger index takes for each entry.
const INDEX_ENTRY_BYTES: u64 = 12;
/// The fewest bytes between two entries: a batch.
const MIN_INTERVAL_BYTES: u64 = 61;

/// The bounds of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentBounds {
    pub(super) segment_bytes: u64,
    pub(super) index_bytes: u64,
    pub(super) index_interval_bytes: u64,
}

/// Neighbours that fit into one segment together, by their present sizes.
pub(super) fn group(sources: &[Source], bounds: SegmentBounds) -> Vec<&[Source]> {
    let index_bytes =
        |bytes: u64| (bytes / bounds.index_interval_bytes.max(MIN_INTERVAL_BYTES) + 1) * INDEX_ENTRY_BYTES;
    let mut groups = Vec::new();
    let mut rest = sources;
    while let Some(first) = rest.first() {
        let (mut bytes, mut index) = (0, 0);
        let mut count = 0;
        for source in rest {
            bytes += u64::from(source.bytes);
            index += index_bytes(u64::from(source.bytes));
            let fits = bytes <= bounds.segment_bytes
                && index <= bounds.index_bytes
                && source.end_offset - 1 - first.base_offset <= i64::from(i32::MAX);
            if count > 0 && !fits {
                break;
            }
            count += 1;
        }
        let (group, after) = rest.split_at(count);
        groups.push(group);
        rest = after;
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use anabranch_host::Host;

    use super::*;
    use crate::open_files::OpenFiles;

    #[test]
    fn neighbours_that_fit_go_together() {
        let (host, _runtime) = Host::real(1).unwrap();
        let open_files = OpenFiles::new(host.disk(), 1);
        let check = |sizes: &[(u32, i64)], segment_bytes: u64, index_bytes: u64, expected: &[usize]| {
            let mut base_offset = 0;
            let sources: Vec<_> = sizes
                .iter()
                .map(|&(bytes, offsets)| {
                    let end_offset = base_offset + offsets;
                    let file = open_files.file(PathBuf::new());
                    let source = Source { base_offset, end_offset, bytes, created_ms: 0, file };
                    base_offset = end_offset;
                    source
                })
                .collect();
            let bounds = SegmentBounds { segment_bytes, index_bytes, index_interval_bytes: 100 };
            let lengths: Vec<_> = group(&sources, bounds).iter().map(|group| group.len()).collect();
            assert_eq!(lengths, expected, "{sizes:?}");
        };
        check(&[], 1000, 1000, &[]);
        check(&[(400, 1), (600, 1), (1, 1)], 1000, 1000, &[2, 1]);
        check(&[(4000, 1), (1, 1), (1, 1)], 1000, 1000, &[1, 2]);
        check(&[(400, 1), (400, 1), (100, 1)], 1000, 120, &[2, 1]);
        let far = 1 << 30;
        check(&[(1, far), (1, far), (1, 1)], 1000, 1000, &[2, 1]);
    }
}
