//! **The driver**: what to do between two turns.
//!
//! A turn returns what it knows: tasks are ready, or nothing happens before a deadline, or nothing happens at all. What follows
//! from that is decided here, once for all drivers: `run` parks its thread, `drive` returns `Pending` to another executor, a
//! virtual clock jumps, and a loop that nothing can wake is a deadlock. A host that calls `turn` itself decides alone (`host`).

use std::time::Duration;

use super::EventLoop;
use crate::base::instant::Instant;
use crate::clock::Source;
use crate::engine::Engine;
use crate::error::RunError;
use crate::kernel::turn::Next;

/// What a driver does after a turn.
#[derive(Debug, PartialEq)]
pub(crate) enum NextStep {
    TurnAgain,
    /// Nothing happens before this moment, unless the loop is woken from outside.
    ParkUntil(Instant),
    /// Nothing happens, unless the loop is woken from outside.
    ParkUntilWoken,
}

impl EventLoop {
    /// Turns the loop until `done`, and parks the thread when there is nothing to do.
    #[inline(never)] // what is alive around it would take registers from the loop of polls
    pub(super) fn turn_until(&self, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        let engine = self.engine();
        loop {
            let next = engine.turn_within(usize::MAX, None);
            if done() {
                return Ok(());
            }
            if next == Next::Ready {
                continue; // the hot path: no check of clock or mailbox
            }
            match engine.next_step(next) {
                NextStep::TurnAgain => {}
                step => self.park(&step, next)?,
            }
        }
    }

    /// Parks the thread, or notices that nothing can wake it.
    #[inline(never)] // so that the loop of polls above keeps its registers
    fn park(&self, step: &NextStep, next: Next) -> Result<(), RunError> {
        let engine = self.engine();
        match *step {
            NextStep::TurnAgain => {}
            NextStep::ParkUntil(deadline) => {
                let deadline =
                    engine.watch.look_at.get().map_or(deadline, |look| look.min(deadline));
                engine.park(Some(deadline - engine.now()));
            }
            NextStep::ParkUntilWoken if engine.may_be_woken() => match engine.may_be_quiet_for() {
                Some(Duration::ZERO) => engine.report_stall(),
                limit => {
                    let look = engine.watch.look_at.get().map(|look| look - engine.now());
                    engine.park(limit.into_iter().chain(look).min());
                }
            },
            // The last handle may have gone just now, after what it has sent: look once more.
            NextStep::ParkUntilWoken if engine.take_remote_wakes() => {}
            NextStep::ParkUntilWoken => {
                return Err(RunError::Deadlock(engine.deadlock(next != Next::Idle)));
            }
        }
        Ok(())
    }
}

impl Engine {
    /// Decides what to do after a turn. A virtual clock jumps here.
    #[inline]
    pub(crate) fn next_step(&self, next: Next) -> NextStep {
        if next == Next::Ready || self.take_remote_wakes() {
            return NextStep::TurnAgain;
        }
        let Next::At(deadline) = next else { return NextStep::ParkUntilWoken };
        if deadline <= self.now() {
            return NextStep::TurnAgain; // it has passed during the turn
        }
        match &self.time.clock.0 {
            Source::Monotonic { .. } | Source::Host(_) => NextStep::ParkUntil(deadline),
            Source::Virtual(_) if self.jump_to(deadline) => NextStep::TurnAgain,
            Source::Virtual(_) => NextStep::ParkUntilWoken,
        }
    }

    /// Moves a virtual clock to this moment, unless it is held, or blocking work is out, which takes real time.
    pub(crate) fn jump_to(&self, deadline: Instant) -> bool {
        match &self.time.clock.0 {
            Source::Virtual(clock) if !clock.is_held() && !self.has_work_out() => {
                if self.is_traced() {
                    self.tell_jump(deadline);
                }
                clock.jump_to(deadline);
                true
            }
            _ => false,
        }
    }

    /// Parks the thread until the loop is woken from outside or `timeout` has passed; it may return early.
    fn park(&self, timeout: Option<Duration>) {
        self.trim();
        let began = self.is_traced().then(|| self.real_time()).flatten();
        let woken = self.mailbox.park(timeout);
        if let Some((began, now)) = began.zip(self.real_time()) {
            self.tell_park(now - began);
        }
        if let Some(id) = woken {
            self.take_remote_wake(id);
        }
        self.check_in_next_turn();
    }

    /// Drains the mailbox. True if a task is ready now, or if lost blocking work was given up.
    pub(crate) fn take_remote_wakes(&self) -> bool {
        let gave_up = self.has_work_out() && self.give_up_lost_work();
        self.drain_remote_wakes();
        gave_up || !self.tasks.ready.is_empty()
    }

    /// Whether anything outside may still wake a task of this loop. "No" is certain, "yes" is not.
    fn may_be_woken(&self) -> bool {
        self.has_work_out()
            || self.has_handles()
            || self.mailbox.has_escaped_waker()
            || self.tasks.any_waker_has_escaped()
    }
}
