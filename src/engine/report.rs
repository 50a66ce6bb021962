//! **Reports**: what the exception handler is told.
//!
//! A failure that nobody can take any more is reported, once; so is what was thrown where nobody could be told, and a poll that took
//! long, if that is to be watched.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::foreign;
use super::record::{Flag, RecordRef};
use super::turn::Engine;
use crate::error::{ExceptionContext, Failure, Panic};

impl Engine {
    /// No handle is left that could take the outcome: a failure is reported, and the outcome dropped.
    pub(crate) fn nobody_takes(&self, record: &RecordRef) {
        self.report_failure(record);
        if record.has(Flag::GROUPED) && record.has(Flag::FAILED) {
            return; // its group takes it
        }
        if let Some(payload) = record.drop_outcome() {
            let failure = Failure::Panicked(Panic::new(payload));
            self.report(&ExceptionContext::of(record, failure));
        }
    }

    /// Reports a failure that was neither seen nor reported.
    pub(super) fn report_failure(&self, record: &RecordRef) {
        if record.has(Flag::FAILED | Flag::PANICKED) && !record.has(Flag::SEEN) {
            record.set(Flag::SEEN);
            let failure = if record.has(Flag::PANICKED) {
                let panic = record.cold_if_any().and_then(|cold| cold.panic.borrow().clone());
                panic.map(Failure::Panicked)
            } else {
                record.failure().map(Failure::Failed)
            };
            if let Some(failure) = failure {
                self.report(&ExceptionContext::of(record, failure));
            }
        }
    }

    /// Tells the exception handler.
    pub(crate) fn report(&self, context: &ExceptionContext) {
        let handler = self.exception_handler.borrow().clone();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(context))) {
            // The last resort: what could not be told is at least written down.
            eprintln!("{context}");
            eprintln!("loopwheel: the exception handler itself panicked: {}", text_of(&*payload));
            foreign::discard(payload);
        }
    }

    /// A poll has taken so long.
    #[cold]
    pub(super) fn look_at_duration(&self, record: &RecordRef, took: Duration) {
        if self.slow_poll.get().is_some_and(|limit| took > limit) {
            self.report(&ExceptionContext::of(record, Failure::SlowPoll(took)));
        }
    }
}

/// What a panic said, if it said it in words.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "something that is not text"
    }
}
