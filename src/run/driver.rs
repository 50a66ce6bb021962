//! **The driver**: turns a loop until its run is over, and lets the thread sleep in between.
//!
//! What follows after a turn is decided in `parking`: another turn, or a sleep. Here that is done. A loop that nothing can wake is a
//! deadlock, and ends the run. `drive` and a host that calls `turn` do not sleep here (`host`).

use std::time::Duration;

use super::EventLoop;
use crate::error::RunError;
use crate::kernel::turn::{Next, POLLS_PER_CHECK};
use crate::parking::NextStep;

/// Turns a loop until `done`, and waits in another way than by parking this thread.
pub(crate) type WaitIn = fn(&EventLoop, &mut dyn FnMut() -> bool) -> Result<(), RunError>;

impl EventLoop {
    /// Turns the loop until `done`, and parks the thread when there is nothing to do.
    #[inline(never)] // what is alive around it would take registers from the loop of polls
    pub(super) fn turn_until(&self, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        if let Some(wait) = self.wait_in {
            return wait(self, &mut done);
        }
        if self.engine().parking.has_parker() {
            self.turn_until_over::<true>(&mut done)
        } else {
            self.turn_until_over::<false>(&mut done)
        }
    }

    /// `HAS_PARKER`: it looks at its sockets while the loop is busy, too.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn turn_until_over<const HAS_PARKER: bool>(
        &self,
        done: &mut impl FnMut() -> bool,
    ) -> Result<(), RunError> {
        let engine = self.engine();
        let mut turns = 0; // since the parker last looked at its sockets
        loop {
            let next = engine.turn_within(usize::MAX, None);
            if done() {
                return Ok(());
            }
            if HAS_PARKER {
                turns += 1;
                if turns == POLLS_PER_CHECK || engine.polls_since_check.get() >= POLLS_PER_CHECK {
                    engine.look_at_sockets();
                    turns = 0;
                }
            }
            if next == Next::Ready {
                continue; // the hot path: no check of clock or mailbox
            }
            match engine.next_step(next) {
                NextStep::TurnAgain => {}
                step => {
                    self.park(&step, next)?;
                    turns = 0;
                }
            }
        }
    }

    /// Parks the thread, or notices that nothing can wake it.
    #[inline(never)] // so that the loop of polls above keeps its registers
    fn park(&self, step: &NextStep, next: Next) -> Result<(), RunError> {
        match self.may_sleep_for(step, next)? {
            Some(Duration::ZERO) => {}
            at_most => self.engine().park(at_most),
        }
        Ok(())
    }

    /// How long the thread may sleep now; `None` is until it is woken.
    fn may_sleep_for(&self, step: &NextStep, next: Next) -> Result<Option<Duration>, RunError> {
        let engine = self.engine();
        let look_at = engine.watch.look_at.get();
        Ok(match *step {
            NextStep::TurnAgain => Some(Duration::ZERO),
            NextStep::WaitBeforeJump(patience, _) => Some(patience),
            NextStep::ParkUntil(deadline) => {
                let until = look_at.map_or(deadline, |look| look.min(deadline));
                Some(engine.may_park_for(until - engine.now()))
            }
            NextStep::ParkUntilWoken if engine.may_be_woken() => match engine.may_be_quiet_for() {
                Some(Duration::ZERO) => {
                    engine.report_stall();
                    Some(Duration::ZERO)
                }
                limit => {
                    let look = look_at.map(|look| look - engine.now());
                    limit.into_iter().chain(look).min()
                }
            },
            // The last handle may have gone just now, after what it has sent: look once more.
            NextStep::ParkUntilWoken if engine.take_remote_wakes() => Some(Duration::ZERO),
            NextStep::ParkUntilWoken => {
                return Err(RunError::Deadlock(engine.deadlock(next != Next::Idle)));
            }
        })
    }

    /// Turns the loop while tasks are ready, until `done` or for some 64 polls. For a run that does not wait by parking this thread.
    #[cfg(feature = "async-io")]
    pub(crate) fn turn_for_a_while(
        &self,
        done: &mut dyn FnMut() -> bool,
    ) -> Result<AfterAWhile, RunError> {
        let engine = self.engine();
        engine.mailbox.arm(); // before the mailbox is checked: what comes later calls the hook
        engine.check_in_next_turn();
        loop {
            let next = engine.turn(usize::MAX);
            if done() {
                return Ok(AfterAWhile::Done);
            }
            let step = engine.next_step(next);
            if step != NextStep::TurnAgain {
                return Ok(match self.may_sleep_for(&step, next)? {
                    Some(Duration::ZERO) => AfterAWhile::TurnAgain,
                    at_most => AfterAWhile::Sleep { at_most },
                });
            }
            if engine.polls_since_check.get() >= POLLS_PER_CHECK {
                return Ok(AfterAWhile::TurnAgain);
            }
        }
    }
}

/// What follows [`EventLoop::turn_for_a_while`].
#[cfg(feature = "async-io")]
pub(crate) enum AfterAWhile {
    Done,
    TurnAgain,
    /// Until the loop is woken, and for so long at most.
    Sleep {
        at_most: Option<Duration>,
    },
}
