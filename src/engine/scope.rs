//! **Scopes**: what can catch a cancel, or deliver one to what is in it.
//!
//! The task is one, `catch_cancel`, a time limit, a group's body. A limit that is up delivers to its own body as a task does to its
//! future (`delivery.rs`), and to nothing beside it. A scope counts what came out of its body in a poll, and what is still alive
//! there (clean-up, a join that holds); *it catches when something came out and nothing is alive*. While it waits for that, later
//! polls go on delivering: what was interrupted stays so.
//!
//! A set of futures polls only the children that were woken. So all foreign wakers that the task's checkpoints keep are woken
//! before the polls of a new delivery; the task itself does not hear of that. And a set may return before it has polled all of
//! them: when some have woken themselves in their polls, as a set in a set does when it has polled all of its own. So either step
//! is repeated as long as it comes to more checkpoints. Whether something is alive in a set is found out in `look.rs`.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use super::delivery::{Counts, Delivered, Signal};
use super::foreign::{GuardedWaker, KeptWaker};
use super::look::{Look, Looking, NOT_COUNTED, PollCounts, deaf, listening};
use super::record::RecordRef;
use super::turn::Engine;
use super::waker::TaskId;

/// How a cancel is delivered to a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The task awaits one thing, and the cancel was passed on to that.
    Forwarded,
    /// In two polls.
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
pub(super) struct Memory {
    /// The foreign wakers that checkpoints in it have kept since the delivery.
    pub(super) kept_inside: RefCell<Vec<Weak<GuardedWaker>>>,
    /// The foreign waker that it is polled with, while only foreign code waits in it.
    own: RefCell<Option<KeptWaker>>,
    /// The foreign wakers of what was marked: what is interrupted keeps none itself, and the next delivery is to find it.
    pub(super) interrupted: RefCell<Vec<KeptWaker>>,
    /// What a look at it counts in which nothing has happened, if something in it was seen to be alive since the delivery.
    pub(super) looks_at_rest: Cell<Option<PollCounts>>,
    /// What the last look has counted, if that was followed by others for which the task was woken: it is polled once more then.
    pub(super) looks_again: Cell<Option<PollCounts>>,
}

/// So many polls are made in vain, by the outermost scope, before no more is expected of a set. Each polls at least one more of its
/// futures, and more than one if they do not wake themselves.
pub(super) const POLLS_IN_VAIN: usize = 64;

/// What waits in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Inside {
    #[default]
    Unknown,
    Checkpoints,
    /// It is marked and interrupted itself.
    OnlyForeign,
}

/// What can catch a cancel, or deliver one to what is in it.
#[derive(Default)]
pub(crate) struct Scope {
    /// What its checkpoints have noted; zero if nothing is being delivered.
    pub(super) number: Cell<u32>,
    /// A cancel has come out of it, and something in it is still alive.
    pub(super) came_out: Cell<bool>,
    /// In which round it got its number.
    pub(super) round: Cell<u64>,
    /// What the marking has found in it.
    pub(super) inside: Cell<Inside>,
    /// It was marked, and nothing has been delivered there yet.
    pub(super) is_marked: Cell<bool>,
    /// There are sets in it, which poll only what was woken, and perhaps not all of that.
    pub(super) has_sets: Cell<bool>,
    /// Whether checkpoints in it have kept foreign wakers since the delivery.
    pub(super) keeps_some: Cell<bool>,
    /// In the poll that has just been judged only foreign code has waited in it.
    waits_for_foreign_code: Cell<bool>,
    /// Made on first use: of most scopes nothing is seen twice.
    pub(super) memory: OnceCell<Box<Memory>>,
}

impl Scope {
    pub(super) fn memory(&self) -> &Memory {
        self.memory.get_or_init(Box::default)
    }

    /// Something is being delivered to it, or it waits until nothing in it is alive.
    pub(crate) fn is_at_work(&self) -> bool {
        self.number.get() != 0 || self.came_out.get()
    }

    pub(super) fn becomes(&self, other: &Scope) {
        self.number.set(other.number.get());
        self.came_out.set(other.came_out.get());
        self.round.set(other.round.get());
        self.has_sets.set(other.has_sets.get());
        self.inside.set(other.inside.get());
        self.is_marked.set(other.is_marked.get());
        if !std::ptr::eq(self, other) {
            self.keeps_some.set(other.keeps_some.take());
            if let Some(others) = other.memory.get() {
                self.memory().kept_inside.replace(others.kept_inside.take());
                self.memory().looks_at_rest.set(others.looks_at_rest.take());
                self.memory().looks_again.set(others.looks_again.take());
                let before = self.memory().interrupted.replace(others.interrupted.take());
                drop(before);
            }
        }
    }

    /// A cancel has come out of it, and it waits until nothing in it is alive.
    pub(super) fn has_interrupted(&self) -> bool {
        self.came_out.get()
    }

    /// A cancel came out of it, but something in it may be alive.
    pub(super) fn waits_for_the_rest(&self, task: &RecordRef) {
        self.knows_all_wakers(task);
        self.came_out.set(true);
    }

    /// Nothing was being delivered to it, so it has not noted who keeps foreign wakers in it: any may be inside.
    pub(super) fn knows_all_wakers(&self, task: &RecordRef) {
        if let Some(cold) = task.cold_if_any() {
            let wakers = cold.foreign_wakers.borrow();
            if !wakers.keeps_any() {
                return;
            }
            let mut kept = self.memory().kept_inside.borrow_mut();
            kept.clear();
            kept.extend(wakers.since(0).filter(|waker| waker.strong_count() > 0));
            self.keeps_some.set(!kept.is_empty());
            self.has_sets.set(!kept.is_empty());
        }
    }

    /// One poll of a task, by `body`; two if a cancel is delivered to several.
    pub(super) fn poll_task<R>(
        &self,
        task: &RecordRef,
        how: Option<How>,
        mut body: impl FnMut() -> Poll<R>,
    ) -> Seen<R> {
        self.poll_counting(&task.home, Some(task), how, &mut body)
    }

    /// What [`Engine::deliver_to_one`] has seen: something holds, or was interrupted and something else is alive.
    pub(super) fn goes_on(&self, delivered: &Delivered) {
        self.number.set(delivered.number);
        self.came_out.set(delivered.came_out);
    }

    /// The same for what is in a frame, in the task that is being polled, with this waker.
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
                engine.deliveries.signal.set(Signal::Quiet); // what came out of a branch that has lost is gone with it
                self.forget_own_waker();
                Seen::Ready(output)
            }
            Poll::Pending if engine.is_quiet() => {
                if engine.deliveries.waiting.get() == before.waiting {
                    engine.waits(); // foreign code waits in it, and says nothing: it counts as one
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
        let is_marked = || engine.deliveries.signal.get() == Signal::Mark;
        let met_before = engine.deliveries.met.get();
        let seen = self.poll_counting(engine, None, how, body);
        let waits_for_foreign_code = self.waits_for_foreign_code.take();
        if !matches!(seen, Seen::Pending) {
            return seen;
        }
        if is_marked() {
            let only_foreign = self.inside.get() == Inside::OnlyForeign;
            if only_foreign && engine.deliveries.met.get() != met_before {
                engine.is_marked_in_a_set(waker);
            }
        } else if waits_for_foreign_code && !self.came_out.get() {
            self.keep_own_waker(waker); // if it is the same, it is not kept anew
        } else {
            self.forget_own_waker();
        }
        seen
    }

    /// Only foreign code waits in it. In a set it is polled only if it is woken itself, so that a cancel has to find its waker.
    fn keep_own_waker(&self, waker: &Waker) {
        if TaskId::of(waker).is_some() {
            return self.forget_own_waker();
        }
        let is_kept = |own: &KeptWaker| own.will_wake(waker);
        if !self.memory().own.borrow().as_ref().is_some_and(is_kept) {
            let kept = KeptWaker::of_foreign(waker); // outside the borrow: it may run anything
            let before = self.memory().own.replace(Some(kept));
            drop(before);
        }
    }

    fn forget_own_waker(&self) {
        if let Some(memory) = self.memory.get() {
            let own = memory.own.take();
            drop(own); // after the borrow: it may run anything
        }
    }

    /// Of itself, in a poll in which nothing is being delivered: something lets a cancel go on that it had caught before.
    #[cold]
    fn something_came_out<R>(
        &self,
        engine: &Engine,
        before: Counts,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let task = engine.current.with_hidden(RecordRef::clone);
        let task = task.as_ref();
        let first = Look {
            first: NOT_COUNTED,
            last: NOT_COUNTED,
            waits: engine.deliveries.waiting.get() > before.waiting,
        };
        let seen = Looking::at(self, engine, task, before, body).judge(first);
        engine.deliveries.signal.set(Signal::Quiet);
        seen
    }

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
        if around == Signal::Quiet {
            engine.begin_counting();
        }
        if how == Some(How::Several) {
            d.round.update(|round| round + 1);
        }
        let is_marked_now = around == Signal::Mark && self.round.get() != d.round.get();
        if how.is_some()
            || is_marked_now
            || matches!(around, Signal::First | Signal::Forwarded | Signal::Next)
        {
            self.number.set(d.next_number());
            self.round.set(d.round.get());
            self.inside.set(Inside::Unknown);
            self.has_sets.set(false);
            self.forget_foreign_wakers(); // what is awaited of that is interrupted now, or holds and is kept anew
        }
        match how {
            None => {}
            Some(How::Forwarded) => d.signal.set(Signal::Forwarded),
            Some(How::Several) => {
                let marked = self.mark(engine, task.as_ref(), is_task, body);
                if let Seen::Ready(_) = marked {
                    if around == Signal::Quiet {
                        d.signal.set(Signal::Quiet);
                    }
                    return marked;
                }
            }
        }
        let seen = self.poll_once(engine, task.as_ref(), is_task, body);
        if around == Signal::Quiet {
            d.signal.set(Signal::Quiet);
        }
        seen
    }

    /// The first step of a delivery to several. The second comes next.
    fn mark<R>(
        &self,
        engine: &Engine,
        task: Option<&RecordRef>,
        is_task: bool,
        body: &mut dyn FnMut() -> Poll<R>,
    ) -> Seen<R> {
        let d = &engine.deliveries;
        // Of a task every set is polled in both steps, so it need not hear of them. A frame does not know whose they are: a set
        // beside it is to be polled in the next turn.
        let deaf_task = task.filter(|_| is_task);
        let all = foreign_wakers(task);
        let in_sets = all.len();
        d.signal.set(Signal::Mark);
        deaf(deaf_task, || all.into_iter().for_each(KeptWaker::wake));
        // What is around it polls it again itself.
        let patience = if d.looks_nested.get() == 0 { POLLS_IN_VAIN } else { 2 };
        let (mut known, mut in_vain, mut polls_left) = (0, 0, 2 * in_sets + patience);
        let marked = loop {
            let is_again = known > 0 || in_vain > 0;
            let (marked, was_woken) = listening(task, is_task || is_again, || {
                self.poll_once(engine, task, is_task, body)
            });
            let by_now = d.marked_wakers.borrow().len();
            in_vain = if by_now > known { 0 } else { in_vain + 1 };
            known = by_now;
            // A set around a frame may have used up the waker by which one in it could wake the task.
            let is_cut_short = was_woken || !is_task && in_vain < 2;
            if !(in_sets > 0 && is_cut_short)
                || matches!(marked, Seen::Ready(_))
                || in_vain == patience
                || polls_left == 0
            {
                break marked;
            }
            polls_left -= 1;
        };
        d.signal.set(Signal::Deliver);
        let wakers = d.marked_wakers.take();
        deaf(deaf_task, || wakers.iter().cloned().for_each(KeptWaker::wake));
        if !wakers.is_empty() || self.memory.get().is_some() {
            let before = self.memory().interrupted.replace(wakers);
            drop(before); // after the borrow: it may run anything
        }
        marked
    }

    /// One poll, with what came out of it and what is alive in it counted; more polls, if the first leaves that open.
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
            before.waiting = 0; // each poll of a task begins to count them anew
        }
        let is_delivered_now = d.signal.get() == Signal::Deliver && self.is_marked.take();
        let mut polling = Looking::at(self, engine, task, before, body);
        (polling.is_task, polling.is_delivered_now) = (is_task, is_delivered_now);
        match polling.look(false) {
            Ok(first) => polling.judge(first),
            Err(seen) => seen,
        }
    }

    /// Whether the one that has shown itself last keeps its foreign waker still.
    pub(super) fn keeps_the_last(&self) -> bool {
        let keeps = |memory: &Memory| {
            memory.kept_inside.borrow().last().is_some_and(|kept| kept.strong_count() > 0)
        };
        self.memory.get().is_some_and(|memory| keeps(memory))
    }

    /// One that has kept a foreign waker since the delivery, and keeps it still: it is in a set, or it is kept itself.
    pub(super) fn next_that_keeps_a_waker(
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

    /// What is in the scope was polled to be marked.
    pub(super) fn judge_marks<R>(&self, engine: &Engine, met_before: u32) -> Seen<R> {
        let d = &engine.deliveries;
        self.is_marked.set(true);
        if !d.marked_wakers.borrow().is_empty() {
            self.has_sets.set(true);
        }
        if d.met.get() != met_before {
            self.inside.set(Inside::Checkpoints);
        } else if self.inside.get() == Inside::Unknown {
            self.inside.set(Inside::OnlyForeign);
        }
        if self.inside.get() == Inside::OnlyForeign {
            d.met.update(|met| met.wrapping_add(1));
        }
        Seen::Pending
    }

    /// Whether a foreign waker that was kept in it since the delivery is kept still.
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
            memory.looks_at_rest.set(None);
            memory.looks_again.set(None);
        }
        if self.keeps_some.take() {
            drop(self.memory().kept_inside.take());
        }
    }

    /// Nothing is being delivered any more.
    pub(super) fn is_over(&self) {
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

    /// What is in the scope was polled, and waits: can what came out of it be caught?
    pub(super) fn judge<R>(&self, engine: &Engine, before: Counts) -> Seen<R> {
        let d = &engine.deliveries;
        if matches!(d.signal.get(), Signal::First | Signal::Forwarded | Signal::Next) {
            // No checkpoint was reached: this is what is interrupted.
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
            engine.waits(); // what was interrupted is there still, beside what is alive
        } else if d.holding.get() == before.holding && !self.keeps_foreign_wakers() {
            self.number.set(0); // all of it was caught
            self.forget_interrupted();
        }
        if !waits {
            engine.waits(); // only foreign futures wait in it: it counts as one
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
