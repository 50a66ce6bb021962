//! **Delivering a cancel**: how it reaches everything that is awaited, in every branch, and nothing else.
//!
//! asyncio throws `CancelledError` into a coroutine at its `await`. A future cannot be thrown into; it can only be dropped, by
//! what holds it. So a cancel is *delivered by polling*: a checkpoint (a sleep, a lock, a join: a leaf of ours) that is interrupted
//! returns `Pending` and says so, what is around it that can catch a cancel drops what it holds, and the task itself is the
//! outermost that can.
//!
//! One await is simple: the first checkpoint that is polled is the one. A Rust task may await several things at once, in a
//! `join!`, a `select!`, a set; and it may keep futures that it does not await. Which ones it awaits only its combinators know, and
//! they tell by polling. So with several the future is polled twice:
//!
//! ```text
//!  mark     every checkpoint that is polled notes the number of this delivery, and does nothing else
//!  deliver  one that has noted the number is interrupted; any other goes on as always
//! ```
//!
//! Nothing runs on between the two. A future that is kept (it lost a `select!`) is not polled in the first, so it is left alone in
//! the second, even if clean-up code awaits it there. A join that is interrupted passes the cancel on to its task, and *holds*
//! its branch until that has ended.
//!
//! **Scopes.** What can catch is a [`Scope`]: the task, `catch_cancel`, a time limit, a group's body. A limit that is up delivers to
//! its own body in the same way, and to nothing beside it. A scope counts what came out of its body in a poll, and what is still
//! alive there (clean-up, a join that holds); *it catches when something came out and nothing is alive*. While it waits for that,
//! later polls go on delivering: what was interrupted stays so. Nothing is polled without being woken.
//!
//! A set of futures polls only the children that were woken. So all foreign wakers that the task's checkpoints keep are woken
//! before the polls of a new delivery; the task itself does not hear of that. And a set may return before it has polled all of
//! them: when some have woken themselves in their polls, as a set in a set does when it has polled all of its own. So either step
//! is repeated as long as it comes to more checkpoints. In later polls a set shows only what was woken meanwhile, so a scope
//! remembers the foreign wakers that were kept in it since the delivery: while one of them is kept, something in it is alive.
//!
//! In a poll in which nothing is cancelled a checkpoint pays for one test of the [`Signal`], and for counting itself if it waits:
//! so whether a task awaits one thing or several is known at the end of each poll.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use super::foreign::{GuardedWaker, KeptWaker};
use super::record::{Flag, RecordRef};
use super::turn::Engine;
use super::waker::TaskId;

/// What the checkpoints that are polled now are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Nothing.
    #[default]
    Quiet,
    /// Say what you wait for, and return `Pending`. (For the report of a deadlock.)
    Asking,
    /// Note the number, and return `Pending`.
    Mark,
    /// The first that is polled is interrupted: the task awaits one thing.
    First,
    /// The same, but that the cancel has been passed on already to what the first awaits.
    Forwarded,
    /// Those that have noted a number that is being delivered are interrupted.
    Deliver,
}

/// What a loop knows of the cancels in the poll that is going on.
#[derive(Default)]
pub(crate) struct Deliveries {
    pub(super) signal: Cell<Signal>,
    /// Deliveries so far: the number of the next is one more.
    last_number: Cell<u32>,
    /// The number of the innermost scope around what is being polled; zero if nothing is being delivered.
    innermost: Cell<u32>,
    /// The numbers of those around that one.
    active: RefCell<Vec<u32>>,
    /// Counts the deliveries to several: what was marked in one is not marked once more.
    round: Cell<u64>,
    /// How often a checkpoint was polled while something is delivered.
    visits: Cell<u32>,
    /// How often something was polled to be marked.
    met: Cell<u32>,
    /// The foreign wakers of checkpoints that were marked.
    marked_wakers: RefCell<Vec<KeptWaker>>,
    /// Interruptions that have come out of what was polled, and were not caught.
    out: Cell<u32>,
    /// Checkpoints that have waited in this poll, and were not interrupted. Counted in every poll, quiet or not.
    waiting: Cell<u32>,
    /// Of these, joins that hold their branch; and scopes that wait until nothing in them is alive.
    holding: Cell<u32>,
    /// Something has caught a cancel in this poll, or swallowed it.
    caught: Cell<bool>,
    /// How many limits and groups that have asked for a cancel of what they hold are around what is being polled.
    pub(super) asking_around: Cell<u32>,
}

/// What was counted so far in a poll.
#[derive(Clone, Copy, Default)]
struct Counts {
    met: u32,
    out: u32,
    waiting: u32,
    holding: u32,
}

/// What one checkpoint has noted of the cancels that came by. The lowest bit says that it holds its branch.
#[derive(Debug, Default)]
pub(crate) struct Told(Cell<u32>);

impl Told {
    const HOLDS: u32 = 1;
    const NUMBERS: u32 = u32::MAX >> 1;

    fn number(&self) -> u32 {
        self.0.get() >> 1
    }

    /// False if it has noted this number before.
    fn note(&self, number: u32) -> bool {
        let is_new = self.number() != number;
        if is_new {
            self.0.set(number << 1);
        }
        is_new
    }

    pub(crate) fn holds(&self) -> bool {
        self.0.get() & Told::HOLDS != 0
    }

    pub(crate) fn forget(&self) {
        self.0.set(0);
    }
}

/// What a cancel does to a checkpoint that passes it on, a join or a gathering.
#[derive(Debug, PartialEq)]
pub(crate) enum Visit {
    /// Nothing: it goes on as always.
    Go,
    /// It returns `Pending`, and does nothing else.
    Wait,
    /// It is interrupted. With `true` what it awaits was told already.
    Interrupted(bool),
}

impl Engine {
    /// A checkpoint is polled, and the signal is not quiet.
    #[cold]
    pub(super) fn visit(
        &self,
        told: &Told,
        cx: &Context<'_>,
        waits_for: impl FnOnce() -> String,
    ) -> Visit {
        let d = &self.deliveries;
        d.visits.set(d.visits.get().wrapping_add(1));
        match d.signal.get() {
            Signal::Asking => {
                let answer = waits_for();
                self.answers.borrow_mut().push(answer);
                Visit::Wait
            }
            Signal::Mark => {
                d.met.update(|met| met + 1);
                if !told.note(d.innermost.get()) {
                    return Visit::Wait;
                }
                self.is_marked_in_a_set(cx);
                Visit::Wait
            }
            first @ (Signal::First | Signal::Forwarded) => {
                told.forget();
                told.note(d.innermost.get());
                d.signal.set(Signal::Deliver);
                Visit::Interrupted(first == Signal::Forwarded)
            }
            Signal::Deliver if told.number() != 0 && d.is_active(told.number()) => {
                Visit::Interrupted(false)
            }
            Signal::Quiet | Signal::Deliver => Visit::Go,
        }
    }

    /// A set polls only what was woken, and it is to poll this once more. Not now: a set whose futures wake themselves stops early.
    fn is_marked_in_a_set(&self, cx: &Context<'_>) {
        if TaskId::of(cx.waker()).is_none() {
            let waker = KeptWaker::of_foreign(cx.waker());
            self.deliveries.marked_wakers.borrow_mut().push(waker);
        }
    }

    /// A checkpoint waits in this poll.
    #[inline]
    pub(crate) fn waits(&self) {
        self.deliveries.waiting.set(self.deliveries.waiting.get() + 1);
    }

    /// A poll begins.
    #[inline]
    pub(super) fn nothing_waits(&self) {
        self.deliveries.waiting.set(0);
    }

    /// The task is left to wait: for how many things?
    #[inline]
    pub(super) fn note_what_waits(&self, record: &RecordRef) {
        if self.deliveries.waiting.get() > 1 {
            record.set(Flag::AWAITS_SEVERAL);
        }
    }

    /// A join holds its branch until what it has passed a cancel on to has ended.
    pub(crate) fn holds(&self, told: &Told) {
        told.0.set(told.0.get() | Told::HOLDS);
        self.deliveries.holding.update(|holding| holding + 1);
    }

    /// What a join has passed a cancel on to has ended with a value: the cancel was swallowed there.
    pub(crate) fn was_swallowed(&self, told: &Told) {
        told.forget();
        self.deliveries.caught.set(true);
    }

    /// A cancel comes out of what is being polled, which returns `Pending`.
    pub(crate) fn comes_out(&self, cx: &Context<'_>) {
        let d = &self.deliveries;
        match d.signal.get() {
            Signal::Mark => {
                d.met.update(|met| met + 1);
                self.is_marked_in_a_set(cx);
            }
            Signal::Asking => {}
            Signal::Quiet => {
                self.begin_counting();
                d.out.set(1);
            }
            Signal::First | Signal::Forwarded | Signal::Deliver => {
                d.signal.set(Signal::Deliver);
                d.out.update(|out| out + 1);
            }
        }
    }

    fn begin_counting(&self) {
        let d = &self.deliveries;
        d.signal.set(Signal::Deliver);
        d.out.set(0);
        d.holding.set(0);
    }

    /// A cancel that came out was caught.
    pub(crate) fn catches(&self) {
        self.deliveries.caught.set(true);
    }

    /// A cancelled task is about to be polled.
    pub(super) fn begin_task(&self) {
        self.deliveries.caught.set(false);
    }

    /// Whether one checkpoint has waited in this poll so far.
    pub(crate) fn one_thing_waits(&self) -> bool {
        self.deliveries.waiting.get() == 1
    }

    /// Whether nothing waits beside what came out of this poll.
    pub(super) fn nothing_is_alive(&self) -> bool {
        self.deliveries.waiting.get() == 0
    }

    pub(super) fn has_caught(&self) -> bool {
        self.deliveries.caught.get()
    }

    /// Whether a scope inside may begin a delivery of its own in this poll.
    pub(crate) fn may_deliver(&self) -> bool {
        matches!(self.deliveries.signal.get(), Signal::Quiet | Signal::Deliver)
    }

    /// Whether the one thing that the task awaits is about to be interrupted.
    pub(crate) fn is_interrupting_one(&self) -> bool {
        self.deliveries.signal.get() == Signal::First
    }

    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.deliveries.signal.get() == Signal::Quiet
    }
}

impl Deliveries {
    fn counts(&self) -> Counts {
        Counts {
            met: self.met.get(),
            out: self.out.get(),
            waiting: self.waiting.get(),
            holding: self.holding.get(),
        }
    }

    fn next_number(&self) -> u32 {
        let number = self.last_number.get() % Told::NUMBERS + 1; // zero is none
        self.last_number.set(number);
        number
    }

    fn is_active(&self, number: u32) -> bool {
        self.innermost.get() == number || self.active.borrow().contains(&number)
    }
}

/// What the poll of a task that awaits one thing has shown, if the task is not over.
pub(super) struct Delivered {
    number: u32,
    /// A cancel came out, and was not caught.
    pub(super) came_out: bool,
    /// Something waits that was not interrupted.
    pub(super) is_alive: bool,
    /// A join holds.
    pub(super) holds: bool,
}

impl Engine {
    /// Delivers a cancel to a task that awaits one thing, in one poll by `body`. It is the usual case, and the short way.
    #[inline]
    pub(super) fn deliver_to_one<R>(&self, body: impl FnOnce() -> R) -> (R, Delivered) {
        let d = &self.deliveries;
        self.begin_counting();
        let number = d.next_number();
        d.signal.set(Signal::First);
        d.innermost.set(number);
        let polled = body(); // of a task: it does not panic
        d.innermost.set(0);
        // If no checkpoint was reached only foreign code waits, and that is what is interrupted.
        let was_reached = d.signal.replace(Signal::Quiet) != Signal::First;
        let delivered = Delivered {
            number,
            came_out: d.out.get() > 0 || !was_reached,
            is_alive: d.waiting.get() > 0,
            holds: d.holding.get() > 0,
        };
        (polled, delivered)
    }
}

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
struct Memory {
    /// The foreign wakers that checkpoints in it have kept since the delivery.
    kept_inside: RefCell<Vec<Weak<GuardedWaker>>>,
    /// The foreign wakers of what was marked: what is interrupted keeps none itself, and the next delivery is to find it.
    interrupted: RefCell<Vec<KeptWaker>>,
    /// What a look at it counts in which nothing has happened, if something in it was seen to be alive since the delivery.
    looks_at_rest: Cell<Option<PollCounts>>,
    /// What the last look has counted, if that was followed by others for which the task was woken: it is polled once more then.
    looks_again: Cell<Option<PollCounts>>,
}

/// What waits in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
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
    number: Cell<u32>,
    /// A cancel has come out of it, and something in it is still alive.
    came_out: Cell<bool>,
    /// In which round it got its number.
    round: Cell<u64>,
    /// What the marking has found in it.
    inside: Cell<Inside>,
    /// It was marked, and nothing has been delivered there yet.
    is_marked: Cell<bool>,
    /// There are sets in it, which poll only what was woken, and perhaps not all of that.
    has_sets: Cell<bool>,
    /// Whether checkpoints in it have kept foreign wakers since the delivery.
    keeps_some: Cell<bool>,
    /// Made on first use: of most scopes nothing is seen twice.
    memory: OnceCell<Box<Memory>>,
}

impl Scope {
    fn memory(&self) -> &Memory {
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
    fn knows_all_wakers(&self, task: &RecordRef) {
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

    /// The same for what is in a frame, in the task that is being polled.
    pub(crate) fn poll<R>(
        &self,
        engine: &Engine,
        how: Option<How>,
        mut body: impl FnMut() -> Poll<R>,
    ) -> Seen<R> {
        if how.is_some() || self.is_at_work() || !engine.is_quiet() {
            return self.poll_counting(engine, None, how, &mut body);
        }
        let before = Counts { waiting: engine.deliveries.waiting.get(), ..Counts::default() };
        match body() {
            Poll::Ready(output) => {
                engine.deliveries.signal.set(Signal::Quiet); // what came out of a branch that has lost is gone with it
                Seen::Ready(output)
            }
            Poll::Pending if engine.is_quiet() => Seen::Pending,
            Poll::Pending => self.something_came_out(engine, before, &mut body),
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
        if how.is_some() || is_marked_now || matches!(around, Signal::First | Signal::Forwarded) {
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
        let (mut known, mut idle, mut patience) = (0, 0, in_sets);
        let marked = loop {
            let is_deaf = is_task || known > 0 || idle > 0;
            let (marked, was_woken) =
                listening(task, is_deaf, || self.poll_once(engine, task, is_task, body));
            let by_now = d.marked_wakers.borrow().len();
            idle = if by_now > known { 0 } else { idle + 1 };
            known = by_now;
            // A set around a frame may have used up the waker by which one in it could wake the task.
            let is_cut_short = was_woken || !is_task && idle < 2;
            if !is_cut_short
                || matches!(marked, Seen::Ready(_))
                || known >= in_sets
                || patience == 0
            {
                break marked;
            }
            patience -= 1;
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
    fn keeps_the_last(&self) -> bool {
        let keeps = |memory: &Memory| {
            memory.kept_inside.borrow().last().is_some_and(|kept| kept.strong_count() > 0)
        };
        self.memory.get().is_some_and(|memory| keeps(memory))
    }

    /// One that has kept a foreign waker since the delivery, and keeps it still: it is in a set, or it is kept itself.
    fn next_that_keeps_a_waker(&self) -> Option<(Weak<GuardedWaker>, Arc<GuardedWaker>)> {
        let mut kept = self.memory().kept_inside.borrow_mut();
        while let Some(next) = kept.pop() {
            if let Some(waker) = next.upgrade() {
                return Some((next, waker));
            }
        }
        None
    }

    /// What is in the scope was polled to be marked.
    fn judge_marks<R>(&self, engine: &Engine, met_before: u32) -> Seen<R> {
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
            d.met.update(|met| met + 1);
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
    fn is_over(&self) {
        self.number.set(0);
        self.came_out.set(false);
        self.forget_foreign_wakers();
        if let Some(memory) = self.memory.get() {
            let wakers = memory.interrupted.take();
            drop(wakers); // after the borrow: it may run anything
        }
    }

    /// What is in the scope was polled, and waits: can what came out of it be caught?
    fn judge<R>(&self, engine: &Engine, before: Counts) -> Seen<R> {
        let d = &engine.deliveries;
        if matches!(d.signal.get(), Signal::First | Signal::Forwarded) {
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
        }
        if !waits {
            engine.waits(); // only foreign futures wait in it: it counts as one
        }
        Seen::Pending
    }
}

/// In one poll, the checkpoints that were visited, the cancels that came out, and how many wait. If they are the same as in a poll
/// in which nothing has happened, nothing has happened in this one.
type PollCounts = (u32, u32, u32);
/// Of a poll in which nothing was being delivered.
const NOT_COUNTED: PollCounts = (u32::MAX, u32::MAX, u32::MAX);

/// What one look at a scope has shown: a poll, or some.
#[derive(Clone, Copy)]
struct Look {
    first: PollCounts,
    last: PollCounts,
    /// Something waits.
    waits: bool,
}

/// A scope that is being looked at.
struct Looking<'a, R> {
    scope: &'a Scope,
    engine: &'a Engine,
    task: Option<&'a RecordRef>,
    before: Counts,
    is_task: bool,
    /// It was marked, and this is the first poll after that.
    is_delivered_now: bool,
    /// The task was woken while it was deaf.
    was_woken: bool,
    body: &'a mut dyn FnMut() -> Poll<R>,
}

impl<'a, R> Looking<'a, R> {
    /// A look at a frame to which nothing has been delivered just now.
    fn at(
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
    fn look(&mut self, mut is_again: bool) -> Result<Look, Seen<R>> {
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
                kept + 1
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
    fn judge(&mut self, first: Look) -> Seen<R> {
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
        while let Some((kept, waker)) = scope.next_that_keeps_a_waker() {
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

/// The foreign wakers that checkpoints of the task keep.
fn foreign_wakers(task: Option<&RecordRef>) -> Vec<KeptWaker> {
    let alive = |task: &RecordRef| Some(task.cold_if_any()?.foreign_wakers.borrow().alive());
    task.and_then(alive).unwrap_or_default()
}

/// Runs `run`, and says whether it woke the task. If the task is to be `deaf`, or is queued already, that is all that comes of it.
fn listening<R>(task: Option<&RecordRef>, is_deaf: bool, run: impl FnOnce() -> R) -> (R, bool) {
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
fn deaf<R>(task: Option<&RecordRef>, run: impl FnOnce() -> R) -> R {
    match task {
        Some(task) => task.deaf(run).0,
        None => run(),
    }
}
