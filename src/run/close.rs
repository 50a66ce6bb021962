//! **The end of a run, and of a loop.**
//!
//! When `main` has returned, other tasks may be left. The naive answer is to drop them; then clean-up that awaits is lost. So the
//! end of a run cancels them and waits. Only a loop that is dropped cannot wait, and drops what is left hard. A task may spawn
//! another in its clean-up or its destructor, without end. So both go round by round, and give up, with a report, after
//! [`MAX_ROUNDS`]. A task that swallows every cancel is not given up: the run waits for it.

use std::panic::Location;

use crate::engine::Engine;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::{Cause, Reason};
use crate::report::{ExceptionContext, Failure};

/// How many rounds of tasks are cancelled or dropped, each spawned by the round before.
const MAX_ROUNDS: u32 = 1_000;

/// The end of a run: cancels every task round by round, then waits for blocking work.
pub(crate) struct Shutdown {
    reason: Reason,
    /// The tasks of this round, and how many of them, from the front, are known to have ended.
    cancelled: Vec<RecordRef>,
    ended: usize,
    rounds: u32,
    /// No task is left, or the remaining ones were given up.
    has_cancelled_all: bool,
}

impl Shutdown {
    /// `at`: the line of the run.
    pub(crate) fn new(at: &'static Location<'static>) -> Shutdown {
        let reason = Reason::own(Cause::RunOver, Some(at));
        Shutdown { reason, cancelled: Vec::new(), ended: 0, rounds: 0, has_cancelled_all: false }
    }

    /// Starts the next round if the last one has ended; true when all is done. Called before the first turn and after each turn:
    /// it inspects each ended task only once, so all calls together take linear time.
    pub(crate) fn advance(&mut self, engine: &Engine) -> bool {
        while !self.has_cancelled_all {
            while self.cancelled.get(self.ended).is_some_and(|task| task.has(Flag::DONE)) {
                self.ended += 1;
            }
            if self.ended < self.cancelled.len() {
                return false;
            }
            let gives_up = self.rounds == MAX_ROUNDS;
            (self.cancelled, self.ended, self.rounds) = (engine.tasks(), 0, self.rounds + 1);
            for task in &self.cancelled {
                if gives_up {
                    let failure = Failure::EndlessCleanUp { rounds: MAX_ROUNDS };
                    engine.report(&ExceptionContext::of(task, failure));
                    task.set_reason(self.reason.clone());
                    engine.discard(task);
                } else {
                    task.cancel(&self.reason);
                }
            }
            self.has_cancelled_all = gives_up || self.cancelled.is_empty();
        }
        !engine.has_work_out() // a thread cannot be cancelled
    }
}

impl Engine {
    /// The end of the loop: drops every task and callback hard, and all that their destructors spawn. What is left after
    /// [`MAX_ROUNDS`] is reported and forgotten: its destructors do not run.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.discard_all();
        self.close_mailbox();
        self.close_call_queue();
        self.drop_locals_of_main();
        self.discard_all(); // the destructor of a lost call, or of a local, may have spawned more
    }

    fn discard_all(&self) {
        let reason = Reason::own(Cause::LoopDropped, None);
        for _ in 0..MAX_ROUNDS {
            let records = self.all_records();
            if records.is_empty() && self.tasks.ready.is_empty() {
                return;
            }
            for record in records {
                record.set_reason(reason.clone());
                self.discard(&record);
            }
            // The queue may hold the last reference to an ended task. Dropping that drops its outcome, which may spawn.
            while self.tasks.ready.pop().is_some() {}
        }
        let forgotten = self.forget_all();
        for record in &forgotten {
            self.report(&ExceptionContext::of(record, Failure::EndlessEnd { rounds: MAX_ROUNDS }));
        }
        // Tasks that the exception handler has spawned are dropped. Only what their destructors spawn is forgotten, too.
        for record in self.all_records() {
            self.discard(&record);
        }
        self.forget_all();
    }

    /// Ends the remaining tasks and callbacks without dropping their futures.
    fn forget_all(&self) -> Vec<RecordRef> {
        let records = self.all_records();
        for record in &records {
            record.set_reason(Reason::own(Cause::LoopDropped, None));
            record.forget_future();
            self.end(record, Flag::CANCELLED);
        }
        while self.tasks.ready.pop().is_some() {}
        records
    }

    fn all_records(&self) -> Vec<RecordRef> {
        self.tasks.table.borrow().iter().cloned().collect()
    }
}
