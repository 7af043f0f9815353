//! 128 bits that stand for a key: SipHash-2-4 with a secret.
//!
//! The offset map knows keys by their hash alone, so two keys of one hash would cost a record. At 128 bits chance does
//! not do that, and without the secret nobody can on purpose (Kafka takes MD5, for which such keys are known).

/// A hash of a key.
pub(super) type Hash = [u64; 2];

/// The secret, drawn for each round.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHasher {
    secret: [u64; 2],
}

struct State([u64; 4]);

impl State {
    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }

    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn squeeze(&mut self) -> u64 {
        (0..4).for_each(|_| self.round());
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }
}

impl KeyHasher {
    pub(super) fn new(secret: [u64; 2]) -> KeyHasher {
        KeyHasher { secret }
    }

    pub(super) fn hash(&self, key: &[u8]) -> Hash {
        let [low, high] = self.secret;
        let mut state = State([
            low ^ 0x736f_6d65_7073_6575,
            high ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            low ^ 0x6c79_6765_6e65_7261,
            high ^ 0x7465_6462_7974_6573,
        ]);
        let (words, tail) = key.as_chunks::<8>();
        words.iter().for_each(|word| state.absorb(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        last[7] = key.len() as u8;
        state.absorb(u64::from_le_bytes(last));
        state.0[2] ^= 0xee;
        let first = state.squeeze();
        state.0[1] ^= 0xdd;
        [first, state.squeeze()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_reference() {
        let secret: [u8; 16] = std::array::from_fn(|n| n as u8);
        let word = |at: usize| u64::from_le_bytes(secret[at..at + 8].try_into().unwrap());
        let hasher = KeyHasher::new([word(0), word(8)]);
        let hex = |length: usize| {
            let key: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let [first, second] = hasher.hash(&key).map(u64::to_le_bytes);
            first.iter().chain(&second).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hex(0), "a3817f04ba25a8e66df67214c7550293");
        assert_eq!(hex(1), "da87c1d86b99af44347659119b22fc45");
        let mut all: Vec<_> = (0..64).map(hex).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 64);
    }
}
