//! What makes a loop's spawns and polls unusual: bits that lead to slow paths.
//!
//! A test for each feature that may be switched on would cost every spawn and every poll an instruction or two for each. So those
//! features share a byte, and a hot path tests all that concern it at once.

use std::cell::Cell;

/// The byte of one loop.
#[derive(Default)]
pub(crate) struct Unusual(Cell<u8>);

impl Unusual {
    /// A task has set a task-local, so a task that is spawned may inherit some.
    pub(crate) const HAS_LOCALS: u8 = 1;
    /// Slow polls are reported, or polls are noted for the report of a livelock.
    pub(crate) const TIMES_POLLS: u8 = 2;
    /// An observer is told of everything.
    pub(crate) const IS_TRACED: u8 = 4;
    /// An observer is to be told from the next turn on.
    pub(crate) const WILL_BE_TRACED: u8 = 8;
    /// A task that is spawned is polled at once.
    pub(crate) const STARTS_EAGERLY: u8 = 16;
    /// The loop asks what to do at each decision, in place of doing the first.
    pub(crate) const IS_EXPLORED: u8 = 32;

    /// Whether any of these bits is set.
    #[inline]
    pub(crate) fn has(&self, bits: u8) -> bool {
        self.0.get() & bits != 0
    }

    pub(crate) fn set(&self, bit: u8, is_set: bool) {
        let others = self.0.get() & !bit;
        self.0.set(if is_set { others | bit } else { others });
    }
}
