//! Which partition a record goes to when its sender does not say: by the key's hash, or, without a key, to one partition
//! until about a batch's worth of bytes went there, then to another by chance (KIP-794). Pure: chance is handed in.

/// The partition of a key among `partitions`, as Kafka's own producer chooses it.
///
/// # Panics
/// If `partitions` is not positive.
#[must_use]
pub fn murmur2_partition(key: &[u8], partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// The 32-bit murmur2 hash with Kafka's seed.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    #[allow(clippy::cast_possible_truncation, reason = "the hash takes the low 32 bits of the length")]
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The partition that records without a key go to at the moment, for one topic.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    partition: Option<i32>,
    bytes: usize,
}

impl Sticky {
    /// The current partition; if there is none, or it is gone, one of `available` as `random` says, or of all
    /// `partitions` if none has a leader.
    pub(crate) fn partition(
        &mut self,
        available: &[i32],
        partitions: i32,
        random: impl FnOnce() -> u64,
    ) -> i32 {
        if let Some(partition) = self.partition.filter(|partition| *partition < partitions) {
            return partition;
        }
        let pick = |bound: usize| usize::try_from((u128::from(random()) * bound as u128) >> 64).unwrap_or(0);
        let partition = if available.is_empty() {
            i32::try_from(pick(usize::try_from(partitions).unwrap_or(0))).unwrap_or(0)
        } else {
            available[pick(available.len())]
        };
        self.partition = Some(partition);
        self.bytes = 0;
        partition
    }

    /// Notes that `bytes` went to the current partition. It changes once a batch's worth has gone there, at the end of
    /// a batch if one comes soon, so that batches are full.
    pub(crate) fn sent(&mut self, bytes: usize, batch_closed: bool, batch_size: usize) {
        self.bytes += bytes;
        if self.bytes >= batch_size && (batch_closed || self.bytes >= 2 * batch_size) {
            self.partition = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_kafkas() {
        // The values of Kafka's own UtilsTest.
        let check = |text: &[u8], expected: i32| assert_eq!(murmur2(text), expected, "{text:?}");
        check(b"21", -973_932_308);
        check(b"foobar", -790_332_482);
        check(b"a-little-bit-long-string", -985_981_536);
        check(b"a-little-bit-longer-string", -1_486_304_829);
        check(b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check(b"abc", 479_470_107);
        assert_eq!(murmur2_partition(b"21", 10), (-973_932_308_i32 & 0x7fff_ffff) % 10);
    }

    #[test]
    fn a_sticky_partition_stays_for_a_batch() {
        let mut sticky = Sticky::default();
        let available = [0, 2];
        assert_eq!(sticky.partition(&available, 3, || u64::MAX), 2);
        assert_eq!(sticky.partition(&available, 3, || 0), 2, "it stays");
        sticky.sent(99, true, 100);
        assert_eq!(sticky.partition(&available, 3, || 0), 2, "not yet a batch");
        sticky.sent(1, false, 100);
        assert_eq!(sticky.partition(&available, 3, || 0), 2, "the batch is still open");
        sticky.sent(1, true, 100);
        assert_eq!(sticky.partition(&available, 3, || 0), 0, "the batch is closed");
        sticky.sent(200, false, 100);
        assert_eq!(sticky.partition(&available, 3, || u64::MAX), 2, "two batches' worth is enough");
        assert_eq!(sticky.partition(&available, 2, || 0), 0, "partition 2 is gone");
        assert_eq!(Sticky::default().partition(&[], 4, || u64::MAX), 3, "without a leader any will do");
    }
}
