//! **The inside of a protection**: what a future in it does not see.
//!
//! The loop's notes on the cancels in this poll are put aside while the future is polled, and back afterwards, also if it panics.
//! Limits and groups inside work with notes of their own, as if the protection were all that the task awaits.

use crate::aside::Aside;
use crate::engine::Engine;

/// The notes of the outside, while the inside is polled.
pub(super) struct Inside<'a> {
    engine: &'a Engine,
    outside: Aside<'a>,
}

impl Inside<'_> {
    /// From here on what is polled is inside, where the task has at most so many requests of no limit and no group, and so many of
    /// those that are around it.
    pub(super) fn of(engine: &Engine, requests: u32, of_scopes: u32, is_over: bool) -> Inside<'_> {
        let outside = engine.deliveries.put_aside();
        engine.deliveries.asking_around.set(of_scopes);
        engine.deliveries.requests_known.set(Some(requests));
        engine.deliveries.is_grace_over.set(is_over);
        Inside { engine, outside }
    }

    /// The poll has ended. Returns how many cancels came out that were raised inside and that nothing inside has caught.
    pub(super) fn leave(self) -> u32 {
        let Inside { engine, outside } = self;
        let out = engine.cancels_out();
        drop(outside);
        if out > 0 {
            if engine.is_quiet() {
                engine.raise_deliver();
            }
            engine.deliveries.out.update(|before| before + out);
        }
        out
    }
}
