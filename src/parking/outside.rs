//! **The outside, and virtual time.**
//!
//! Virtual time jumps when no task is ready. That is right if all that the tasks wait for is in the loop. A task that waits for a
//! socket waits for something that takes real time: if time jumps, each limit around it expires before the answer can come. The loop
//! cannot see what foreign code waits for, a socket of the operating system or a channel between two tasks. But it knows whether
//! foreign code has kept a waker or another thread a handle, and whether a wake-up has come from outside.
//!
//! So before a jump over such a wait the loop has *patience*: it sleeps for some real time, in which the outside may wake it.
//!
//! ```text
//! patience, at first           50 ms; with a parker, 1 s
//! … a wake-up came             1 s again, and no jump: the task runs
//! … nothing came               time jumps, and the patience is halved; below a millisecond it is zero
//! ```
//!
//! Together these are less than 100 ms for a program whose channels stay in the loop, and less than two seconds after a wake-up. It
//! never waits for longer than the jump is wide, counted from the first wait at that moment: so time passes even if wake-ups come
//! without end.
//!
//! If a wake-up comes when time has jumped, the patience may have been too short. That is reported, once: the loop cannot tell it from a
//! server that waits for its first client while the client sleeps, and what is reported again and again is read no more.

use std::cell::Cell;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::clock::Source;
use crate::engine::Engine;
use crate::report::{ExceptionContext, Failure};

/// The patience of a loop that has not been woken from outside.
const AT_FIRST: Duration = Duration::from_millis(50);

/// After a wake-up from outside, and with a parker.
const AT_WORK: Duration = Duration::from_secs(1);

const LEAST: Duration = Duration::from_millis(1);

/// What a loop on virtual time knows of the outside.
#[derive(Default)]
pub(super) struct Outside {
    patience: Cell<Duration>,
    waiting: Cell<Option<Waiting>>,
    /// Before the first and after the last jump over such a wait.
    jumped: Cell<Option<(Instant, Instant)>>,
    was_reported: Cell<bool>,
}

/// A wait before a jump; it is measured in real time.
#[derive(Clone, Copy)]
struct Waiting {
    /// The virtual time that does not pass meanwhile.
    at: Instant,
    /// When the loop first waited at that moment.
    since: Instant,
    /// Since the last wake-up.
    in_vain_since: Instant,
}

impl Outside {
    pub(super) fn new(has_sockets: bool) -> Outside {
        let patience = if has_sockets { AT_WORK } else { AT_FIRST };
        Outside { patience: Cell::new(patience), ..Outside::default() }
    }
}

impl Engine {
    /// Whether foreign code has a waker of a task, or another thread a handle, so that something outside may wake the loop.
    pub(super) fn may_have_outside(&self) -> bool {
        let has_outside = !cfg!(target_family = "wasm"); // where there is no other thread
        let has_waker = self.tasks.any_waker_has_escaped() || self.mailbox.has_escaped_waker();
        has_outside && (has_waker || self.has_handles())
    }

    /// How long the loop has to wait on, in real time, before virtual time may jump to this moment. `None`: it may jump now.
    pub(crate) fn patience_before(&self, deadline: Instant) -> Option<Duration> {
        let outside = &self.parking.outside;
        let now = self.real_now();
        let at = self.now();
        let waiting = outside.waiting.get().filter(|waiting| waiting.at == at);
        let waiting = waiting.unwrap_or(Waiting { at, since: now, in_vain_since: now });
        outside.waiting.set(Some(waiting));
        let patience = outside.patience.get();
        let left = patience.saturating_sub(now - waiting.in_vain_since);
        let width = (deadline - at).saturating_sub(now - waiting.since);
        if !left.is_zero() && !width.is_zero() {
            return Some(left.min(width));
        }
        // A jump that is narrower than the patience uses up as much of it as was waited.
        let less = if left.is_zero() { patience / 2 } else { left };
        outside.patience.set(if less < LEAST { Duration::ZERO } else { less });
        let from = outside.jumped.get().map_or(at, |(from, _)| from);
        outside.jumped.set(Some((from, deadline)));
        None
    }

    /// A wake-up came while no task was ready.
    pub(crate) fn outside_may_be_at_work(&self) {
        if matches!(self.time.clock.0, Source::Virtual(_)) && !self.has_work_out() {
            self.outside_is_at_work();
        }
    }

    #[cold]
    fn outside_is_at_work(&self) {
        let outside = &self.parking.outside;
        outside.patience.set(AT_WORK);
        if let Some(waiting) = outside.waiting.get() {
            let in_vain_since = self.real_now();
            outside.waiting.set(Some(Waiting { in_vain_since, ..waiting }));
        }
        if let Some((from, to)) = outside.jumped.take()
            && !outside.was_reported.replace(true)
        {
            let failure = Failure::JumpedOverOutside { from, to };
            self.report(&ExceptionContext::of_loop(failure));
        }
    }
}
