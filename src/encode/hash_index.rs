//! A map from 64-bit hashes to numbers: the keys are hashes already, so nothing is hashed again.

const EMPTY: u32 = u32::MAX;

/// Open addressing with linear probing, at most half full.
#[derive(Debug, Clone, Default)]
pub(crate) struct HashIndex {
    /// Key and value together: one cache line a look-up.
    slots: Vec<(u64, u32)>,
    len: u32,
}

impl HashIndex {
    /// An index with room for `len` keys.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self { slots: vec![(0, EMPTY); (len * 2).next_power_of_two().max(16)], len: 0 }
    }

    pub(crate) fn get(&self, key: u64) -> Option<u32> {
        let (_, value) = self.slots.get(self.slot(key)?)?;
        (*value != EMPTY).then_some(*value)
    }

    /// The value of `key`; a new key gets the number of keys before it.
    pub(crate) fn intern(&mut self, key: u64) -> u32 {
        if (self.len as usize + 1) * 2 > self.slots.len() {
            self.grow();
        }
        // At most half the slots are taken, so a slot is always found.
        let Some(at) = self.slot(key) else { return EMPTY };
        let slot = &mut self.slots[at];
        if slot.1 == EMPTY {
            *slot = (key, self.len);
            self.len += 1;
        }
        slot.1
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.len as usize
    }

    /// The slot that holds the key or would take it.
    fn slot(&self, key: u64) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose the slot")]
        let mut at = key as usize & mask;
        loop {
            let (known, value) = self.slots[at];
            if value == EMPTY || known == key {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mut larger = Self::with_capacity(self.slots.len().max(16));
        for &(key, value) in self.slots.iter().filter(|(_, value)| *value != EMPTY) {
            if let Some(at) = larger.slot(key) {
                larger.slots[at] = (key, value);
            }
        }
        larger.len = self.len;
        *self = larger;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_hash_map(keys in prop::collection::vec(0_u64..400, 0..600)) {
            let mut index = HashIndex::default();
            let mut map = HashMap::new();
            for key in keys {
                let next = u32::try_from(map.len()).unwrap();
                // Few low bits, so that slots collide.
                prop_assert_eq!(index.intern(key << 3), *map.entry(key << 3).or_insert(next));
            }
            prop_assert_eq!(index.len(), map.len());
            for key in 0..3_300 {
                prop_assert_eq!(index.get(key), map.get(&key).copied());
            }
        }
    }
}
