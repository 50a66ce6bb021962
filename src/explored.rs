//! **Explored polls**: what is asked before each poll of a loop that has a chooser.
//!
//! To shuffle the ready queue once a turn would be simple, and would miss what happens most: a task that is woken in this turn, and
//! runs before another that has been ready for long, as with a wake-up from a thread or a socket that comes a moment earlier. So the
//! chooser is asked before *each* poll, and every task that is ready is a candidate.
//!
//! ```text
//!  1. does virtual time pass now, although tasks are ready?     what a slow machine does: time limits expire
//!  2. which ready task is polled?                               it is moved to the front of the queue
//!  3. is a task cancelled before that poll?                     that one, or one that waits
//! ```
//!
//! When nothing is ready virtual time jumps. Before that it is asked once more whether a task is cancelled, one that waits: what sleeps
//! alone is polled only when its time has come, and would never be cancelled in its sleep.
//!
//! The positions of the queue stay as they are, so a turn has as many polls as ever, and if each answer is zero the run is the one
//! that it is without a chooser.
//!
//! It stands on `base`, the kernel, `choices`, `trace`, `delivery`, `reason`, `time`, `cancel` and `parking`.

use std::panic::Location;
use std::rc::Rc;

use crate::base::instant::Instant;
use crate::choices::{Candidate, Chooser, Kind};
use crate::engine::Engine;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::Reason;

/// The serial of the main task of an explored loop, which is its first task.
const MAIN: u32 = 1;

impl Engine {
    /// Asks the chooser, if there is one, before the next poll of a watched turn.
    #[cold]
    #[inline(never)]
    pub(crate) fn explore_next_poll(self: &Rc<Self>) {
        let Some(chooser) = self.chooser() else { return };
        self.choices.no_cancel_while_idle.set(false);
        chooser.step_is_over();
        if chooser.may_pass_time() {
            self.explore_time(&*chooser);
        }
        let entries = self.tasks.ready.entries();
        let Some(first) = entries.first().filter(|first| !first.has(Flag::DONE)) else { return };
        let alive: Vec<(usize, &RecordRef)> =
            entries.iter().enumerate().filter(|(_, record)| !record.has(Flag::DONE)).collect();
        let mut next = first;
        if alive.len() > 1 {
            let candidates: Vec<Candidate> =
                alive.iter().map(|(_, record)| Candidate::of(record)).collect();
            let chosen = chooser.choose(Kind::Ready, candidates.len(), &candidates);
            let (index, record) = alive[chosen.min(alive.len() - 1)];
            if index > 0 {
                self.tasks.ready.bring_forward(index);
                self.note_reordered();
                next = record;
            }
        }
        let candidate = Candidate::of(next);
        if chooser.may_cancel_any() {
            self.explore_cancel(&*chooser, Some(&candidate));
        }
        chooser.steps(&candidate, next.has(Flag::STARTED) || !next.has(Flag::CANCEL_PENDING));
    }

    /// How many polls a turn makes.
    pub(crate) fn explored_polls(&self, at_most: usize) -> usize {
        let is_short = self.chooser().is_some_and(|chooser| chooser.wants_short_turns());
        if is_short { at_most.min(1) } else { at_most }
    }

    /// Asks whether a task is cancelled before the clock jumps, if nothing is ready. True if one is: then the clock does not jump now.
    ///
    /// If none is, it is not asked again before something has happened: a jump may lead to the deadline of a timer that was removed,
    /// and then it is followed by another.
    pub(crate) fn explore_idle(&self) -> bool {
        let Some(chooser) = self.chooser().filter(|chooser| chooser.may_cancel_any()) else {
            return false;
        };
        if self.choices.no_cancel_while_idle.get() || !self.has_nothing_ready() {
            return false;
        }
        let is_cancelled = self.explore_cancel(&*chooser, None);
        self.choices.no_cancel_while_idle.set(!is_cancelled);
        is_cancelled
    }

    /// The entry of a task that has ended is popped in its turn, and polls nothing.
    fn has_nothing_ready(&self) -> bool {
        self.tasks.ready.entries().iter().all(|record| record.has(Flag::DONE))
    }

    /// Asks whether a task is cancelled before the poll of `next`: that one, or one that waits. One that is ready is asked for
    /// before its own poll. After the end of main no cancel is asked for: the end of the run cancels them all. True if one is cancelled.
    fn explore_cancel(&self, chooser: &dyn Chooser, next: Option<&Candidate>) -> bool {
        let is_next = |record: &RecordRef| next.is_some_and(|next| record.id == next.id);
        let mut tasks: Vec<RecordRef> = {
            let table = self.tasks.table.borrow();
            if !table.iter().any(|record| record.serial == MAIN) {
                return false;
            }
            let is_wanted = |record: &&RecordRef| {
                record.is_task()
                    && record.serial != MAIN
                    && (is_next(record) || !record.is_queued())
            };
            table.iter().filter(is_wanted).cloned().collect()
        };
        tasks.sort_by_key(|record| (!is_next(record), record.serial));
        tasks.retain(|record| chooser.may_cancel(&Candidate::of(record)));
        if tasks.is_empty() {
            return false;
        }
        let candidates: Vec<Candidate> = tasks.iter().map(Candidate::of).collect();
        let kind = if next.is_some() { Kind::Cancel } else { Kind::IdleCancel };
        let chosen = chooser.choose(kind, candidates.len() + 1, &candidates);
        let Some(record) = chosen.checked_sub(1).and_then(|index| tasks.get(index)) else {
            return false;
        };
        let reason = Reason::said("the exploration cancels it".to_owned(), Location::caller());
        record.cancel(&reason)
    }

    /// Asks whether virtual time passes to the next deadline, although tasks are ready.
    fn explore_time(self: &Rc<Self>, chooser: &dyn Chooser) {
        // The end of time comes on no machine.
        let has_next = self.next_deadline().is_some_and(|deadline| deadline < Instant::MAX);
        let may_jump = has_next && self.clock_that_jumps().is_some() && !self.has_nothing_ready();
        if !may_jump || chooser.choose(Kind::EarlyTimer, 2, &[]) == 0 {
            return;
        }
        // The first jump may lead to the deadline of a timer that was removed: it fires nothing. One that fires is the last, whatever
        // its timers have set.
        let fired = self.choices.fired.get();
        while self.choices.fired.get() == fired
            && let Some(deadline) = self.next_deadline().filter(|deadline| *deadline < Instant::MAX)
            && self.jump_to(deadline)
        {}
    }
}
