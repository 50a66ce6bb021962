//! **The polls of a cancelled task**, and what happens when a cancel comes out of a poll.
//!
//! To drop the future of a cancelled task would be simple; here the task is polled, so that what it awaits is interrupted and its
//! code can clean up. A task that awaits one thing needs one poll (`poll_interrupted`), any other two (`scope/`). A task ends
//! cancelled when the cancel has come out of its future and nothing in it is alive.

use std::task::Poll;

use crate::cold::Cold;
use crate::delivery::Signal;
use crate::engine::Engine;
use crate::kernel::record::{Flag, Polled, RecordRef};
use crate::scope::{How, Scope, Seen};

impl Engine {
    /// Polls the body of a limit or a group that has requested a cancel of it.
    pub(crate) fn under_one_that_asks<R>(&self, poll: impl FnOnce() -> R) -> R {
        /// The poll may panic.
        struct PutBack<'a>(&'a Engine);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.deliveries.asking_around.update(|around| around - 1);
            }
        }
        self.deliveries.asking_around.update(|around| around + 1);
        let _put_back = PutBack(self);
        poll()
    }

    /// Polls a task that was cancelled, or is still being unwound.
    #[inline(never)]
    pub(crate) fn poll_cancelled(&self, record: &RecordRef, is_watched: bool) {
        const UNUSUAL: Flag = Flag::AWAITS_SEVERAL.and(Flag::WAKER_ESCAPED).and(Flag::UNWINDING);
        if record.has_but_not(Flag::CANCEL_PENDING, UNUSUAL) {
            return self.poll_interrupted(record, is_watched);
        }
        let is_new = record.has(Flag::CANCEL_PENDING);
        let how = if is_new {
            Some(How::Several)
        } else {
            record.has(Flag::CANCEL_FORWARDED).then_some(How::Forwarded)
        };
        record.clear(
            Flag::CANCEL_PENDING | Flag::CANCEL_FIRM | Flag::CANCEL_FORWARDED | Flag::UNWINDING,
        );
        if is_new && !record.has(Flag::STARTED) {
            return self.end_before_begun(record, is_watched);
        }
        record.forget_awaited();
        self.forget_caught();
        let fresh = Scope::default(); // most tasks need no cold part to be cancelled
        let scope = record.cold_if_any().map_or(&fresh, |cold| &cold.scope);
        let seen = scope.poll_task(record, how, || match record.begin_poll_unless(Flag::NONE) {
            None => Poll::Ready(None), // a destructor has ended it
            Some(polling) => match self.poll_future(record, polling) {
                Polled::Pending => Poll::Pending,
                polled => Poll::Ready(Some(polled)),
            },
        });
        let (is_ready, came_out) = (matches!(seen, Seen::Ready(_)), matches!(seen, Seen::CameOut));
        if is_watched && self.poll_ends(record, is_ready, came_out) {
            return;
        }
        match seen {
            Seen::Ready(None) => {}
            Seen::Ready(Some(Polled::Value)) => {
                // The task returned a value without having caught the cancel: it has not swallowed it.
                if how.is_some() && !self.has_caught() || record.has(Flag::CANCEL_PENDING) {
                    self.end_cancelled(record);
                } else {
                    self.end(record, Flag::NONE);
                }
            }
            Seen::Ready(Some(polled)) => self.end_as(record, polled),
            Seen::CameOut => self.end_cancelled(record),
            Seen::Pending => {
                self.note_what_waits(record); // what was interrupted counts, beside what is alive
                if scope.is_at_work() {
                    record.cold().scope.becomes(scope);
                    record.set(Flag::UNWINDING);
                }
                self.after_pending(record);
            }
        }
    }

    /// The same in one poll, for a task that awaits one thing and is not being unwound.
    fn poll_interrupted(&self, record: &RecordRef, is_watched: bool) {
        record.clear(Flag::CANCEL_PENDING | Flag::CANCEL_FIRM | Flag::CANCEL_FORWARDED);
        if !record.has(Flag::STARTED) {
            return self.end_before_begun(record, is_watched);
        }
        record.forget_awaited();
        let Some(polling) = record.begin_poll_unless(Flag::NONE) else {
            return self.no_poll(record, is_watched); // a destructor has ended it
        };
        self.forget_caught();
        let (polled, delivered) = self.deliver_to_one(|| self.poll_future(record, polling));
        let came_out = || delivered.came_out && !delivered.is_alive;
        if is_watched && self.poll_ends(record, polled != Polled::Pending, came_out()) {
            return;
        }
        match polled {
            Polled::Pending if came_out() => {
                self.end_cancelled(record);
            }
            Polled::Pending => {
                self.note_what_waits(record);
                if delivered.came_out {
                    record.set(Flag::AWAITS_SEVERAL); // what was interrupted, and what is alive beside it
                    self.tasks.ready.push(record); // or not: what has waited may have lost a `select!` later in this poll
                }
                if delivered.came_out || delivered.holds {
                    record.cold().scope.goes_on(&delivered);
                    record.set(Flag::UNWINDING);
                }
                self.after_pending(record);
            }
            // As above: a cancel that was not caught was not swallowed.
            Polled::Value
                if !self.has_caught()
                    || delivered.is_to_go_on
                    || record.has(Flag::CANCEL_PENDING) =>
            {
                self.end_cancelled(record);
            }
            polled => self.end_as(record, polled),
        }
    }

    /// A cancel came out of a poll that delivered none: a frame let one go on that it had caught before.
    #[cold]
    pub(crate) fn cancel_came_out(&self, record: &RecordRef) {
        // A set that was cut short has woken the task: what it has not polled may have been woken, and keeps no waker then.
        let is_woken = record.is_queued();
        let keeps_wakers = |cold: &Cold| {
            let wakers = cold.foreign_wakers.borrow();
            wakers.keeps_any() || is_woken && wakers.added() > 0
        };
        let has_sets = record.cold_if_any().is_some_and(keeps_wakers);
        if record.has(Flag::DISCARD) || self.nothing_waited() && !has_sets {
            return self.end_cancelled(record);
        }
        record.cold().scope.waits_for_the_rest(record);
        record.set(Flag::UNWINDING);
        record.set(Flag::AWAITS_SEVERAL);
        self.tasks.ready.push(record); // what has waited may have lost a `select!` later in this poll
        self.after_pending(record);
    }

    /// A poll has ended, and the task waits.
    #[inline]
    pub(crate) fn after_pending(&self, record: &RecordRef) {
        if record.has(Flag::DISCARD | Flag::CANCEL_PENDING) {
            self.after_pending_with_cancel(record);
        }
    }

    #[cold]
    fn after_pending_with_cancel(&self, record: &RecordRef) {
        if record.has(Flag::DISCARD) {
            return self.end_cancelled(record);
        }
        // The task was cancelled while it ran, and now it waits. As in asyncio the cancel is forwarded to what it awaits.
        let reason = record.reason();
        if record.forward(&reason, None) {
            record.clear(Flag::CANCEL_PENDING);
        } else {
            if !record.is_queued() {
                record.set(Flag::CANCEL_FIRM); // from here on it cannot be taken back: what is awaited is interrupted
                self.note_interrupted();
            }
            self.tasks.ready.push(record);
        }
    }

    /// Polls a task that is not queued.
    fn poll_now(&self, record: &RecordRef) {
        let is_watched =
            self.watches_polls() && !record.has(Flag::DONE) && self.poll_begins(record);
        if is_watched && self.is_traced() && record.is_queued() {
            self.task_is_woken(record, true); // a reader takes what is polled out of the queue; this one is polled again
        }
        match record.begin_poll_unless(Flag::SLOW_PATH) {
            Some(polling) => self.poll(record, polling, is_watched),
            None => self.poll_slow_path(record, is_watched),
        }
    }

    /// A limit that this task has polled is up, or a group cancels its body in this task.
    ///
    /// As in asyncio, a task that is awaited in the body is to be cancelled at once. So if this task awaits one task it is polled
    /// now: the limit, if it is polled too, forwards the cancel. Otherwise the task is queued. No code of the user's may be
    /// running.
    pub(crate) fn scope_is_to_be_polled(&self, record: &RecordRef) {
        if record.awaits_one() && !record.is_queued() {
            self.current.hidden(|| {
                self.because_of_the_same(|| {
                    if record.has(Flag::CANCEL_FORWARDED) {
                        self.poll_now(record); // the join learns first that an earlier cancel was forwarded
                    }
                    self.poll_now(record);
                });
            });
        } else {
            self.tasks.ready.push(record);
        }
    }
}

impl Engine {
    /// A poll before which there is more to do. Polls nothing if the task has ended.
    #[inline(never)]
    pub(crate) fn poll_slow_path(&self, record: &RecordRef, is_watched: bool) {
        self.deliveries.several_awaited.set(record.has(Flag::AWAITS_SEVERAL));
        self.poll_after_preparing(record, is_watched);
        self.deliveries.several_awaited.set(false);
    }

    fn poll_after_preparing(&self, record: &RecordRef, is_watched: bool) {
        let is_cancelled =
            record.has(Flag::CANCEL_PENDING | Flag::CANCEL_FORWARDED | Flag::UNWINDING);
        if is_cancelled {
            return self.poll_cancelled(record, is_watched);
        }
        record.forget_awaited();
        match record.begin_poll_unless(Flag::NONE) {
            Some(polling) => self.poll(record, polling, is_watched),
            None => self.no_poll(record, is_watched),
        }
    }

    /// There was nothing to poll after all.
    #[cold]
    #[inline(never)]
    fn no_poll(&self, record: &RecordRef, is_watched: bool) {
        if is_watched {
            self.poll_ends(record, false, false);
        }
    }

    /// A task that was cancelled before it has begun never begins.
    #[cold]
    #[inline(never)]
    fn end_before_begun(&self, record: &RecordRef, is_watched: bool) {
        self.no_poll(record, is_watched);
        self.end_cancelled(record);
    }

    /// The end of a task that has notes to forget, or of which an observer is told.
    #[inline(never)]
    pub(crate) fn end_slow_path(&self, record: &RecordRef, how: Flag) {
        record.forget_awaited();
        if record.has(Flag::TRACED) {
            self.tell_end(record, || self.end(record, how));
        } else {
            self.end(record, how);
        }
    }

    /// Nothing follows from a poll, because the task was ended after it: no cancel that came out of it is on its way.
    #[cold]
    #[inline(never)]
    pub(crate) fn forget_signal(&self) {
        self.deliveries.signal.set(Signal::Quiet);
    }

    /// The end of a poll if it was the task's last, or if a cancel came out of it.
    #[inline(never)]
    pub(crate) fn finish_poll(&self, record: &RecordRef, polled: Polled) {
        let signal = self.deliveries.signal.replace(Signal::Quiet);
        match polled {
            Polled::Pending => self.cancel_came_out(record),
            Polled::Value if record.has(Flag::CANCEL_PENDING) || signal == Signal::Next => {
                self.end_cancelled(record);
            }
            polled => self.end_as(record, polled),
        }
    }
}
