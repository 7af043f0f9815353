//! Hash to slot: open addressing with linear probing.
//!
//! A bucket is eight bytes, so a probe is one cache miss. The home of a hash is given by its *upper* bits: the buckets
//! lie in the order of their hashes and growing reads and writes memory straight through.

const EMPTY: u32 = u32::MAX;
const SMALLEST: usize = 16;

/// Finds slots by the hash of their key; the caller compares the keys.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Vec<Bucket>,
    /// `hash >> shift` is the home bucket.
    shift: u32,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    hash: u32,
    slot: u32,
}

impl Index {
    pub(crate) fn new() -> Self {
        Index { buckets: empty(SMALLEST), shift: shift_of(SMALLEST), len: 0 }
    }

    /// The slot of this hash for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.buckets.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let bucket = self.buckets[at & mask];
            if bucket.slot == EMPTY {
                return None;
            }
            if bucket.hash == hash && is_it(bucket.slot) {
                return Some(bucket.slot);
            }
            at += 1;
        }
    }

    /// Adds a slot that is not in it.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        if (self.len + 1) * 3 > self.buckets.len() * 2 {
            self.grow();
        }
        self.len += 1;
        self.place(Bucket { hash, slot });
    }

    /// Removes a slot that is in it.
    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        let mask = self.buckets.len() - 1;
        let mut hole = (hash >> self.shift) as usize;
        while self.buckets[hole].slot != slot {
            if self.buckets[hole].slot == EMPTY {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.len -= 1;
        // Close the hole: whoever stands behind it and would rather be there moves up.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            if bucket.slot == EMPTY {
                break;
            }
            let home = (bucket.hash >> self.shift) as usize;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole].slot = EMPTY;
    }

    fn place(&mut self, bucket: Bucket) {
        let mask = self.buckets.len() - 1;
        let mut at = (bucket.hash >> self.shift) as usize;
        while self.buckets[at].slot != EMPTY {
            at = (at + 1) & mask;
        }
        self.buckets[at] = bucket;
    }

    #[cold]
    fn grow(&mut self) {
        let capacity = self.buckets.len() * 2;
        let old = std::mem::replace(&mut self.buckets, empty(capacity));
        self.shift = shift_of(capacity);
        for bucket in old.into_iter().filter(|bucket| bucket.slot != EMPTY) {
            self.place(bucket);
        }
    }
}

fn empty(capacity: usize) -> Vec<Bucket> {
    vec![Bucket { hash: 0, slot: EMPTY }; capacity]
}

fn shift_of(capacity: usize) -> u32 {
    // At 2^32 buckets the shift would be 0; there are fewer slots than that.
    32 - capacity.trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_and_not_what_was_removed() {
        // Few distinct hashes, some at the very end, so that runs are long and wrap around.
        let mut random = 1_u64;
        let mut index = Index::new();
        let mut model: Vec<Option<u32>> = vec![None; 3000];
        for step in 0..60_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let slot = (random >> 33) as usize % if step < 30_000 { 40 } else { model.len() };
            match model[slot] {
                None => {
                    let hash = if random & 0x7000 == 0 {
                        u32::MAX - (slot as u32 % 3)
                    } else {
                        (random >> 40) as u32 * 71
                    };
                    index.insert(hash, slot as u32);
                    model[slot] = Some(hash);
                }
                Some(hash) => {
                    index.remove(hash, slot as u32);
                    model[slot] = None;
                    assert_eq!(index.find(hash, |found| found == slot as u32), None);
                }
            }
            if step % 512 == 0 {
                for (slot, hash) in model.iter().enumerate() {
                    let Some(hash) = hash else { continue };
                    assert_eq!(index.find(*hash, |found| found == slot as u32), Some(slot as u32));
                }
            }
        }
        assert_eq!(index.len, model.iter().flatten().count());
    }
}
