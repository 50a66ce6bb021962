//! **A look at a scope**: what is alive in it, when a cancel has come out.
//!
//! A poll does not show that by itself. What has waited may have lost a `select!` in the same poll, and is kept then; what is
//! awaited in a set is not polled, if it was not woken. So before a scope catches it is polled again:
//!
//! ```text
//!  the poll                     something came out
//!  once more                    what waits now is awaited, and alive
//!  a foreign waker is woken,    of those that were kept in the scope since the delivery, one after the other: what is awaited
//!  and once more                in a set shows itself; what is merely kept does not, and is forgotten
//! ```
//!
//! Where something was alive the last time, and a poll looks just as it does when nothing happens, nothing has happened, and no more
//! polls are made. The task does not hear of its own looks, or it would be polled for ever; if a set around a frame has used up its
//! waker by them, the task is polled once more.

use std::task::Poll;

use super::delivery::{Counts, Deliveries, Signal};
use super::foreign::KeptWaker;
use super::record::{Flag, RecordRef};
use super::scope::{POLLS_IN_VAIN, Scope, Seen};
use super::turn::Engine;

/// In one poll, the checkpoints that were visited, the cancels that came out, and how many wait. If they are the same as in a poll
/// in which nothing has happened, nothing has happened in this one.
pub(super) type PollCounts = (u32, u32, u32);
/// Of a poll in which nothing was being delivered.
pub(super) const NOT_COUNTED: PollCounts = (u32::MAX, u32::MAX, u32::MAX);

/// What one look at a scope has shown: a poll, or some.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) first: PollCounts,
    pub(super) last: PollCounts,
    /// Something waits.
    pub(super) waits: bool,
}

/// A scope that is being looked at.
pub(super) struct Looking<'a, R> {
    pub(super) scope: &'a Scope,
    pub(super) engine: &'a Engine,
    pub(super) task: Option<&'a RecordRef>,
    pub(super) before: Counts,
    pub(super) is_task: bool,
    /// It was marked, and this is the first poll after that.
    pub(super) is_delivered_now: bool,
    /// The task was woken while it was deaf.
    pub(super) was_woken: bool,
    pub(super) body: &'a mut dyn FnMut() -> Poll<R>,
}

impl<'a, R> Looking<'a, R> {
    /// A look at a frame to which nothing has been delivered just now.
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

    /// Something has come out of it.
    fn may_be_caught(&self) -> bool {
        self.scope.came_out.get() || self.engine.deliveries.out.get() > self.before.out
    }

    /// Polls the body; once more, while sets return early that there is more to be seen in. If there is no more to be said, `Err` says
    /// what was seen.
    pub(super) fn look(&mut self, mut is_again: bool) -> Result<Look, Seen<R>> {
        let (engine, task, scope) = (self.engine, self.task, self.scope);
        let d = &engine.deliveries;
        let (mut patience, mut waited, mut first, mut before) = (None, false, None, None);
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
            self.was_woken = is_again && (was_woken || self.was_woken && !self.is_task);
            if let Poll::Ready(output) = polled {
                d.out.set(self.before.out);
                scope.is_over();
                if engine.has_no_next() && self.is_task {
                    task.inspect(|task| task.set(Flag::CANCEL_PENDING)); // it ends cancelled; of a frame, what is beside it is not meant
                }
                return Err(Seen::Ready(output));
            }
            if d.signal.get() == Signal::Mark {
                return Err(scope.judge_marks(engine, self.before.met));
            }
            let waiting = d.waiting.get() - self.before.waiting;
            let last = (d.visits.get().wrapping_sub(visits), d.out.get() - out, waiting);
            let first = *first.get_or_insert(last);
            // As in `mark`: of a frame it is not known, but when it looks the same twice.
            let is_cut_short = was_woken || !self.is_task && before.replace(last) != Some(last);
            let waits = waiting > 0;
            let is_more = scope.has_sets.get() && (self.is_delivered_now || self.may_be_caught());
            let patience = patience.get_or_insert_with(|| {
                let kept = scope.memory.get().map_or(0, |memory| memory.kept_inside.borrow().len());
                let is_outermost = d.looks_nested.get() == 0;
                kept + if self.is_delivered_now && is_outermost { POLLS_IN_VAIN } else { 1 }
            });
            if !(is_more && is_cut_short) || *patience == 0 {
                return Ok(Look { first, last, waits: waits || waited });
            }
            *patience -= 1;
            waited = is_again && (waits || waited);
            is_again = true;
        }
    }

    /// Whether what came out can be caught. More polls may be needed to know what is alive.
    pub(super) fn judge(&mut self, first: Look) -> Seen<R> {
        let is_alive = if self.may_be_caught() { self.is_anything_alive(first) } else { Ok(false) };
        if let Some(task) = self.task.filter(|_| self.was_woken) {
            // It was deaf to that. A set around a frame has used up its waker for it, and is to be polled, to keep another one; a
            // set in a task has been.
            self.engine.make_record_ready(task);
            self.scope.memory().looks_again.set(Some(first.first));
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

    /// Something came out of the scope. It is to be caught when nothing in it is alive.
    fn is_anything_alive(&mut self, first: Look) -> Result<bool, Seen<R>> {
        let scope = self.scope;
        if let Some(task) = self.task.filter(|_| !scope.is_at_work()) {
            scope.knows_all_wakers(task);
        }
        let was_seen = first.waits || scope.keeps_the_last();
        if !first.waits && !scope.has_sets.get() {
            return Ok(false);
        }
        let memory = scope.memory();
        let is_once_more = memory.looks_again.take() == Some(first.first);
        if was_seen && (is_once_more || memory.looks_at_rest.get() == Some(first.first)) {
            memory.looks_at_rest.set(Some(first.first));
            return Ok(true); // nothing has happened in it since the last time
        }
        // What has waited may have lost in the same poll against something else.
        let second = self.look(true)?;
        if second.waits {
            memory.looks_at_rest.set(Some(second.last));
            return Ok(true);
        }
        // Of those that keep a foreign waker one may be awaited in a set. It is woken, and shows itself, or not.
        let mut patience = memory.kept_inside.borrow().len() + POLLS_IN_VAIN; // foreign code may keep another one in each poll
        while patience > 0
            && let Some((kept, waker)) = scope.next_that_keeps_a_waker()
        {
            patience -= 1;
            let ((), was_woken) = listening(self.task, true, || KeptWaker::Foreign(waker).wake());
            self.was_woken |= was_woken && !self.is_task;
            if self.look(true)?.waits {
                scope.memory().kept_inside.borrow_mut().push(kept);
                let rest = self.look(true)?;
                memory.looks_at_rest.set(Some(rest.last));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn poll_body(&mut self) -> Poll<R> {
        /// The body may panic.
        struct PutBack<'a>(&'a Deliveries, u32, usize);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.looks_nested.update(|nested| nested - 1);
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
        d.looks_nested.update(|nested| nested + 1);
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

/// Runs `run`, and says whether it woke the task. If the task is to be `deaf`, or is queued already, that is all that comes of it.
pub(super) fn listening<R>(
    task: Option<&RecordRef>,
    is_deaf: bool,
    run: impl FnOnce() -> R,
) -> (R, bool) {
    match task {
        Some(task) if is_deaf || task.is_queued() => task.deaf(run),
        Some(task) => {
            let returned = run();
            (returned, task.is_queued())
        }
        None => (run(), false),
    }
}

/// While `run` runs the task does not hear that it is woken: it is about to be polled.
pub(super) fn deaf<R>(task: Option<&RecordRef>, run: impl FnOnce() -> R) -> R {
    match task {
        Some(task) => task.deaf(run).0,
        None => run(),
    }
}
