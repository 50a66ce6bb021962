//! **The end of a run, and of a loop.**
//!
//! When `main` has returned, other tasks may be left. The naive answer is to drop them; then clean-up that awaits is lost. So the
//! end of a run cancels them and waits. Only a loop that is dropped cannot wait, and drops what is left hard. A task may spawn
//! another in its clean-up or its destructor, without end. So both go round by round, and give up, with a report, after
//! [`MAX_ROUNDS`].
//!
//! A task that swallows the cancel is not given up: the run waits for it. It is reported, and from outside it looks like a task
//! whose clean-up waits. So it is reported at once only if it has taken the cancel back; otherwise when no task has ended for
//! [`LONG`], or for [`MANY_TURNS`] if virtual time passes in no time. The wait goes on.
//!
//! It stands on `base`, `reason`, the kernel, `task_local`, `mailbox`, `cancel`, `report`, `thread`, `to_thread` and `watch`.

use std::panic::Location;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::{Cause, Reason};
use crate::report::{ExceptionContext, Failure};

/// How many rounds of tasks are cancelled or dropped, each spawned by the round before.
const MAX_ROUNDS: u32 = 1_000;

/// If no task has ended for so long after the end of a run, those that are left are reported. A virtual clock does not count.
const LONG: Duration = Duration::from_secs(10);

/// The same for so many turns.
const MANY_TURNS: u32 = 1_000_000;

/// The end of a run: cancels every task round by round, then waits for blocking work.
pub(crate) struct Shutdown {
    reason: Reason,
    /// The tasks of this round, and how many of them, from the front, are known to have ended.
    cancelled: Vec<RecordRef>,
    ended: usize,
    rounds: u32,
    /// No task is left, or the remaining ones were given up.
    has_cancelled_all: bool,
    wait: Wait,
    /// How many of the tasks, from the front, need no report any more.
    reported: usize,
}

/// The wait for the next end of a task.
#[derive(Default)]
struct Wait {
    /// `None` on a virtual clock.
    since: Option<Instant>,
    turns: u32,
}

impl Wait {
    fn begins(engine: &Engine) -> Wait {
        Wait { since: (!engine.is_virtual()).then(|| engine.now()), turns: 0 }
    }

    fn is_long(&self, engine: &Engine) -> bool {
        self.turns >= MANY_TURNS || self.since.is_some_and(|since| engine.now() - since >= LONG)
    }
}

impl Shutdown {
    /// `at`: the line of the run.
    pub(crate) fn new(at: &'static Location<'static>) -> Shutdown {
        Shutdown {
            reason: Reason::own(Cause::RunOver, Some(at)),
            cancelled: Vec::new(),
            ended: 0,
            rounds: 0,
            has_cancelled_all: false,
            wait: Wait::default(),
            reported: 0,
        }
    }

    /// Starts the next round if the last one has ended; true when all is done. Called before the first turn and after each turn:
    /// it inspects each ended task only once, so all calls together take linear time.
    pub(crate) fn advance(&mut self, engine: &Engine) -> bool {
        let is_done = self.advance_rounds(engine);
        let is_to_look = !self.has_cancelled_all && self.reported < self.cancelled.len();
        let look_at = self.wait.since.filter(|_| is_to_look).map(|since| since + LONG);
        engine.watch.look_at.set(look_at);
        is_done
    }

    fn advance_rounds(&mut self, engine: &Engine) -> bool {
        while !self.has_cancelled_all {
            let before = self.ended;
            while self.cancelled.get(self.ended).is_some_and(|task| task.has(Flag::DONE)) {
                self.ended += 1;
            }
            if self.ended < self.cancelled.len() {
                if self.ended > before {
                    self.wait = Wait::begins(engine);
                }
                self.report_what_outlives_the_run(engine);
                return false;
            }
            let gives_up = self.rounds == MAX_ROUNDS;
            (self.cancelled, self.ended, self.rounds) = (engine.tasks(), 0, self.rounds + 1);
            (self.wait, self.reported) = (Wait::begins(engine), 0);
            for task in &self.cancelled {
                if gives_up {
                    let failure = Failure::EndlessCleanUp { rounds: MAX_ROUNDS };
                    engine.report(&ExceptionContext::of(task, failure));
                    task.set_reason(self.reason.clone());
                    engine.discard(task);
                } else {
                    task.cancel(&self.reason);
                    let is_late = self.rounds > 1 && !task.has(Flag::STARTED | Flag::DONE);
                    if is_late && engine.is_debugging() {
                        engine.report(&ExceptionContext::of(task, Failure::NeverBegan));
                    }
                }
            }
            self.has_cancelled_all = gives_up || self.cancelled.is_empty();
        }
        !engine.has_work_out() // a thread cannot be cancelled
    }

    /// The first task that is left is the one that the run waits for.
    fn report_what_outlives_the_run(&mut self, engine: &Engine) {
        self.wait.turns = self.wait.turns.saturating_add(1);
        if self.reported == self.cancelled.len() {
            return;
        }
        let first = &self.cancelled[self.ended];
        if self.reported <= self.ended && first.cancel_requests() == 0 {
            self.reported = self.ended + 1;
            let failure = Failure::OutlivesRun { waited: None };
            engine.report(&ExceptionContext::of(first, failure));
        } else if self.wait.is_long(engine) {
            let begin = self.reported.max(self.ended);
            self.reported = self.cancelled.len();
            let waited = self.wait.since.map(|since| engine.now() - since);
            for task in self.cancelled[begin..].iter().filter(|task| !task.has(Flag::DONE)) {
                let failure = Failure::OutlivesRun { waited };
                engine.report(&ExceptionContext::of(task, failure));
            }
        }
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
        self.forget_watched(); // these are references to tasks
        self.discard_all(); // the destructor of a lost call, or of a local, may have spawned more
        // The observer may hold references to tasks, too. Its destructor may spawn tasks, and set another observer.
        for _ in 0..MAX_ROUNDS {
            if !self.has_observer() {
                break;
            }
            self.set_trace(None);
            self.discard_all();
        }
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
