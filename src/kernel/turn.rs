//! **The turn**: one function does everything that a loop does.
//!
//! ```text
//!         ┌─▶ 1. drain the inbox      wake-ups from other threads join the ready queue
//!  turn ──┤   2. fire timers          tasks whose time has come join the ready queue (`time/` polls a few at once)
//!         │   3. poll the snapshot    as many tasks as were in the queue when this step began
//!         └── 4. say what comes next  Ready, At(deadline) or Idle
//! ```
//!
//! `run`, `drive` and a host call [`turn_within`](Engine::turn_within). They differ in what they do in between (`run/driver.rs`).
//!
//! **The snapshot** makes the loop fair. A task that wakes itself is polled again in the *next* turn, after everything else that
//! was ready, as with asyncio's `sleep(0)`. A loop that polls until the queue is empty would never return from such a task.
//!
//! **Checks are not free.** Reading a monotonic clock costs as much as four polls, and taking from the inbox is an atomic
//! operation. So while tasks are ready, steps 1 and 2 are skipped until [`POLLS_PER_CHECK`] polls have passed since the last check
//! (or, step 1, a remote wake-up was posted). The price: on a busy loop a timer fires up to 63 polls and one snapshot late.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use super::record::{Flag, Polled, Polling, RecordRef};
use crate::base::id::TaskId;
use crate::base::instant::Instant;
use crate::engine::Engine;

/// When a turn begins it checks the inbox and the clock, if nothing is ready or this many polls have passed since the last check.
pub(crate) const POLLS_PER_CHECK: usize = 64;

/// What a loop does after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Tasks are ready: take another turn.
    Ready,
    /// Nothing happens before this moment, unless the loop is woken from outside.
    At(Instant),
    /// Nothing happens, unless the loop is woken from outside.
    Idle,
}

impl Engine {
    /// One turn of the loop, with at most `max_polls` polls in step 3. The loop must be the current one of this thread.
    #[inline(never)]
    pub(crate) fn turn(self: &Rc<Self>, max_polls: usize) -> Next {
        self.turn_within(max_polls, None)
    }

    /// The same, but after the first poll none begins once `time` has passed since step 3 began.
    #[allow(clippy::inline_always)] // in `run`: a loop with one task takes a turn for each poll
    #[inline(always)]
    pub(crate) fn turn_within(self: &Rc<Self>, max_polls: usize, time: Option<Duration>) -> Next {
        let mut snapshot = self.tasks.ready.len();
        if snapshot == 0 || self.polls_since_check.get() >= POLLS_PER_CHECK {
            self.trim_sometimes(); // before timers fire: those of last time have freed their entries
            self.drain_remote_wakes();
            self.fire_timers();
            self.polls_since_check.set(0);
            snapshot = self.tasks.ready.len();
        } else if self.has_remote_wakes_hint() {
            self.drain_remote_wakes();
            snapshot = self.tasks.ready.len();
        }
        let snapshot = snapshot.min(max_polls);
        // The usual loop watches no poll: it reads no clock, and tells no observer.
        let is_watched = self.watches_polls();
        let polled = match time {
            None if !is_watched => {
                for _ in 0..snapshot {
                    self.poll_next::<false>();
                }
                snapshot
            }
            _ => self.poll_watched(snapshot, time, is_watched),
        };
        self.polls_since_check.set(self.polls_since_check.get() + polled);
        if !self.tasks.ready.is_empty() {
            return Next::Ready;
        }
        match self.next_deadline() {
            Some(deadline) => Next::At(deadline),
            None => Next::Idle,
        }
    }

    /// Makes the next turn check the mailbox and the clock, however few polls have passed since the last check.
    pub(crate) fn check_in_next_turn(&self) {
        self.polls_since_check.set(POLLS_PER_CHECK);
    }

    /// Polls the first task in the queue, unless that has ended meanwhile. `WATCHED`: times the poll, and tells of it.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn poll_next<const WATCHED: bool>(self: &Rc<Self>) {
        let Some(record) = self.tasks.ready.pop() else { return };
        let is_watched = WATCHED && self.poll_begins(&record);
        match record.begin_poll_unless(Flag::SLOW_PATH) {
            Some(polling) => self.poll(&record, polling, is_watched),
            None if record.has(Flag::DONE) => {} // its entry was left in the queue when it ended
            None => self.poll_slow_path(&record, is_watched),
        }
    }

    /// Polls the task and acts on the result: it waits, it ends, or a cancel is on its way.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn poll(&self, record: &RecordRef, polling: Polling<'_>, is_watched: bool) {
        let polled = self.poll_future(record, polling);
        if is_watched && self.poll_ends(record, polled != Polled::Pending, !self.is_quiet()) {
            return self.forget_signal();
        }
        if !self.is_quiet() {
            self.finish_poll(record, polled); // a cancel came out of this poll
        } else if polled == Polled::Pending {
            self.note_what_waits(record); // for `delivery/`: how many things?
            self.after_pending(record); // a cancel or a drop that was requested during the poll
        } else if record.has(Flag::CANCEL_PENDING) {
            self.finish_poll(record, polled);
        } else if polled == Polled::Value {
            self.end(record, Flag::NONE); // nearly all
        } else {
            self.end_as(record, polled);
        }
    }

    /// Polls the future, with the task's waker, and with the task as the current one.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn poll_future(&self, record: &RecordRef, polling: Polling<'_>) -> Polled {
        let waker =
            if polling.waker_has_escaped { record.id.escaped_waker() } else { record.id.waker() };
        let waker = ManuallyDrop::new(waker); // saves the call of a drop that does nothing
        let mut context = Context::from_waker(&waker);
        self.forget_what_waited(); // for `delivery/`
        self.current.during(record, || polling.poll(&mut context))
    }

    /// Wakes a task of this loop. False if the task has ended.
    #[inline]
    pub(crate) fn make_ready(&self, id: TaskId) -> bool {
        self.tasks.wake(id.word())
    }
}
