//! **Delivering a cancel**: how it reaches everything that is awaited, in every branch, and nothing else.
//!
//! asyncio throws `CancelledError` into a coroutine at its `await`. A future cannot be thrown into; it can only be dropped, by the
//! code that holds it. To drop the task's whole future would be simple, but nothing in it could catch the cancel, or await in its
//! clean-up. So a cancel is *delivered by polling*. A checkpoint (a sleep, a lock, a join) that is interrupted returns `Pending`,
//! and notes that a cancel comes out. The innermost frame around it that can catch a cancel drops the future that it holds. The
//! outermost is the task itself.
//!
//! With one await this is simple: the first checkpoint that is polled is interrupted. But a task may await several things at once,
//! in a `join!`, a `select!`, a set, and may keep futures that it does not await. Only its combinators know which ones it awaits,
//! and only by polling do they tell. So if there are several, the future is polled twice:
//!
//! ```text
//!  mark     each checkpoint that is polled notes the number of this delivery, and does nothing else
//!  deliver  a checkpoint that has noted the number is interrupted; any other goes on as always
//! ```
//!
//! Nothing else runs between the two. A future that is kept (it lost a `select!`) is not polled in the first. So the second leaves
//! it alone, even if clean-up code awaits it there. A join that is interrupted passes the cancel on to its task, and *holds* its
//! branch until that task has ended.
//!
//! Every poll pays a little for this: each checkpoint tests the signal, and counts itself if it waits. So at the end of each
//! poll it is known whether the task awaits one thing or several.
//!
//! | file | idea |
//! |---|---|
//! | `signal` | what a checkpoint is to do when it is polled |
//! | `mod` (this file) | the numbers, and what is counted in a poll |
//! | `told` | what a checkpoint remembers of a delivery |
//! | `checkpoint` | what a checkpoint asks and says when it is polled |
//! | `marked` | the foreign wakers of what was marked |
//! | `around` | the signal around a scope, put back after a poll of what is in it |
//!
//! What catches a cancel that comes out, and when, is in `scope/`.
//!
//! It stands on `base`, `reason`, the kernel, `kept_waker` and `trace`.

mod around;
pub(crate) mod checkpoint;
mod marked;
mod signal;
mod told;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::task::Context;

use crate::base::id::TaskId;
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;
use crate::kernel::current::with_current_loop;
use crate::kernel::record::{Flag, RecordRef};

pub(crate) use around::SignalAround;
pub(crate) use signal::{Signal, SignalCell};
pub(crate) use told::{Told, Visit};

/// What a loop knows of the cancels in the poll that is going on.
#[derive(Default)]
pub(crate) struct Deliveries {
    pub(crate) signal: SignalCell,
    /// When so many tasks have been popped from the ready queue, all tasks that a cancel has interrupted have run.
    interrupted_until: Cell<u64>,
    /// While the signal is `Asking`: how many checkpoints wait.
    answers: Cell<u32>,
    /// The number of the last delivery. See [`next_number`](Deliveries::next_number).
    pub(crate) last_number: Cell<u32>,
    /// The number of the innermost scope around what is being polled; zero if nothing is being delivered.
    pub(crate) innermost: Cell<u32>,
    /// The numbers of the scopes around that one.
    pub(crate) active: RefCell<Vec<u32>>,
    /// Counts the deliveries to several: a scope that was marked in one is not marked again.
    pub(crate) round: Cell<u64>,
    /// How often a checkpoint was polled while something was being delivered.
    pub(crate) visits: Cell<u32>,
    /// How often something was polled that can be marked. It may wrap: it is only tested for a change.
    pub(crate) met: Cell<u32>,
    /// The foreign wakers of checkpoints that were marked; while the signal is `Asking`, of those that have answered.
    pub(crate) marked_wakers: RefCell<Vec<KeptWaker>>,
    /// Those of them out of whose futures a cancel has come before.
    wakers_of_ended: RefCell<BTreeSet<marked::WakerKey>>,
    /// How many cancels have come out of what was polled, and were not caught.
    pub(crate) out: Cell<u32>,
    /// How many checkpoints have waited in this poll, and were not interrupted. Counted in every poll, quiet or not.
    pub(crate) waiting: Cell<u32>,
    /// How many joins hold their branch, and how many scopes wait until nothing in them is alive.
    pub(crate) holding: Cell<u32>,
    /// A cancel was caught or swallowed in this poll.
    pub(crate) caught: Cell<bool>,
    /// While the signal is `Asking` for the one task: the tasks of the joins that were polled.
    asked: RefCell<Option<Vec<RecordRef>>>,
    /// The task that is being polled awaited several things before this poll.
    pub(crate) several_awaited: Cell<bool>,
    /// How many limits and groups around what is being polled have requested a cancel of their body.
    pub(crate) asking_around: Cell<u32>,
    /// Inside a protection: how many requests of no limit and no group are known there. The others are held back.
    pub(crate) requests_known: Cell<Option<u32>>,
    /// The grace of a protection around what is being polled is over.
    pub(crate) is_grace_over: Cell<bool>,
}

/// What was counted so far in a poll: see the fields of [`Deliveries`].
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) met: u32,
    pub(crate) out: u32,
    pub(crate) waiting: u32,
    pub(crate) holding: u32,
}

impl Engine {
    /// What a checkpoint that is polled is to do, on its slow path: something is being delivered, or the checkpoints are watched.
    #[cold]
    pub(crate) fn visit(&self, told: &Told, cx: &Context<'_>) -> Visit {
        let visit = self.visit_untold(told, cx);
        if let Visit::Interrupted(_) = visit {
            self.tell_delivery();
        }
        visit
    }

    /// The same for what holds the cancel back: an observer is not told of an interruption.
    #[inline]
    pub(crate) fn visit_untold(&self, told: &Told, cx: &Context<'_>) -> Visit {
        let d = &self.deliveries;
        let signal = d.signal.get();
        if signal == Signal::Quiet {
            return Visit::Go; // it is only watched
        }
        d.visits.set(d.visits.get().wrapping_add(1));
        match signal {
            Signal::Asking => {
                d.answers.update(|answers| answers + 1);
                self.note_marked_waker(cx.waker());
                Visit::Wait
            }
            Signal::Mark => {
                d.met.update(|met| met.wrapping_add(1));
                if !told.note(d.innermost.get()) {
                    return Visit::Wait;
                }
                self.note_marked_waker(cx.waker());
                Visit::Wait
            }
            first @ (Signal::First | Signal::Forwarded | Signal::Next) => {
                told.note_anew(d.innermost.get());
                d.signal.set(Signal::Deliver);
                Visit::Interrupted(first == Signal::Forwarded)
            }
            Signal::Deliver if told.number() != 0 && d.is_active(told.number()) => {
                Visit::Interrupted(false)
            }
            _ => Visit::Go,
        }
    }

    /// A checkpoint waits in this poll.
    #[inline]
    pub(crate) fn waits(&self) {
        self.deliveries.waiting.set(self.deliveries.waiting.get() + 1);
    }

    /// A poll begins.
    #[inline]
    pub(crate) fn forget_what_waited(&self) {
        self.deliveries.waiting.set(0);
    }

    /// A poll ends, and the task waits: notes whether for several things.
    #[inline]
    pub(crate) fn note_what_waits(&self, record: &RecordRef) {
        if self.deliveries.waiting.get() > 1 {
            record.set(Flag::AWAITS_SEVERAL);
        }
    }

    /// A join holds its branch until the task to which it has passed the cancel on has ended.
    pub(crate) fn holds(&self, told: &Told) {
        told.hold();
        self.deliveries.holding.update(|holding| holding + 1);
    }

    /// The task to which a join has passed the cancel on has ended with a value: it has swallowed the cancel.
    pub(crate) fn was_swallowed(&self, told: &Told) {
        told.forget();
        self.deliveries.caught.set(true);
    }

    /// A cancel comes out of what is being polled, which returns `Pending`.
    pub(crate) fn comes_out(&self, cx: &Context<'_>) {
        let d = &self.deliveries;
        match d.signal.get() {
            Signal::Mark => {
                d.met.update(|met| met.wrapping_add(1));
                self.note_waker_of_ended(cx.waker());
            }
            Signal::Asking => self.note_marked_waker(cx.waker()),
            Signal::Quiet => {
                self.raise_deliver();
                d.out.set(1);
            }
            _ => {
                d.signal.set(Signal::Deliver);
                d.out.update(|out| out + 1);
            }
        }
    }

    /// The same for a checkpoint that was interrupted by the delivery that is going on.
    #[inline]
    pub(crate) fn comes_out_of_checkpoint(&self) {
        self.deliveries.out.update(|out| out + 1);
    }

    /// The code that is running now is interrupted at its next checkpoint, and nothing beside it. False if its task awaits one
    /// thing, or if this poll has another signal.
    pub(crate) fn interrupt_next(&self) -> bool {
        if !self.deliveries.several_awaited.get() {
            return false;
        }
        match self.deliveries.signal.get() {
            Signal::Quiet => self.raise_deliver(),
            Signal::Deliver => {}
            _ => return false,
        }
        self.deliveries.signal.set(Signal::Next);
        true
    }

    /// Whether the code that was to be interrupted at its next checkpoint has ended without reaching one. Asking ends the signal
    /// `Next`.
    pub(crate) fn has_no_next(&self) -> bool {
        let has_none = self.deliveries.signal.get() == Signal::Next;
        if has_none {
            self.deliveries.signal.set(Signal::Deliver);
        }
        has_none
    }

    /// From here on the poll delivers, and counts what comes out.
    pub(crate) fn raise_deliver(&self) {
        let d = &self.deliveries;
        d.signal.set(Signal::Deliver);
        d.out.set(0);
        d.holding.set(0);
    }

    /// How many cancels have come out of what was polled in this poll, if any is being delivered.
    pub(crate) fn cancels_out(&self) -> u32 {
        if self.is_quiet() { 0 } else { self.deliveries.out.get() }
    }

    /// A cancel that came out was caught.
    pub(crate) fn catches(&self, catcher: &'static str) {
        self.deliveries.caught.set(true);
        if self.is_traced() {
            self.tell_catch(catcher);
        }
    }

    /// A cancelled task is about to be polled.
    pub(crate) fn forget_caught(&self) {
        self.deliveries.caught.set(false);
    }

    /// Polls with the signal `Asking`. A checkpoint that answers does not keep its waker. So a foreign one is woken after the poll:
    /// it is a set's, and the set would never poll the checkpoint again.
    pub(crate) fn ask(&self, poll: impl FnOnce()) -> Asked {
        /// The poll may panic.
        struct Quiet<'a>(&'a Engine);
        impl Drop for Quiet<'_> {
            fn drop(&mut self) {
                let d = &self.0.deliveries;
                d.signal.set(Signal::Quiet);
                d.answers.set(0);
                let (asked, wakers) = (d.asked.take(), d.take_marked_wakers());
                drop(asked); // after the borrow: it may be the last references
                wakers.into_iter().for_each(KeptWaker::wake);
            }
        }
        self.deliveries.asked.replace(Some(Vec::new()));
        self.deliveries.signal.set(Signal::Asking);
        let quiet = Quiet(self);
        poll();
        let mut asked = self.deliveries.asked.take().unwrap_or_default();
        let is_one = self.deliveries.answers.get() == 1;
        let wakers = self.deliveries.marked_wakers.borrow().clone();
        drop(quiet);
        Asked { one: asked.pop().filter(|_| is_one), wakers }
    }

    /// A join of this task is polled, and the signal is not quiet.
    pub(crate) fn is_asked(&self, awaited: &RecordRef) {
        if let Some(asked) = &mut *self.deliveries.asked.borrow_mut() {
            asked.push(awaited.clone());
        }
    }

    /// Whether no checkpoint waited in this poll, beside what came out of it.
    pub(crate) fn nothing_waited(&self) -> bool {
        self.deliveries.waiting.get() == 0
    }

    /// Whether a cancel was caught or swallowed in this poll.
    pub(crate) fn has_caught(&self) -> bool {
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
        self.deliveries.signal.is_quiet()
    }

    /// Whether a checkpoint that is polled has nothing to do but its work: nothing is being delivered, and no observer is told.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.deliveries.signal.is_plain()
    }

    /// From now on the checkpoints take their slow paths, which tell an observer what they wait for; or no more.
    pub(crate) fn watch_checkpoints(&self, is_watched: bool) {
        self.deliveries.signal.watch(is_watched);
    }
}

impl Deliveries {
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            met: self.met.get(),
            out: self.out.get(),
            waiting: self.waiting.get(),
            holding: self.holding.get(),
        }
    }

    /// The number of a new delivery. After 2³¹ − 1 it restarts at 1: zero is none, and a [`Told`] has 31 bits for it.
    pub(crate) fn next_number(&self) -> u32 {
        let last = self.last_number.get();
        let number = if last == Told::NUMBERS { 1 } else { last + 1 };
        self.last_number.set(number);
        number
    }

    fn is_active(&self, number: u32) -> bool {
        self.innermost.get() == number || self.active.borrow().contains(&number)
    }
}

/// What a poll with the signal `Asking` has shown.
#[derive(Default)]
pub(crate) struct Asked {
    /// The task that is awaited, if that is all that has answered.
    pub(crate) one: Option<RecordRef>,
    /// The foreign wakers of what has answered.
    pub(crate) wakers: Vec<KeptWaker>,
}

/// What the poll of a task that awaits one thing has shown.
#[allow(clippy::struct_excessive_bools)] // four things that were seen
pub(crate) struct Delivered {
    pub(crate) number: u32,
    /// A cancel came out, and was not caught.
    pub(crate) came_out: bool,
    /// The code that was to be interrupted at its next checkpoint has reached none.
    pub(crate) is_to_go_on: bool,
    /// A checkpoint waits that was not interrupted.
    pub(crate) is_alive: bool,
    /// A join holds its branch.
    pub(crate) holds: bool,
}

impl Engine {
    /// Delivers a cancel to a task that awaits one thing, in one poll by `body`: the usual case.
    #[inline]
    pub(crate) fn deliver_to_one<R>(&self, body: impl FnOnce() -> R) -> (R, Delivered) {
        let d = &self.deliveries;
        d.out.set(0);
        d.holding.set(0);
        let number = d.next_number();
        d.signal.set(Signal::First);
        d.innermost.set(number);
        let polled = body(); // of a task: it does not panic
        d.innermost.set(0);
        // If no checkpoint was reached, only foreign code waits, and is interrupted.
        let signal = d.signal.replace(Signal::Quiet);
        let delivered = Delivered {
            number,
            came_out: d.out.get() > 0 || matches!(signal, Signal::First | Signal::Next),
            is_to_go_on: signal == Signal::Next,
            is_alive: d.waiting.get() > 0,
            holds: d.holding.get() > 0,
        };
        (polled, delivered)
    }
}

impl Engine {
    /// A cancel interrupts a task, which the caller queues next.
    pub(crate) fn note_interrupted(&self) {
        self.deliveries.interrupted_until.set(self.tasks.ready.next_position() + 1);
    }
}

#[cfg(feature = "explore")]
impl Engine {
    /// The ready queue has got another order: what was at its front may run last.
    #[cold]
    pub(crate) fn note_reordered(&self) {
        if self.tasks.ready.popped() < self.deliveries.interrupted_until.get() {
            self.note_interrupted();
        }
    }
}

/// Whether a task of this loop that a cancel has interrupted may not have run yet.
#[inline]
pub(crate) fn any_is_interrupted() -> bool {
    let any =
        |engine: &Engine| engine.tasks.ready.popped() < engine.deliveries.interrupted_until.get();
    with_current_loop(any).unwrap_or(false)
}

/// Whether a cancel has interrupted this task of this loop, and the task has not run since.
pub(crate) fn is_interrupted(id: TaskId) -> bool {
    let has_firm = |task: &RecordRef| task.has(Flag::CANCEL_FIRM);
    with_current_loop(|engine| engine.tasks.table.borrow().get(id).is_some_and(has_firm))
        .unwrap_or(false)
}
