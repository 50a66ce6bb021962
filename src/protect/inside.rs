//! **The inside of a protection**: what a future in it does not see.
//!
//! The loop's notes on the cancels in this poll are put aside while the future is polled, and back afterwards, also if it panics.
//! Limits and groups inside work with notes of their own, as if the protection were all that the task awaits.

use crate::delivery::{Deliveries, Signal};
use crate::engine::Engine;

/// The notes of the outside, while the inside is polled.
pub(super) struct Inside<'a> {
    engine: &'a Engine,
    signal: Signal,
    innermost: u32,
    active: Vec<u32>,
    out: u32,
    holding: u32,
    looks_nested: u32,
    asking_around: u32,
    requests_known: Option<u32>,
    is_grace_over: bool,
    has_caught: bool,
    several_awaited: bool,
}

impl Inside<'_> {
    /// From here on what is polled is inside, where the task has at most so many requests of no limit and no group, and so many of
    /// those that are around it.
    pub(super) fn of(engine: &Engine, requests: u32, of_scopes: u32, is_over: bool) -> Inside<'_> {
        let d: &Deliveries = &engine.deliveries;
        Inside {
            engine,
            signal: d.signal.replace(Signal::Quiet),
            innermost: d.innermost.replace(0),
            active: d.active.take(),
            out: d.out.replace(0),
            holding: d.holding.replace(0),
            looks_nested: d.looks_nested.replace(0),
            asking_around: d.asking_around.replace(of_scopes),
            requests_known: d.requests_known.replace(Some(requests)),
            is_grace_over: d.is_grace_over.replace(is_over),
            has_caught: d.caught.get(),
            several_awaited: d.several_awaited.replace(false),
        }
    }

    /// The poll has ended. Returns how many cancels came out that were raised inside and that nothing inside has caught.
    pub(super) fn leave(self) -> u32 {
        let engine = self.engine;
        let out = engine.cancels_out();
        drop(self);
        if out > 0 {
            if engine.is_quiet() {
                engine.raise_deliver();
            }
            engine.deliveries.out.update(|before| before + out);
        }
        out
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let d = &self.engine.deliveries;
        d.signal.set(self.signal);
        d.innermost.set(self.innermost);
        d.active.replace(std::mem::take(&mut self.active));
        d.out.set(self.out);
        d.holding.set(self.holding);
        d.looks_nested.set(self.looks_nested);
        d.asking_around.set(self.asking_around);
        d.requests_known.set(self.requests_known);
        d.is_grace_over.set(self.is_grace_over);
        d.caught.set(self.has_caught);
        d.several_awaited.set(self.several_awaited);
    }
}
