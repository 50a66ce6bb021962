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

pub(super) struct Slow {
    /// Polls that take longer are reported. `None`: polls are not timed.
    pub(super) limit: Cell<Option<Duration>>,
    /// A slow poll that was not the task's last. It is reported when the task waits.
    to_report: RefCell<Option<(RecordRef, Duration)>>,
}

impl Slow {
    pub(super) fn new(limit: Option<Duration>) -> Slow {
        Slow { limit: Cell::new(limit), to_report: RefCell::default() }
    }
}

impl Engine {
    /// A poll that is watched has ended; what follows from its result has not been done yet.
    #[cold]
    pub(crate) fn watched_poll_ended(&self, record: &RecordRef, started: Instant) {
        self.record_for_livelock(record);
        let took = self.real_now() - started;
        if self.watch.slow.limit.get().is_none_or(|limit| took <= limit) {
            return;
        }
        if record.has(Stage::HOLDS_FUTURE) {
            let before = self.watch.slow.to_report.replace(Some((record.clone(), took)));
            drop(before); // after the borrow: it may be the last reference
        } else {
            let failure = Failure::SlowPoll { took, now_waits_for: Vec::new() };
            self.report(&ExceptionContext::of(record, failure)); // before what the poll ended with is reported
        }
    }

    /// The loop of watched polls has polled a task, and done what follows from that.
    pub(crate) fn after_watched_poll(&self) {
        self.report_livelock_if_recorded();
        let slow = self.watch.slow.to_report.take();
        if let Some((record, took)) = slow {
            let now_waits_for = self.ask_if_it_only_waits(&record);
            let failure = Failure::SlowPoll { took, now_waits_for };
            self.report(&ExceptionContext::of(&record, failure));
        }
    }

    /// What the task waits for since the poll. Nothing if it is ready already, or if foreign code may be woken by the question.
    fn ask_if_it_only_waits(&self, record: &RecordRef) -> Vec<String> {
        let is_busy = Flag::DONE | Flag::WAKER_ESCAPED | Flag::CALLBACK | Flag::CANCEL_PENDING;
        if record.has(is_busy | Flag::CANCEL_FORWARDED | Flag::UNWINDING) || record.is_queued() {
            return Vec::new();
        }
        let waits_for = self.ask(record);
        if !record.has(Flag::DONE) {
            self.tasks.ready.push(record);
        }
        waits_for
    }
}
