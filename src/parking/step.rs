//! **The next step**: what to do after a turn.
//!
//! A turn returns what it knows: tasks are ready, or nothing happens before a deadline, or nothing happens at all. What follows
//! from that is decided here, once for all that turn a loop: `run`, `drive`, `io`. A virtual clock jumps here.

use std::time::Duration;

use crate::base::instant::Instant;
use crate::base::unusual::Unusual;
use crate::clock::{Source, VirtualClock};
use crate::engine::Engine;
use crate::kernel::turn::Next;

/// What a driver does after a turn.
#[derive(Debug, PartialEq)]
pub(crate) enum NextStep {
    TurnAgain,
    /// Nothing happens before this moment, unless the loop is woken from outside.
    ParkUntil(Instant),
    /// Nothing happens, unless the loop is woken from outside.
    ParkUntilWoken,
    /// Virtual time waits for the outside, for so long at most; then it jumps to this moment.
    WaitBeforeJump(Duration, Instant),
}

impl Engine {
    /// Decides what to do after a turn. A virtual clock jumps here.
    #[inline]
    pub(crate) fn next_step(&self, next: Next) -> NextStep {
        if next == Next::Ready {
            return NextStep::TurnAgain;
        }
        if self.take_remote_wakes() {
            self.outside_may_be_at_work();
            return NextStep::TurnAgain;
        }
        let Next::At(deadline) = next else { return NextStep::ParkUntilWoken };
        if deadline <= self.now() {
            return NextStep::TurnAgain; // it has passed during the turn
        }
        match &self.time.clock.0 {
            Source::Monotonic { .. } | Source::Host(_) => NextStep::ParkUntil(deadline),
            Source::Virtual(clock) if self.may_have_outside() => self.wait_or_jump(clock, deadline),
            Source::Virtual(_) if self.jump_to(deadline) => NextStep::TurnAgain,
            Source::Virtual(_) => NextStep::ParkUntilWoken,
        }
    }

    #[cold]
    fn wait_or_jump(&self, clock: &VirtualClock, deadline: Instant) -> NextStep {
        let stands_still = clock.is_held() || self.has_work_out();
        if !stands_still
            && !clock.is_impatient()
            && let Some(patience) = self.patience_before(deadline)
        {
            return NextStep::WaitBeforeJump(patience, deadline);
        }
        if self.jump_to(deadline) { NextStep::TurnAgain } else { NextStep::ParkUntilWoken }
    }

    /// Moves a virtual clock to this moment, unless it is held, or blocking work is out, which takes real time.
    pub(crate) fn jump_to(&self, deadline: Instant) -> bool {
        let Some(clock) = self.clock_that_jumps() else { return false };
        if self.unusual.has(Unusual::IS_TRACED | Unusual::IS_EXPLORED) {
            self.jump_watched(clock, deadline);
        } else {
            clock.jump_to(deadline);
        }
        true
    }

    /// The virtual clock, unless something keeps it from jumping.
    pub(crate) fn clock_that_jumps(&self) -> Option<&VirtualClock> {
        match &self.time.clock.0 {
            Source::Virtual(clock) if !clock.is_held() && !self.has_work_out() => Some(clock),
            _ => None,
        }
    }

    #[cold]
    fn jump_watched(&self, clock: &VirtualClock, deadline: Instant) {
        #[cfg(feature = "explore")]
        if self.is_explored() && self.explore_idle() {
            return; // something else happens first
        }
        if self.is_traced() {
            self.tell_jump(deadline);
        }
        clock.jump_to(deadline);
        #[cfg(feature = "explore")]
        if self.is_explored() {
            self.fire_in_any_order();
        }
    }

    /// Drains the mailbox. True if a task is ready now, if the drain did not empty the mailbox, or if lost blocking work was given
    /// up.
    pub(crate) fn take_remote_wakes(&self) -> bool {
        let gave_up = self.has_work_out() && self.give_up_lost_work();
        self.drain_remote_wakes();
        gave_up || !self.tasks.ready.is_empty() || self.mailbox.inbox().has_more()
    }

    /// Whether anything outside may still wake a task of this loop. "No" is certain, "yes" is not.
    pub(crate) fn may_be_woken(&self) -> bool {
        self.has_work_out()
            || self.has_handles()
            || self.mailbox.has_escaped_waker()
            || self.tasks.any_waker_has_escaped()
    }
}
