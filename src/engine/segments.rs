//! A table that grows while other threads read it.
//!
//! Two things must be found by number from any thread without a lock: a loop by its index, and the inbox's
//! mark of a task by its slot. A `Vec` cannot grow under a reader. This table grows by whole segments, each
//! twice as long as the one before; a segment that exists never moves.

use std::sync::OnceLock;

const SEGMENTS: usize = 25;

/// Values by number, made on first use.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    segments: [OnceLock<Box<[T]>>; SEGMENTS],
}

impl<T> Segments<T> {
    pub(crate) const fn new() -> Segments<T> {
        Segments { segments: [const { OnceLock::new() }; SEGMENTS] }
    }

    /// The value of this number; its segment is made if need be.
    pub(crate) fn get(&self, number: usize) -> &T
    where
        T: Default,
    {
        let (segment, offset) = Self::place_of(number);
        let segment = self.segments[segment]
            .get_or_init(|| (0..1 << segment).map(|_| T::default()).collect());
        &segment[offset]
    }

    /// Segment 0 holds number 0, segment 1 numbers 1 and 2, segment 2 numbers 3 to 6, …
    fn place_of(number: usize) -> (usize, usize) {
        let segment = (number + 1).ilog2();
        (segment as usize, number + 1 - (1 << segment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_place_of_its_own() {
        let places: std::collections::HashSet<_> =
            (0..10_000).map(Segments::<u8>::place_of).collect();
        assert_eq!(places.len(), 10_000);
        let last = Segments::<u8>::place_of(crate::engine::waker::MAX_SLOTS - 1);
        assert!(last.0 < SEGMENTS && last.1 < 1 << last.0);
    }
}
