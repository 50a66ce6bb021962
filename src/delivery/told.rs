//! What a checkpoint remembers of a delivery, and what a delivery does to it.

use std::cell::Cell;

/// What a checkpoint has noted: the number of a delivery, and in the lowest bit whether it holds its branch.
#[derive(Debug, Default)]
pub(crate) struct Told(Cell<u32>);

impl Told {
    const HOLDS: u32 = 1;
    pub(super) const NUMBERS: u32 = u32::MAX >> 1;

    pub(super) fn number(&self) -> u32 {
        self.0.get() >> 1
    }

    /// False if the number was noted before.
    pub(super) fn note(&self, number: u32) -> bool {
        let is_new = self.number() != number;
        if is_new {
            self.0.set(number << 1); // a new delivery is forwarded anew: it holds no more
        }
        is_new
    }

    /// The same for a number that may have been noted before, by a checkpoint that held its branch.
    pub(super) fn note_anew(&self, number: u32) {
        self.0.set(number << 1);
    }

    pub(crate) fn holds(&self) -> bool {
        self.0.get() & Told::HOLDS != 0
    }

    /// From here on it holds its branch.
    pub(super) fn hold(&self) {
        self.0.set(self.0.get() | Told::HOLDS);
    }

    pub(crate) fn forget(&self) {
        self.0.set(0);
    }
}

/// What a cancel does to a checkpoint that passes it on, a join or a gathering.
#[derive(Debug, PartialEq)]
pub(crate) enum Visit {
    /// It goes on as always.
    Go,
    /// It returns `Pending`, and does nothing else.
    Wait,
    /// It is interrupted. `true` if the cancel was forwarded before, to what it awaits: then it need not pass it on.
    Interrupted(bool),
}
