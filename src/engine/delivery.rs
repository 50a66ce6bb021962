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
//! What catches a cancel that comes out, and when, is in `scope.rs`.
//!
//! In a poll in which nothing is cancelled a checkpoint pays for one test of the [`Signal`], and for counting itself if it waits:
//! so whether a task awaits one thing or several is known at the end of each poll.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use super::foreign::KeptWaker;
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
    /// The next that is polled is interrupted: the code that is running now has turned a cancel into an error, and is to be told
    /// of it again where it awaits next.
    Next,
    /// Those that have noted a number that is being delivered are interrupted.
    Deliver,
}

/// What a loop knows of the cancels in the poll that is going on.
#[derive(Default)]
pub(crate) struct Deliveries {
    pub(super) signal: Cell<Signal>,
    /// Deliveries so far: the number of the next is one more.
    pub(super) last_number: Cell<u32>,
    /// The number of the innermost scope around what is being polled; zero if nothing is being delivered.
    pub(super) innermost: Cell<u32>,
    /// The numbers of those around that one.
    pub(super) active: RefCell<Vec<u32>>,
    /// Counts the deliveries to several: what was marked in one is not marked once more.
    pub(super) round: Cell<u64>,
    /// How often a checkpoint was polled while something is delivered.
    pub(super) visits: Cell<u32>,
    /// How often something was polled to be marked. It may come round: only whether it has changed is asked.
    pub(super) met: Cell<u32>,
    /// The foreign wakers of checkpoints that were marked.
    pub(super) marked_wakers: RefCell<Vec<KeptWaker>>,
    /// Interruptions that have come out of what was polled, and were not caught.
    pub(super) out: Cell<u32>,
    /// Checkpoints that have waited in this poll, and were not interrupted. Counted in every poll, quiet or not.
    pub(super) waiting: Cell<u32>,
    /// Of these, joins that hold their branch; and scopes that wait until nothing in them is alive.
    pub(super) holding: Cell<u32>,
    /// Something has caught a cancel in this poll, or swallowed it.
    pub(super) caught: Cell<bool>,
    /// How many scopes are being looked at, one in the other.
    pub(super) looks_nested: Cell<u32>,
    /// The tasks that the joins have named, while that is asked.
    asked: RefCell<Option<Vec<RecordRef>>>,
    /// The task that is being polled awaited several things before this poll.
    pub(super) several_awaited: Cell<bool>,
    /// How many limits and groups that have asked for a cancel of what they hold are around what is being polled.
    pub(super) asking_around: Cell<u32>,
}

/// What was counted so far in a poll.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) met: u32,
    pub(super) out: u32,
    pub(super) waiting: u32,
    pub(super) holding: u32,
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
                d.met.update(|met| met.wrapping_add(1));
                if !told.note(d.innermost.get()) {
                    return Visit::Wait;
                }
                self.is_marked_in_a_set(cx.waker());
                Visit::Wait
            }
            first @ (Signal::First | Signal::Forwarded | Signal::Next) => {
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
    pub(super) fn is_marked_in_a_set(&self, waker: &Waker) {
        if TaskId::of(waker).is_none() {
            let waker = KeptWaker::of_foreign(waker);
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
                d.met.update(|met| met.wrapping_add(1));
                self.is_marked_in_a_set(cx.waker());
            }
            Signal::Asking => {}
            Signal::Quiet => {
                self.begin_counting();
                d.out.set(1);
            }
            Signal::First | Signal::Forwarded | Signal::Next | Signal::Deliver => {
                d.signal.set(Signal::Deliver);
                d.out.update(|out| out + 1);
            }
        }
    }

    /// The code that is running now is interrupted at its next checkpoint, and nothing beside it. False if its task awaits one thing,
    /// or it cannot be said in this poll.
    pub(crate) fn interrupt_next(&self) -> bool {
        if !self.deliveries.several_awaited.get() {
            return false;
        }
        match self.deliveries.signal.get() {
            Signal::Quiet => self.begin_counting(),
            Signal::Deliver => {}
            _ => return false,
        }
        self.deliveries.signal.set(Signal::Next);
        true
    }

    /// Whether the code that was to be interrupted at its next checkpoint has come to its end, and to none.
    pub(super) fn has_no_next(&self) -> bool {
        let has_none = self.deliveries.signal.get() == Signal::Next;
        if has_none {
            self.deliveries.signal.set(Signal::Deliver);
        }
        has_none
    }

    pub(super) fn begin_counting(&self) {
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
    pub(crate) fn catches(&self) {
        self.deliveries.caught.set(true);
    }

    /// A cancelled task is about to be polled.
    pub(super) fn begin_task(&self) {
        self.deliveries.caught.set(false);
    }

    /// Polls with the question what is waited for. The task, if that is one task and nothing else.
    pub(crate) fn ask_for_the_one_task(&self, poll: impl FnOnce()) -> Option<RecordRef> {
        /// The poll may panic.
        struct Quiet<'a>(&'a Engine);
        impl Drop for Quiet<'_> {
            fn drop(&mut self) {
                self.0.deliveries.signal.set(Signal::Quiet);
                self.0.answers.take();
                let asked = self.0.deliveries.asked.take();
                drop(asked); // after the borrow: it may be the last references
            }
        }
        self.deliveries.asked.replace(Some(Vec::new()));
        self.deliveries.signal.set(Signal::Asking);
        let quiet = Quiet(self);
        poll();
        let mut asked = self.deliveries.asked.take().unwrap_or_default();
        let is_one = self.answers.borrow().len() == 1;
        drop(quiet);
        asked.pop().filter(|_| is_one)
    }

    /// A join of this task is polled, and the signal is not quiet.
    pub(super) fn is_asked(&self, awaited: &RecordRef) {
        if let Some(asked) = &mut *self.deliveries.asked.borrow_mut() {
            asked.push(awaited.clone());
        }
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
    pub(super) fn counts(&self) -> Counts {
        Counts {
            met: self.met.get(),
            out: self.out.get(),
            waiting: self.waiting.get(),
            holding: self.holding.get(),
        }
    }

    pub(super) fn next_number(&self) -> u32 {
        let number = self.last_number.get() % Told::NUMBERS + 1; // zero is none
        self.last_number.set(number);
        number
    }

    fn is_active(&self, number: u32) -> bool {
        self.innermost.get() == number || self.active.borrow().contains(&number)
    }
}

/// What the poll of a task that awaits one thing has shown, if the task is not over.
#[allow(clippy::struct_excessive_bools)] // four things that were seen
pub(super) struct Delivered {
    pub(super) number: u32,
    /// A cancel came out, and was not caught.
    pub(super) came_out: bool,
    /// What caught it has let it go on, and came to no checkpoint.
    pub(super) is_to_go_on: bool,
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
