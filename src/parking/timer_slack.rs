//! **Timer slack**: Linux may end a sleep later than was asked.
//!
//! Each thread has a slack, 50 µs if nothing has changed it: the kernel may put off the end of a sleep by so much, so that several
//! ends share one interrupt. On an idle machine it always does, and every timer would be that late. So the loop asks for that much
//! less. The kernel still has its slack, and the end comes no later than the deadline.
//!
//! It may come earlier: if an interrupt falls into the slack, or if the thread has none (a real-time thread, or
//! `prctl(PR_SET_TIMERSLACK)`). No timer fires early, for the loop reads its clock and sleeps again for the rest, which costs a second
//! wake-up. The slack of a thread cannot be read without another dependency. But the loop sees that it sleeps again. If that happens
//! often it asks for the full time for a while:
//!
//! ```text
//! asked for less; the next sleep is a rest     debt + 8
//! asked for less; it is not                    debt - 1
//! debt above 64                                the next 1,024 sleeps are asked for in full
//! ```
//!
//! So interrupts cut at most one sleep in nine in two, and of a thread without slack it is one in a hundred.
//!
//! This is for the loop's own sleep. A parker knows its poller: `epoll` has the same slack, `timerfd` has none.

use std::cell::Cell;
use std::time::Duration;

/// The kernel's slack for a thread, unless it was changed.
const SLACK: Duration = Duration::from_micros(if cfg!(target_os = "linux") { 50 } else { 0 });

const DEBT_OF_A_REST: u32 = 8;
const MOST_DEBT: u32 = 64;
const IN_FULL: u32 = 1024;

/// What a loop has seen of its thread's slack.
#[derive(Default)]
pub(super) struct TimerSlack {
    /// The last sleep was asked for less.
    was_cut: Cell<bool>,
    debt: Cell<u32>,
    /// So many sleeps are asked for in full.
    in_full: Cell<u32>,
}

impl TimerSlack {
    /// What to ask for, so that the sleep ends at `timeout` with the kernel's slack, or before.
    pub(super) fn less(&self, timeout: Duration) -> Duration {
        let is_rest = timeout <= SLACK;
        if self.was_cut.replace(false) {
            self.debt.set(match self.debt.get() {
                debt if is_rest => debt + DEBT_OF_A_REST,
                debt => debt.saturating_sub(1),
            });
            if self.debt.get() > MOST_DEBT {
                self.debt.set(0);
                self.in_full.set(IN_FULL);
            }
        }
        // Of timers that are closer than this, several may as well fire together.
        if SLACK.is_zero() || timeout <= 2 * SLACK {
            return timeout;
        }
        if self.in_full.get() > 0 {
            self.in_full.set(self.in_full.get() - 1);
            return timeout;
        }
        self.was_cut.set(true);
        timeout.saturating_sub(SLACK)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_millis(1);

    /// How many of so many sleeps are cut in two by a thread that wakes this much before their end.
    fn cut_in_two(sleeps: u32, early: impl Fn(u32) -> bool) -> u32 {
        let slack = TimerSlack::default();
        let mut rests = 0;
        for number in 0..sleeps {
            if slack.less(LONG) < LONG && early(number) {
                rests += 1;
                assert_eq!(slack.less(SLACK / 2), SLACK / 2, "the rest is asked for in full");
            }
        }
        rests
    }

    #[test]
    fn a_sleep_is_asked_for_less_by_the_slack_unless_it_is_short() {
        let slack = TimerSlack::default();
        assert_eq!(slack.less(LONG), LONG.saturating_sub(SLACK));
        for short in [Duration::ZERO, SLACK, 2 * SLACK] {
            assert_eq!(slack.less(short), short);
        }
    }

    #[test]
    fn a_thread_without_slack_seldom_sleeps_twice_for_one_timer() {
        assert!(cut_in_two(100_000, |_| true) < 1_000);
    }

    #[test]
    fn interrupts_that_fall_into_the_slack_now_and_then_change_nothing() {
        assert_eq!(cut_in_two(10_000, |number| number % 10 == 0), 1_000);
    }
}
