//! **The signal**: what a checkpoint is to do when it is polled.
//!
//! It is one byte of the loop, so the test of a checkpoint that has nothing unusual to do is one comparison. The highest bit is not
//! about cancels: it leads the checkpoints to their slow paths while an observer is told what they wait for (`trace/`). It costs the
//! others nothing, because no test of the byte is added for it.

use std::cell::Cell;

/// What a checkpoint is to do when it is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(u8);

#[allow(non_upper_case_globals)] // the cases of an enum: a struct, so that its byte can be masked without a table
impl Signal {
    /// Go on: nothing is being delivered.
    pub(crate) const Quiet: Signal = Signal(0);
    /// Answer that it waits, and return `Pending`: for a limit without any time.
    pub(crate) const Asking: Signal = Signal(1);
    /// Note the number, and return `Pending`.
    pub(crate) const Mark: Signal = Signal(2);
    /// The first that is polled is interrupted: the task awaits one thing.
    pub(crate) const First: Signal = Signal(3);
    /// The same, but the cancel has been forwarded already to the task that the first awaits.
    pub(crate) const Forwarded: Signal = Signal(4);
    /// The next that is polled is interrupted: the code that is running now has turned a cancel into an error, and gets the
    /// cancel again where it awaits next.
    pub(crate) const Next: Signal = Signal(5);
    /// Those that have noted the number of a delivery that is going on are interrupted.
    pub(crate) const Deliver: Signal = Signal(6);
}

/// The signal of a loop, and whether its checkpoints are watched.
#[derive(Default)]
pub(crate) struct SignalCell(Cell<u8>);

impl SignalCell {
    const WATCHED: u8 = 1 << 7;

    /// Quiet and not watched.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.0.get() == 0
    }

    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.get() == Signal::Quiet
    }

    #[inline]
    pub(crate) fn get(&self) -> Signal {
        Signal(self.0.get() & !SignalCell::WATCHED)
    }

    #[inline]
    pub(crate) fn set(&self, signal: Signal) {
        self.0.set(self.0.get() & SignalCell::WATCHED | signal.0);
    }

    #[inline]
    pub(crate) fn replace(&self, signal: Signal) -> Signal {
        let before = self.get();
        self.set(signal);
        before
    }

    pub(super) fn watch(&self, is_watched: bool) {
        let Signal(signal) = self.get();
        self.0.set(if is_watched { signal | SignalCell::WATCHED } else { signal });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_comes_back_watched_or_not() {
        let cell = SignalCell::default();
        assert!(cell.is_plain());
        for is_watched in [true, false] {
            cell.watch(is_watched);
            for signal in (0..=6).map(Signal) {
                cell.set(signal);
                assert_eq!(cell.get(), signal);
                assert_eq!(cell.is_quiet(), signal == Signal::Quiet);
                assert_eq!(cell.is_plain(), signal == Signal::Quiet && !is_watched);
            }
            assert_eq!(cell.replace(Signal::Quiet), Signal::Deliver);
        }
    }
}
