//! **A slab**: values by a small key. The keys of removed values are used again.
//!
//! A key has no generation, as ids have: it belongs to the code that inserted the value, until that code removes it.

/// Values by key.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: Vec::new() }
    }

    /// # Panics
    /// If there are more than four billion values.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.insert_below(u32::MAX, value).expect("more than four billion values")
    }

    /// Inserts under a key below `limit`. `None` if all of these are in use.
    pub(crate) fn insert_below(&mut self, limit: u32, value: T) -> Option<u32> {
        if let Some(key) = self.free.pop() {
            self.entries[key as usize] = Some(value);
            return Some(key);
        }
        let key = u32::try_from(self.entries.len()).ok().filter(|key| *key < limit)?;
        self.entries.push(Some(value));
        self.free.reserve(self.entries.capacity()); // so that to remove allocates nothing
        Some(key)
    }

    /// Gives back the memory behind the last value.
    pub(crate) fn trim(&mut self) {
        while self.entries.pop_if(|entry| entry.is_none()).is_some() {}
        self.free.retain(|key| (*key as usize) < self.entries.len());
        self.entries.shrink_to_fit();
        self.free.shrink_to(self.entries.capacity());
    }

    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        self.entries.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.entries.get_mut(key as usize)?.as_mut()
    }

    /// Replaces the value with this key.
    pub(crate) fn set(&mut self, key: u32, value: T) {
        self.entries[key as usize] = Some(value);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().flatten()
    }

    /// Takes the value out. The key stays in use until `remove`.
    pub(crate) fn take(&mut self, key: u32) -> Option<T> {
        self.entries[key as usize].take()
    }

    /// Frees the key, and returns the value if it was not taken.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        self.free.push(key);
        self.entries[key as usize].take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_used_again_and_a_trim_gives_back_those_behind_the_last_value() {
        let mut slab = Slab::new();
        for key in 0..8 {
            assert_eq!(slab.insert(key), key);
        }
        for key in [3, 4, 5, 6, 7, 1] {
            assert_eq!(slab.remove(key), Some(key));
        }
        slab.trim();
        assert_eq!([slab.insert(10), slab.insert(11), slab.insert(12)], [1, 3, 4]);
        assert_eq!(slab.iter().copied().collect::<Vec<_>>(), [0, 10, 2, 11, 12]);
    }

    #[test]
    fn no_key_reaches_the_limit() {
        let mut slab = Slab::new();
        assert_eq!([slab.insert_below(1, 'a'), slab.insert_below(1, 'b')], [Some(0), None]);
    }
}
