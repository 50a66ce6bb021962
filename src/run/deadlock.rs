//! **Deadlocks**: no task is ready, no timer is set, and nothing outside can wake the loop.
//!
//! Such a loop would park for ever, so `run` returns an error instead, which says what each task waits for. To note that at each
//! await would make all awaits slower. So the loop asks only now: each task is polled once more with [`Signal::Asking`], and each
//! checkpoint answers and does nothing else. A deadlock behind a foreign future is not noticed: its waker may be on another thread.
//! The error itself, and its text, is `Deadlock` in `error/mod.rs`.

use super::EventLoop;
use crate::delivery::Signal;
use crate::error::{Deadlock, RunError, Stuck};
use crate::kernel::record::Flag;
use crate::kernel::turn::Next;

impl EventLoop {
    /// Asks each task what it awaits, and returns that as an error, unless a task can go on after all.
    pub(super) fn fail_if_stuck(&self, next: Next) -> Result<(), RunError> {
        let engine = self.engine();
        let mut waits = Vec::new();
        for record in engine.tasks() {
            engine.deliveries.answers.borrow_mut().clear();
            engine.tasks.ready.push(&record);
            engine.deliveries.signal.set(Signal::Asking);
            let next = engine.turn(1);
            engine.deliveries.signal.set(Signal::Quiet);
            if record.has(Flag::DONE) || next == Next::Ready {
                return Ok(());
            }
            let waits_for = engine.deliveries.answers.take();
            waits.push(Stuck { task: record.name(), spawned_at: record.spawned_at, waits_for });
        }
        let clock_is_held = next != Next::Idle; // there is a deadline, and the virtual clock does not jump to it
        Err(RunError::Deadlock(Deadlock { waits, clock_is_held }))
    }
}
