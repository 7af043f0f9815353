//! The hash that tells versions of a left value apart: Murmur3, 128 bits, for 64-bit machines, with Kafka Streams' seed.

const SEED: u64 = 104_729;
const C1: u64 = 0x87c3_7b91_1142_53d5;
const C2: u64 = 0x4cf5_ad43_2745_937f;

/// The hash of a value's bytes, as it stands on the wire.
pub(crate) type ValueHash = [u8; 16];

/// Hashes a value's bytes.
pub(crate) fn value_hash(bytes: &[u8]) -> ValueHash {
    let (mut h1, mut h2) = (SEED, SEED);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let [k1, k2] = words(block);
        h1 ^= mix_first(k1);
        h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 ^= mix_second(k2);
        h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    if !tail.is_empty() {
        let mut block = [0; 16];
        block[..tail.len()].copy_from_slice(tail);
        let [k1, k2] = words(&block);
        // A word of zeros mixes to zero: nothing is lost if the tail is short.
        h2 ^= mix_second(k2);
        h1 ^= mix_first(k1);
    }
    let length = bytes.len() as u64;
    (h1, h2) = (h1 ^ length, h2 ^ length);
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    (h1, h2) = (finish(h1), finish(h2));
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&h1.to_be_bytes());
    hash[8..].copy_from_slice(&h2.to_be_bytes());
    hash
}

fn words(block: &[u8; 16]) -> [u64; 2] {
    let both = u128::from_le_bytes(*block);
    [both as u64, (both >> 64) as u64]
}

fn mix_first(word: u64) -> u64 {
    word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2)
}

fn mix_second(word: u64) -> u64 {
    word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1)
}

fn finish(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: u128) {
        let hash = u128::from_be_bytes(value_hash(text.as_bytes()));
        assert_eq!(hash, expected, "{text:?} hashes to {hash:032x}");
    }

    #[test]
    fn hashes_are_kafka_streams() {
        check("fk", 0x3741_d47f_121e_024f_093b_606d_c1f7_c4c6);
        check("banana", 0x9feb_ffc1_82ed_609e_8dfe_a88c_b485_2e35);
        check("cat dog", 0x5ea1_baba_c9f3_85fd_db50_af0a_b7ed_2f5e);
    }
}
