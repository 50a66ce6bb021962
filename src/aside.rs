//! **Notes put aside**: what a loop knows of the cancels in the poll that is going on, while something is polled in it that these
//! cancels do not concern: the inside of a protection, or another task.
//!
//! It stands on `delivery`.

use std::mem;

use crate::delivery::{Deliveries, Signal};

/// The notes of the poll around. They are put back when this is dropped, also if the poll inside panics.
pub(crate) struct Aside<'a> {
    deliveries: &'a Deliveries,
    signal: Signal,
    innermost: u32,
    active: Vec<u32>,
    out: u32,
    holding: u32,
    asking_around: u32,
    requests_known: Option<u32>,
    is_grace_over: bool,
    has_caught: bool,
    several_awaited: bool,
}

impl Deliveries {
    /// Puts the notes aside: nothing is being delivered, and nothing is around what is polled next.
    pub(crate) fn put_aside(&self) -> Aside<'_> {
        Aside {
            deliveries: self,
            signal: self.signal.replace(Signal::Quiet),
            innermost: self.innermost.replace(0),
            active: self.active.take(),
            out: self.out.replace(0),
            holding: self.holding.replace(0),
            asking_around: self.asking_around.replace(0),
            requests_known: self.requests_known.replace(None),
            is_grace_over: self.is_grace_over.replace(false),
            has_caught: self.caught.get(),
            several_awaited: self.several_awaited.replace(false),
        }
    }

    /// Whether there is nothing to put aside. (What is counted is set anew when a delivery begins, and while none goes on no scope is
    /// the innermost.)
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        debug_assert!(
            !self.signal.is_quiet() || self.innermost.get() == 0,
            "a scope without a delivery"
        );
        let is_usual = !self.several_awaited.get() && self.requests_known.get().is_none();
        self.signal.is_quiet() && self.asking_around.get() == 0 && is_usual
    }

    /// Whether this poll only asks what is awaited, so that no code should do anything in it.
    pub(crate) fn only_asks(&self) -> bool {
        matches!(self.signal.get(), Signal::Asking | Signal::Mark)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        let d = self.deliveries;
        d.signal.set(self.signal);
        d.innermost.set(self.innermost);
        d.active.replace(mem::take(&mut self.active));
        d.out.set(self.out);
        d.holding.set(self.holding);
        d.asking_around.set(self.asking_around);
        d.requests_known.set(self.requests_known);
        d.is_grace_over.set(self.is_grace_over);
        d.caught.set(self.has_caught);
        d.several_awaited.set(self.several_awaited);
    }
}
