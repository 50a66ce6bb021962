//! **Quiet loops**: a loop that only the outside can wake, and nothing does.
//!
//! A loop that nothing can wake is a deadlock, and `run` returns an error. But a single [`Handle`](crate::Handle), or a waker that
//! some foreign code holds, might still wake it, now or in an hour. The loop cannot know, and waits. A limit on the waiting would
//! end programs that are rightly quiet, such as a server at night. So, if it is asked to, the loop looks at how long it has been
//! quiet: it parks for no longer than that, reports what each task waits for, once, and parks again until it is woken.
//!
//! A loop on a clock of the host's also waits for ever if only the host's own loop moves that clock, and `run` or `cancel_all` keeps it
//! from doing so: the deadline never comes. So such a loop counts as quiet while it parks and its clock stands still.
//!
//! The time is real time, whatever clock the loop has. Only `run` parks: a host, or another executor, sees itself how long it has
//! not been called.

use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::report::{ExceptionContext, Failure};

/// A time in which the loop polls nothing.
#[derive(Clone, Copy)]
pub(super) struct Quiet {
    since: Instant,
    /// How many tasks had been popped when it began.
    popped: u64,
    is_reported: bool,
    /// The time on the loop's clock then, if the loop waits for a deadline on the host's clock.
    stands_at: Option<Instant>,
}

impl Engine {
    /// How long the loop may park if only the outside can wake it. `Some(0)`: it has been quiet for too long, and that is to be
    /// reported. `None`: without a limit.
    pub(crate) fn may_be_quiet_for(&self) -> Option<Duration> {
        let limit = self.watch.stall_after.get()?;
        if self.has_work_out() {
            self.watch.quiet.set(None); // a thread is at work, and wakes the loop
            return None;
        }
        let popped = self.tasks.ready.popped();
        let quiet = self.watch.quiet.get().filter(|quiet| quiet.popped == popped);
        let quiet = quiet.unwrap_or(Quiet {
            since: self.real_now(),
            popped,
            is_reported: false,
            stands_at: None,
        });
        self.watch.quiet.set(Some(quiet));
        (!quiet.is_reported).then(|| limit.saturating_sub(self.real_now() - quiet.since))
    }

    /// How long the loop may park that waits for a deadline, which is so far away.
    pub(crate) fn may_park_for(&self, at_most: Duration) -> Duration {
        if self.watch.stall_after.get().is_none() || self.kind_of_clock() != "host" {
            return at_most;
        }
        self.may_park_on_clock_of_host(at_most)
    }

    #[cold]
    fn may_park_on_clock_of_host(&self, at_most: Duration) -> Duration {
        let now = Some(self.now());
        if self.watch.quiet.get().is_some_and(|quiet| quiet.stands_at != now) {
            self.watch.quiet.set(None); // the clock moves, or the loop has waited for something else
        }
        let limit = self.may_be_quiet_for();
        if let Some(quiet) = self.watch.quiet.get() {
            self.watch.quiet.set(Some(Quiet { stands_at: now, ..quiet }));
        }
        if limit == Some(Duration::ZERO) {
            self.report_stall();
        }
        limit.map_or(at_most, |limit| limit.min(at_most))
    }

    /// Reports what each task waits for.
    #[cold]
    pub(crate) fn report_stall(&self) {
        let Some(quiet) = self.watch.quiet.get() else { return };
        self.watch.quiet.set(Some(Quiet { is_reported: true, ..quiet }));
        let (waits, tree) = self.stuck_tasks();
        let (quiet_for, stands_at) = (self.real_now() - quiet.since, quiet.stands_at);
        let failure = Failure::Stalled { quiet_for, stands_at, waits, tree };
        self.report(&ExceptionContext::of_loop(failure));
    }
}
