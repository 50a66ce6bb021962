//! **Slow polls**: a poll that takes long holds up all other tasks.
//!
//! To read the clock around each poll would cost more than most polls. So a turn has two loops of polls, and takes the one that
//! reads the clock only while polls are watched. What counts is real time, whatever clock the loop has: while virtual time stands
//! still, a poll can block the thread all the same.
//!
//! The report names what the task waits for since: the slow code is what ran before that await.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::kernel::record::{Flag, RecordRef, Stage};
use crate::report::{ExceptionContext, Failure};
use crate::trace::Poll;

pub(super) struct Slow {
    /// Polls that take longer are reported. `None`: none is.
    pub(super) limit: Cell<Option<Duration>>,
    /// When each poll that is going on began, innermost last.
    began: RefCell<Vec<Option<Instant>>>,
    /// A slow poll that was not the task's last. It is reported when the task waits.
    to_report: RefCell<Option<(RecordRef, Duration)>>,
}

impl Slow {
    pub(super) fn new(limit: Option<Duration>) -> Slow {
        Slow { limit: Cell::new(limit), began: RefCell::default(), to_report: RefCell::default() }
    }

    /// A slow poll that is still to be reported.
    pub(super) fn take_noted(&self) -> Option<(RecordRef, Duration)> {
        self.to_report.take()
    }
}

impl Engine {
    /// A poll begins in a turn that is watched. False if there is no poll: the task has ended, or never begins.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_begins(&self, record: &RecordRef) -> bool {
        let never_begins = record.has_but_not(Flag::CANCEL_PENDING, Flag::STARTED);
        if never_begins && self.is_traced() {
            self.tell_no_poll(record);
        }
        if never_begins || record.has(Flag::DONE) {
            let ended = &self.tracing.ended_in_queue;
            ended.set(ended.get().saturating_sub(usize::from(!never_begins)));
            return false;
        }
        if self.is_traced() {
            self.tell_poll_begins(record);
        }
        let is_timed = self.is_traced() || self.watch.slow.limit.get().is_some();
        let now = is_timed.then(|| self.real_now());
        self.watch.slow.began.borrow_mut().push(now);
        true
    }

    /// That poll has ended, by a cancel that came out of it if `came_out`; what follows has not been done yet. If it is true, nothing
    /// is to follow: what is told of the poll runs foreign code, and that has ended the task.
    #[cold]
    #[inline(never)]
    pub(crate) fn poll_ends(&self, record: &RecordRef, is_ready: bool, came_out: bool) -> bool {
        let began = self.watch.slow.began.borrow_mut().pop().flatten();
        let took = began.map(|began| self.real_now() - began);
        if self.is_traced() {
            let how = match is_ready {
                true => Poll::Ready,
                false if came_out => Poll::Interrupted,
                false => Poll::Pending,
            };
            self.tell_poll_ends(record, how, took);
        }
        self.record_for_livelock(record);
        let limit = self.watch.slow.limit.get();
        let Some((took, _)) = took.zip(limit).filter(|(took, limit)| took > limit) else {
            return record.has(Flag::DONE);
        };
        if record.has(Stage::HOLDS_FUTURE) {
            let before = self.watch.slow.to_report.replace(Some((record.clone(), took)));
            drop(before); // after the borrow: it may be the last reference
        } else {
            let failure = Failure::SlowPoll { took, now_waits_for: Vec::new() };
            self.report(&ExceptionContext::of(record, failure)); // before what the poll ended with is reported
        }
        record.has(Flag::DONE)
    }

    /// The loop of watched polls has polled a task, and done what follows from that.
    pub(crate) fn after_watched_poll(&self) {
        self.report_livelock_if_recorded();
        let slow = self.watch.slow.take_noted();
        if let Some((record, took)) = slow {
            let now_waits_for = self.waits_of(&record);
            let failure = Failure::SlowPoll { took, now_waits_for };
            self.report(&ExceptionContext::of(&record, failure));
        }
    }
}
