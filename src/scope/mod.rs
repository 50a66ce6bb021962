//! **Scopes**: what can catch a cancel, or deliver one to what it holds.
//!
//! The task is a scope; so are `catch_cancel`, a time limit, a group's body. A limit that is up delivers to its own body as a task
//! does to its future (`delivery/`), and to nothing beside it. A scope could catch the first cancel that comes out of its body; but
//! in a `join!` that would drop the other branches in their clean-up. So it counts, in each poll, what came out and what is still
//! alive (clean-up, a join that holds): *it catches when something came out and nothing is alive*. Until then later polls go on
//! delivering: what was interrupted stays so.
//!
//! A set of futures polls only what was woken. So before the first poll of a delivery to several, all foreign wakers that the
//! task's checkpoints keep are woken; before the second, those of the checkpoints that were marked. The task hears of that only
//! when a frame delivers. And a set may return before it has polled all that was woken: when some have woken themselves in their
//! polls, as a set in a set does. So either step is repeated as long as it comes to more checkpoints.
//!
//! `mark` is the first of the two polls; `look` finds out whether anything in a scope is alive.
//!
//! It stands on `base`, the kernel, `kept_waker`, `delivery` and `deaf`.

mod look;
mod mark;

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use crate::base::id::TaskId;
use crate::delivery::{Counts, Delivered, Signal, SignalAround};
use crate::engine::Engine;
use crate::kept_waker::{GuardedWaker, KeptWaker};
use crate::kernel::record::RecordRef;
use look::{Look, Looking, NOT_COUNTED, PollCounts};

/// How a cancel is delivered to a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// In one poll: the task awaits one thing, to which the cancel was forwarded already.
    Forwarded,
    /// In two polls: the task may await several things.
    Several,
}

/// What a poll of a scope has shown.
#[derive(Debug)]
pub(crate) enum Seen<R> {
    Ready(R),
    Pending,
    /// A cancel came out, and nothing in the scope is alive: it may be dropped.
    CameOut,
}

/// What a scope remembers from one look at it to the next.
#[derive(Default)]
pub(crate) struct Memory {
    /// The foreign wakers that checkpoints in it have kept since the delivery.
    pub(crate) kept_inside: RefCell<Vec<Weak<GuardedWaker>>>,
    /// The foreign waker that the scope is polled with, while only foreign code waits in it.
    own: RefCell<Option<KeptWaker>>,
    /// The foreign wakers of what was marked, or asked. Such a checkpoint keeps none itself, and the next delivery needs it.
    pub(crate) interrupted: RefCell<Vec<KeptWaker>>,
    /// The counts of a poll in which nothing happens, if something was seen to be alive since the delivery.
    pub(crate) counts_at_rest: Cell<Option<PollCounts>>,
    /// The counts of the poll before, if the polls after it have woken the task: then it is polled once more.
    pub(crate) counts_before: Cell<Option<PollCounts>>,
}

/// What waits in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Inside {
    #[default]
    Unknown,
    Checkpoints,
    /// No checkpoint: the scope is marked and interrupted itself.
    OnlyForeign,
}

/// What can catch a cancel, or deliver one to what is in it.
#[derive(Default)]
pub(crate) struct Scope {
    /// The number that its checkpoints have noted; zero if nothing is being delivered.
    pub(crate) number: Cell<u32>,
    /// A cancel has come out of it, and something in it is still alive.
    pub(crate) came_out: Cell<bool>,
    /// The round in which it got its number.
    pub(crate) round: Cell<u64>,
    /// What the marking has found in it.
    pub(crate) inside: Cell<Inside>,
    /// It was marked, and nothing has been delivered there yet.
    pub(crate) is_marked: Cell<bool>,
    /// It may hold sets of futures, which poll only what was woken, and perhaps not all of that.
    pub(crate) has_sets: Cell<bool>,
    /// Checkpoints in it have kept foreign wakers since the delivery.
    pub(crate) keeps_some: Cell<bool>,
    /// In the last poll only foreign code waited in it.
    waits_for_foreign_code: Cell<bool>,
    /// Created on first use: most scopes need none.
    pub(crate) memory: OnceCell<Box<Memory>>,
}

impl Scope {
    pub(crate) fn memory(&self) -> &Memory {
        self.memory.get_or_init(Box::default)
    }

    /// Something is being delivered to it, or it waits until nothing in it is alive.
    pub(crate) fn is_at_work(&self) -> bool {
        self.number.get() != 0 || self.came_out.get()
    }

    /// Takes over the state of `other`: the task has a cold part by now.
    pub(crate) fn becomes(&self, other: &Scope) {
        if std::ptr::eq(self, other) {
            return;
        }
        self.number.set(other.number.get());
        self.came_out.set(other.came_out.get());
        self.round.set(other.round.get());
        self.has_sets.set(other.has_sets.get());
        self.inside.set(other.inside.get());
        self.is_marked.set(other.is_marked.get());
        self.keeps_some.set(other.keeps_some.take());
        if let Some(others) = other.memory.get() {
            self.memory().kept_inside.replace(others.kept_inside.take());
            self.memory().counts_at_rest.set(others.counts_at_rest.take());
            self.memory().counts_before.set(others.counts_before.take());
            let before = self.memory().interrupted.replace(others.interrupted.take());
            drop(before);
        }
    }

    /// Takes over what [`Engine::deliver_to_one`] has seen: something holds, or was interrupted while something else is alive.
    pub(crate) fn goes_on(&self, delivered: &Delivered) {
        self.number.set(delivered.number);
        self.came_out.set(delivered.came_out);
    }

    /// A cancel came out, but something in the scope may be alive.
    pub(crate) fn waits_for_the_rest(&self, task: &RecordRef) {
        self.note_all_wakers(task);
        self.came_out.set(true);
    }

    /// Nothing was being delivered, so the scope has not noted which foreign wakers are kept in it: notes all of the task's.
    pub(crate) fn note_all_wakers(&self, task: &RecordRef) {
        let Some(cold) = task.cold_if_any() else { return };
        let wakers = cold.foreign_wakers.borrow();
        // What was woken keeps no waker. If a set was cut short before it has polled that, it has woken the task.
        self.has_sets.set(task.is_queued() && wakers.added() > 0);
        if !wakers.keeps_any() {
            return;
        }
        let mut kept = self.memory().kept_inside.borrow_mut();
        kept.clear();
        kept.extend(wakers.since(0).filter(|waker| waker.strong_count() > 0));
        self.keeps_some.set(!kept.is_empty());
        self.has_sets.set(!kept.is_empty() || self.has_sets.get());
    }

    /// Polls a task once, by `body`; or twice, if a cancel is delivered to several.
    pub(crate) fn poll_task<R>(
        &self,
        task: &RecordRef,
        how: Option<How>,
        mut body: impl FnMut() -> Poll<R>,
    ) -> Seen<R> {
        self.poll_counting(&task.owner, Some(task), how, &mut body)
    }

    /// The same for the body of a frame, in the task that is being polled, with this waker.
    pub(crate) fn poll<R>(
        &self,
        engine: &Engine,
        how: Option<How>,
        waker: &Waker,
        mut body: impl FnMut() -> Poll<R>,
    ) -> Seen<R> {
        if how.is_some() || self.is_at_work() || !engine.is_quiet() {
            return self.poll_in_frame(engine, how, waker, &mut body);
        }
        let before = Counts { waiting: engine.deliveries.waiting.get(), ..Counts::default() };
        match body() {
            Poll::Ready(output) => {
                engine.deliveries.signal.set(Signal::Quiet); // a branch that lost in it is gone, and so is its cancel
                self.forget_own_waker();
                Seen::Ready(output)
            }
            Poll::Pending if engine.is_quiet() => {
                if engine.deliveries.waiting.get() == before.waiting {
                    engine.waits(); // no checkpoint waits, so foreign code does: it counts as one
                    self.keep_own_waker(waker);
                } else {
                    self.forget_own_waker();
                }
                Seen::Pending
            }
            Poll::Pending => {
                self.forget_own_waker();
                self.something_came_out(engine, before, &mut body)
            }
        }
    }

    #[cold]
    fn poll_in_frame<R>(
        &self,
        engine: &Engine,
        how: Option<How>,
        waker: &Waker,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let met_before = engine.deliveries.met.get();
        let seen = self.poll_counting(engine, None, how, body);
        let waits_for_foreign_code = self.waits_for_foreign_code.take();
        if !matches!(seen, Seen::Pending) {
            return seen;
        }
        if engine.deliveries.signal.get() == Signal::Mark {
            let only_foreign = self.inside.get() == Inside::OnlyForeign;
            if only_foreign && engine.deliveries.met.get() != met_before {
                engine.note_marked_waker(waker);
            }
        } else if waits_for_foreign_code && !self.came_out.get() {
            self.keep_own_waker(waker); // if it is the same, it is not kept anew
        } else {
            self.forget_own_waker();
        }
        seen
    }

    /// Only foreign code waits in the frame. If it is in a set, a cancel can have it polled only by its own waker.
    fn keep_own_waker(&self, waker: &Waker) {
        if TaskId::of(waker).is_none() || self.memory.get().is_some() {
            KeptWaker::replace_foreign_in(&self.memory().own, waker);
        }
    }

    fn forget_own_waker(&self) {
        if let Some(memory) = self.memory.get() {
            let own = memory.own.take();
            drop(own); // after the borrow: it may run anything
        }
    }

    /// A cancel came out in a poll that delivers none: something in the frame lets one go on that it had caught before.
    #[cold]
    fn something_came_out<R>(
        &self,
        engine: &Engine,
        before: Counts,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let task = engine.current.with_hidden(RecordRef::clone);
        let task = task.as_ref();
        let waits = engine.deliveries.waiting.get() > before.waiting;
        let first = Look { first_poll: NOT_COUNTED, last_poll: NOT_COUNTED, waits };
        let seen = Looking::at(self, engine, task, before, body).look_further(first);
        engine.deliveries.signal.set(Signal::Quiet);
        seen
    }

    /// One poll, or two, that count what comes out and what waits.
    #[cold]
    fn poll_counting<R>(
        &self,
        engine: &Engine,
        task: Option<&RecordRef>,
        how: Option<How>,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let is_task = task.is_some();
        let current = || engine.current.with_hidden(RecordRef::clone);
        let task = task.cloned().or_else(current);
        let d = &engine.deliveries;
        let around = d.signal.get();
        if around == Signal::Asking {
            return match body() {
                Poll::Ready(output) => Seen::Ready(output),
                Poll::Pending => Seen::Pending,
            };
        }
        let put_back = SignalAround::new(d, around);
        if around == Signal::Quiet {
            engine.raise_deliver();
        }
        if how == Some(How::Several) {
            d.round.update(|round| round + 1);
        }
        // If a new delivery reaches the scope, its number changes, and with it the checkpoints that are interrupted.
        let is_marked_now = around == Signal::Mark && self.round.get() != d.round.get();
        if how.is_some()
            || is_marked_now
            || matches!(around, Signal::First | Signal::Forwarded | Signal::Next)
        {
            self.number.set(d.next_number());
            self.round.set(d.round.get());
            self.inside.set(Inside::Unknown);
            self.has_sets.set(false);
            self.forget_foreign_wakers(); // an awaited one is interrupted now, or holds and is kept anew
        }
        match how {
            None => {}
            Some(How::Forwarded) => d.signal.set(Signal::Forwarded),
            Some(How::Several) => {
                let marked = self.mark(engine, task.as_ref(), is_task, body);
                if let Seen::Ready(_) = marked {
                    put_back.if_quiet();
                    return marked;
                }
            }
        }
        let seen = self.poll_once(engine, task.as_ref(), is_task, body);
        put_back.if_quiet();
        seen
    }

    /// One poll, and more if it leaves open what is alive.
    fn poll_once<R>(
        &self,
        engine: &Engine,
        task: Option<&RecordRef>,
        is_task: bool,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let d = &engine.deliveries;
        let mut before = d.counts();
        if is_task {
            before.waiting = 0; // each poll of a task counts them anew
        }
        let is_delivered_now = d.signal.get() == Signal::Deliver && self.is_marked.take();
        let mut polling = Looking::at(self, engine, task, before, body);
        (polling.is_task, polling.is_delivered_now) = (is_task, is_delivered_now);
        match polling.look(false) {
            Ok(first) => polling.look_further(first),
            Err(seen) => seen,
        }
    }

    /// Whether the foreign waker of the checkpoint that was last seen to be alive is still kept.
    pub(crate) fn keeps_the_last(&self) -> bool {
        let Some(memory) = self.memory.get() else { return false };
        memory.kept_inside.borrow().last().is_some_and(|kept| kept.strong_count() > 0)
    }

    /// Something was alive, and a poll with these counts is one in which nothing has happened.
    pub(crate) fn is_at_rest(&self, counts: PollCounts) -> bool {
        let at_rest = self.memory.get().and_then(|memory| memory.counts_at_rest.get());
        at_rest == Some(counts) && self.keeps_the_last()
    }

    /// A foreign waker that was kept since the delivery, and still is: by a checkpoint in a set, or by one that is merely kept.
    pub(crate) fn next_that_keeps_a_waker(
        &self,
    ) -> Option<(Weak<GuardedWaker>, Arc<GuardedWaker>)> {
        let mut kept = self.memory().kept_inside.borrow_mut();
        while let Some(next) = kept.pop() {
            if let Some(waker) = next.upgrade() {
                return Some((next, waker));
            }
        }
        None
    }

    /// Whether a foreign waker that was kept since the delivery is still kept.
    fn keeps_foreign_wakers(&self) -> bool {
        if self.keeps_some.get() {
            let mut kept = self.memory().kept_inside.borrow_mut();
            kept.retain(|waker| waker.strong_count() > 0);
            self.keeps_some.set(!kept.is_empty());
        }
        self.keeps_some.get()
    }

    fn forget_foreign_wakers(&self) {
        if let Some(memory) = self.memory.get() {
            memory.counts_at_rest.set(None);
            memory.counts_before.set(None);
        }
        if self.keeps_some.take() {
            drop(self.memory().kept_inside.take());
        }
    }

    /// From here on nothing is being delivered to the scope.
    pub(crate) fn is_over(&self) {
        self.number.set(0);
        self.came_out.set(false);
        self.forget_foreign_wakers();
        self.forget_interrupted();
        self.forget_own_waker();
    }

    fn forget_interrupted(&self) {
        if let Some(memory) = self.memory.get() {
            let wakers = memory.interrupted.take();
            drop(wakers); // after the borrow: it may run anything
        }
    }

    /// The body was polled and is pending: decides whether what came out can be caught.
    pub(crate) fn judge<R>(&self, engine: &Engine, before: Counts) -> Seen<R> {
        let d = &engine.deliveries;
        if matches!(d.signal.get(), Signal::First | Signal::Forwarded | Signal::Next) {
            // No checkpoint was reached: the scope itself is interrupted.
            d.signal.set(Signal::Deliver);
            d.out.set(before.out + 1);
        }
        let waits = d.waiting.get() > before.waiting;
        let is_alive = waits || self.keeps_foreign_wakers();
        if self.inside.get() == Inside::OnlyForeign
            && self.number.get() != 0
            && d.out.get() == before.out
            && !is_alive
        {
            d.out.set(before.out + 1);
        }
        if d.out.get() > before.out {
            self.came_out.set(true);
            d.out.set(before.out);
        }
        if self.came_out.get() {
            if !is_alive {
                self.is_over();
                return Seen::CameOut;
            }
            d.holding.update(|holding| holding + 1); // it waits until nothing in it is alive
            engine.waits(); // what was interrupted is still there, beside what is alive
        } else if d.holding.get() == before.holding && !self.keeps_foreign_wakers() {
            self.number.set(0); // all of it was caught
            self.forget_interrupted();
        }
        if !waits {
            engine.waits(); // only foreign futures wait in it: they count as one
            self.waits_for_foreign_code.set(true);
        }
        Seen::Pending
    }
}

/// The foreign wakers that checkpoints of the task keep.
fn foreign_wakers(task: Option<&RecordRef>) -> Vec<KeptWaker> {
    let alive = |task: &RecordRef| Some(task.cold_if_any()?.foreign_wakers.borrow().alive());
    task.and_then(alive).unwrap_or_default()
}
