//! **Segments**: a table that grows while other threads read it.
//!
//! Any thread must find two things without a lock: a loop by its index, and a task's pending mark in the inbox by its slot. A `Vec`
//! would need the lock, because it moves its values when it grows. This table grows by whole segments, each twice as long as the
//! one before, and a segment never moves. It never shrinks.

use std::sync::OnceLock;

const SEGMENTS: usize = 25;

/// Values by index, created on first use.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    segments: [OnceLock<Box<[T]>>; SEGMENTS],
}

impl<T> Segments<T> {
    pub(crate) const fn new() -> Segments<T> {
        Segments { segments: [const { OnceLock::new() }; SEGMENTS] }
    }

    /// The value at this index. Allocates its segment if that does not exist.
    pub(crate) fn get(&self, index: usize) -> &T
    where
        T: Default,
    {
        let (segment, offset) = Self::locate(index);
        let segment = self.segments[segment]
            .get_or_init(|| (0..1 << segment).map(|_| T::default()).collect());
        &segment[offset]
    }

    /// Segment 0 holds index 0, segment 1 holds 1 and 2, segment 2 holds 3 to 6, …
    fn locate(index: usize) -> (usize, usize) {
        let segment = (index + 1).ilog2();
        (segment as usize, index + 1 - (1 << segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_position_of_its_own() {
        let positions: std::collections::HashSet<_> =
            (0..10_000).map(Segments::<u8>::locate).collect();
        assert_eq!(positions.len(), 10_000);
        let last = Segments::<u8>::locate(crate::base::id::MAX_SLOTS - 1);
        assert!(last.0 < SEGMENTS && last.1 < 1 << last.0);
    }
}
