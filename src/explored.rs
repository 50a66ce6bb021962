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
//! The positions of the queue stay as they are, so a turn has as many polls as ever, and if each answer is zero the run is the one
//! that it is without a chooser.
//!
//! It stands on `base`, the kernel, `choices`, `trace`, `delivery`, `reason`, `time`, `cancel` and `parking`.

use std::panic::Location;
use std::rc::Rc;

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
        chooser.step_is_over();
        if chooser.may_pass_time() {
            self.explore_time(&*chooser);
        }
        let entries = self.tasks.ready.entries();
        // The entry of a task that has ended is popped in its turn, and polls nothing.
        let Some(first) = entries.first().filter(|first| !first.has(Flag::DONE)) else { return };
        let alive: Vec<(usize, &RecordRef)> =
            entries.iter().enumerate().filter(|(_, record)| !record.has(Flag::DONE)).collect();
        let mut next = Candidate::of(first);
        if alive.len() > 1 {
            let candidates: Vec<Candidate> =
                alive.iter().map(|(_, record)| Candidate::of(record)).collect();
            let chosen = chooser.choose(Kind::Ready, candidates.len(), &candidates);
            let (index, record) = alive[chosen.min(alive.len() - 1)];
            if index > 0 {
                self.tasks.ready.bring_forward(index);
                self.note_reordered();
                next = Candidate::of(record);
            }
        }
        if chooser.may_cancel_any() {
            self.explore_cancel(&*chooser, &next);
        }
        chooser.polls(&next);
    }

    /// How many polls a turn makes.
    pub(crate) fn explored_polls(&self, at_most: usize) -> usize {
        let is_short = self.chooser().is_some_and(|chooser| chooser.wants_short_turns());
        if is_short { at_most.min(1) } else { at_most }
    }

    /// Asks whether a task is cancelled before the poll of `next`: that one, or one that waits. One that is ready is asked for
    /// before its own poll. After the end of main no cancel is asked for: the end of the run cancels them all.
    fn explore_cancel(&self, chooser: &dyn Chooser, next: &Candidate) {
        let mut tasks: Vec<RecordRef> = {
            let table = self.tasks.table.borrow();
            if !table.iter().any(|record| record.serial == MAIN) {
                return;
            }
            let is_wanted = |record: &&RecordRef| {
                record.is_task()
                    && record.serial != MAIN
                    && (record.id == next.id || !record.is_queued())
            };
            table.iter().filter(is_wanted).cloned().collect()
        };
        tasks.sort_by_key(|record| (record.id != next.id, record.serial));
        tasks.retain(|record| chooser.may_cancel(&Candidate::of(record)));
        if tasks.is_empty() {
            return;
        }
        let candidates: Vec<Candidate> = tasks.iter().map(Candidate::of).collect();
        let chosen = chooser.choose(Kind::Cancel, candidates.len() + 1, &candidates);
        if let Some(record) = chosen.checked_sub(1).and_then(|index| tasks.get(index)) {
            let reason = Reason::said("the exploration cancels it".to_owned(), Location::caller());
            record.cancel(&reason);
        }
    }

    /// Asks whether virtual time passes to the next deadline, although tasks are ready.
    fn explore_time(self: &Rc<Self>, chooser: &dyn Chooser) {
        let pending = || self.time.wheel.borrow().pending();
        let before = pending();
        let is_idle = self.tasks.ready.entries().iter().all(|record| record.has(Flag::DONE));
        if before == 0 || is_idle || chooser.choose(Kind::EarlyTimer, 2, &[]) == 0 {
            return;
        }
        // A moment at which the wheel has work may come before the first deadline.
        while pending() == before
            && let Some(deadline) = self.next_deadline()
            && self.jump_to(deadline)
        {
            self.fire_timers();
        }
    }
}
