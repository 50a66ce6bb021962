//! **A look at a scope**: what in it is still alive when a cancel has come out.
//!
//! One poll does not show that. A checkpoint that has waited may have lost a `select!` later in the same poll: it is kept then, and
//! not awaited. In a set of futures, only those are polled that were woken. So before a scope catches, it is polled again:
//!
//! ```text
//!  the poll                      a cancel came out
//!  once more                     what waits now is awaited, and alive
//!  a foreign waker is woken,     of those that were kept in the scope since the delivery, one after the other: what is awaited
//!  and once more                 in a set waits again; what is merely kept does not, and its waker is forgotten
//! ```
//!
//! If something was alive the last time, and a poll has the same counts as one in which nothing happened, then nothing has
//! happened, and no more polls are made. The task does not hear the wake-ups of its own looks, or it would be polled for ever. If
//! they have used up the waker of a set around a frame, the task is polled once more.

use std::task::Poll;

use super::mark::POLLS_IN_VAIN;
use super::{Scope, Seen};
use crate::deaf::listening;
use crate::delivery::{Counts, Deliveries, Signal};
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;
use crate::kernel::record::{Flag, RecordRef};

/// Of one poll: how many checkpoints were visited, how many cancels came out, and how many checkpoints wait. If the counts are
/// those of a poll in which nothing happened, nothing has happened in this one.
pub(super) type PollCounts = (u32, u32, u32);

/// The counts of a poll in which nothing was being delivered.
pub(super) const NOT_COUNTED: PollCounts = (u32::MAX, u32::MAX, u32::MAX);

/// What one look at a scope has shown. It takes one poll, or several.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) first_poll: PollCounts,
    pub(super) last_poll: PollCounts,
    /// A checkpoint waits.
    pub(super) waits: bool,
}

/// A scope that is being looked at.
pub(super) struct Looking<'a, R> {
    pub(super) scope: &'a Scope,
    pub(super) engine: &'a Engine,
    pub(super) task: Option<&'a RecordRef>,
    /// The counts before the poll.
    pub(super) before: Counts,
    /// The scope is the task itself, and not a frame in it.
    pub(super) is_task: bool,
    /// The scope was marked, and this is the first poll after that.
    pub(super) is_delivered_now: bool,
    /// The task was woken while it was deaf.
    pub(super) was_woken: bool,
    pub(super) body: &'a mut dyn FnMut() -> Poll<R>,
}

impl<'a, R> Looking<'a, R> {
    /// A look at a frame that was not marked just now.
    pub(super) fn at(
        scope: &'a Scope,
        engine: &'a Engine,
        task: Option<&'a RecordRef>,
        before: Counts,
        body: &'a mut dyn FnMut() -> Poll<R>,
    ) -> Looking<'a, R> {
        let (is_task, is_delivered_now, was_woken) = (false, false, false);
        Looking { scope, engine, task, before, is_task, is_delivered_now, was_woken, body }
    }

    /// A cancel has come out of the scope.
    fn may_be_caught(&self) -> bool {
        self.scope.came_out.get() || self.engine.deliveries.out.get() > self.before.out
    }

    /// Polls the body, and again while a set in it may have been cut short, until it is seen that something waits there. `Err` if
    /// what was seen is final.
    pub(super) fn look(&mut self, is_again: bool) -> Result<Look, Seen<R>> {
        self.look_within(is_again, usize::MAX)
    }

    /// The same, with so many polls after the first at most.
    fn look_within(&mut self, mut is_again: bool, at_most: usize) -> Result<Look, Seen<R>> {
        let (engine, task, scope) = (self.engine, self.task, self.scope);
        let d = &engine.deliveries;
        let (mut polls_left, mut first_poll, mut previous) = (None, None, None);
        let mut waited = false; // what waited in the very first poll may have lost; it does not count
        loop {
            if is_again {
                if let Some(task) = task {
                    task.set(Flag::AWAITS_SEVERAL); // the polls before may have noted what is not awaited any more
                }
                d.waiting.set(self.before.waiting);
                d.holding.set(self.before.holding);
            }
            let (visits, out) = (d.visits.get(), d.out.get());
            let (polled, was_woken) = listening(task, is_again, || self.poll_body());
            // Of a task only the last poll counts: each polls the sets that the one before has woken.
            self.was_woken = is_again && (was_woken || self.was_woken && !self.is_task);
            if let Poll::Ready(output) = polled {
                d.out.set(self.before.out);
                scope.is_over();
                if engine.has_no_next() && self.is_task {
                    task.inspect(|task| task.set(Flag::CANCEL_PENDING)); // it ends cancelled; what is beside a frame goes on
                }
                return Err(Seen::Ready(output));
            }
            if d.signal.get() == Signal::Mark {
                return Err(scope.judge_marks(engine, self.before.met));
            }
            let waiting = d.waiting.get() - self.before.waiting;
            let last_poll = (d.visits.get().wrapping_sub(visits), d.out.get() - out, waiting);
            let first_poll = *first_poll.get_or_insert(last_poll);
            // A frame cannot tell whether a set was cut short: it polls until two polls look the same.
            let looks_the_same = !was_woken && previous.replace(last_poll) == Some(last_poll);
            let is_cut_short = was_woken || !self.is_task && !looks_the_same;
            let waits = waiting > 0;
            let is_more = scope.has_sets.get() && (self.is_delivered_now || self.may_be_caught());
            let is_seen = !self.is_delivered_now
                && (is_again && waits || !is_again && scope.is_at_rest(last_poll));
            let seen = Look { first_poll, last_poll, waits: waits || waited };
            if !(is_more && is_cut_short) || is_seen {
                return Ok(seen);
            }
            let polls_left = polls_left.get_or_insert_with(|| at_most.min(scope.polls_of_sets()));
            if *polls_left == 0 {
                return Ok(seen);
            }
            *polls_left -= 1;
            waited = is_again && (waits || waited);
            is_again = true;
        }
    }

    /// Whether what came out can be caught, after the first look. Looks again if that leaves open what is alive.
    pub(super) fn look_further(&mut self, first: Look) -> Seen<R> {
        let is_alive = if self.may_be_caught() { self.is_anything_alive(first) } else { Ok(false) };
        if let Some(task) = self.task.filter(|_| self.was_woken) {
            // The task was deaf to that. A set around a frame has used up its waker, and is to be polled, to keep a new one.
            self.engine.tasks.ready.push(task);
            self.scope.memory().counts_before.set(Some(first.first_poll));
        }
        match is_alive {
            Err(seen) => return seen,
            Ok(false) => {}
            Ok(true) => {
                let waiting = &self.engine.deliveries.waiting;
                waiting.set(waiting.get().max(self.before.waiting + 1));
            }
        }
        self.scope.judge(self.engine, self.before)
    }

    /// Whether anything is alive in the scope, out of which a cancel came.
    fn is_anything_alive(&mut self, first: Look) -> Result<bool, Seen<R>> {
        let scope = self.scope;
        if let Some(task) = self.task.filter(|_| !scope.is_at_work()) {
            scope.note_all_wakers(task);
        }
        let was_seen = first.waits || scope.keeps_the_last();
        if !first.waits && !scope.has_sets.get() {
            return Ok(false);
        }
        let memory = scope.memory();
        let is_once_more = memory.counts_before.take() == Some(first.first_poll);
        if was_seen && (is_once_more || memory.counts_at_rest.get() == Some(first.first_poll)) {
            memory.counts_at_rest.set(Some(first.first_poll));
            return Ok(true); // nothing has happened in it since the last time
        }
        // What has waited may have lost a `select!` later in the same poll.
        let second = self.look(true)?;
        if second.waits {
            let at_rest = if scope.has_sets.get() { self.look_within(true, 1)? } else { second };
            memory.counts_at_rest.set(Some(at_rest.last_poll));
            return Ok(true);
        }
        // A checkpoint that keeps a foreign waker may be awaited in a set. If it is, it waits again when the waker is woken.
        // Foreign code may keep one more waker in each poll, so the wakes are counted.
        let mut wakes_left = memory.kept_inside.borrow().len() + POLLS_IN_VAIN;
        while wakes_left > 0
            && let Some((kept, waker)) = scope.next_that_keeps_a_waker()
        {
            wakes_left -= 1;
            let ((), was_woken) = listening(self.task, true, || KeptWaker::Foreign(waker).wake());
            self.was_woken |= was_woken && !self.is_task;
            if self.look(true)?.waits {
                scope.memory().kept_inside.borrow_mut().push(kept);
                let at_rest = self.look_within(true, 1)?;
                memory.counts_at_rest.set(Some(at_rest.last_poll));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Polls the body as the innermost scope, and notes the foreign wakers that are kept meanwhile.
    fn poll_body(&mut self) -> Poll<R> {
        /// The body may panic.
        struct PutBack<'a>(&'a Deliveries, u32, usize);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.innermost.set(self.1);
                self.0.active.borrow_mut().truncate(self.2);
            }
        }
        let (scope, d) = (self.scope, &self.engine.deliveries);
        let task = self.task;
        let cold = || task.and_then(|task| task.cold_if_any());
        let kept_before = cold().map_or(0, |cold| cold.foreign_wakers.borrow().added());
        let around = d.innermost.get();
        let put_back = PutBack(d, around, d.active.borrow().len());
        let number = scope.number.get();
        if number != 0 {
            d.active.borrow_mut().push(around);
            d.innermost.set(number);
        }
        let polled = (self.body)();
        drop(put_back);
        if polled.is_pending()
            && d.signal.get() != Signal::Mark
            && let Some(cold) = cold()
        {
            let kept = cold.foreign_wakers.borrow();
            if kept.added() > kept_before {
                scope.memory().kept_inside.borrow_mut().extend(kept.since(kept_before));
                scope.keeps_some.set(true);
                scope.has_sets.set(true);
            }
        }
        polled
    }
}
