//! **Quiet loops**: a loop that only the outside can wake, and nothing does.
//!
//! A loop that nothing can wake is a deadlock, and `run` returns an error. But a single [`Handle`](crate::Handle), or a waker that
//! some foreign code holds, might still wake it, now or in an hour. The loop cannot know, and waits. A limit on the waiting would
//! end programs that are rightly quiet, such as a server at night. So, if it is asked to, the loop looks at how long it has been
//! quiet: it parks for no longer than that, reports what each task waits for, once, and parks again until it is woken.
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
        let quiet = quiet.unwrap_or(Quiet { since: self.real_now(), popped, is_reported: false });
        self.watch.quiet.set(Some(quiet));
        (!quiet.is_reported).then(|| limit.saturating_sub(self.real_now() - quiet.since))
    }

    /// Reports what each task waits for.
    #[cold]
    pub(crate) fn report_stall(&self) {
        let Some(quiet) = self.watch.quiet.get() else { return };
        self.watch.quiet.set(Some(Quiet { is_reported: true, ..quiet }));
        let (waits, tree) = self.stuck_tasks();
        let failure = Failure::Stalled { quiet_for: self.real_now() - quiet.since, waits, tree };
        self.report(&ExceptionContext::of_loop(failure));
    }
}
