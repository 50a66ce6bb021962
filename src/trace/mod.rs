//! **Tracing**: an observer is told of everything that a loop does, and of what led to it.
//!
//! The usual trace is a macro at each point of interest, which tests a flag: the hot paths pay for all of them, always. Here no hot
//! path has a test of its own. Each leads to a slow path already, for something rare, by a test of some state: the byte of a record
//! that says whether it is queued, the flags of a task that ends, the signal that a checkpoint asks for. Tracing sets a bit there.
//! So a loop that is not traced executes what it would execute without this ring, and a traced one finds the ring in its slow paths:
//!
//! | what is told | the state whose test leads here | bit |
//! |---|---|---|
//! | a spawn | `Engine::unusual`: are there task-locals? | `IS_TRACED` |
//! | a turn, a poll | the same: are polls timed? | `IS_TRACED` |
//! | a wake-up | the record's `queued`: is it in the ready queue? | `WATCHED` |
//! | an end, a cancel | the record's flags | `TRACED` |
//! | what a poll waits for, a delivery | the signal of `delivery/` | `WATCHED` |
//! | a timer | the timer's action: does it wake a foreign waker? | the action `Traced` |
//!
//! **Causes.** While something is being done because of an event, the number of that event is in `cause`, and what is told meanwhile
//! gets it: the wake-ups of the joiners of a task have its end as their cause. Why a task is polled, and why it is cancelled, are
//! two causes, which are kept for each task: the wake-up until its next poll, the request of a cancel until there is another.
//!
//! **The observer** is foreign code. It is called when the engine is whole, with no current loop, so it cannot use this one; if it
//! does all the same, by a handle that it kept, or panics, then the tracing ends with a report.
//!
//! What it does not do: it keeps nothing (`recorder/` does), it sees nothing of foreign futures, and it tells nothing of timers and
//! objects from before it began, until they are used.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the observer, and how it is told |
//! | `tell` | what each ring tells |
//! | `watch` | how the tracing of a loop begins and ends, and whom it is for |
//!
//! It stands on `base`, `reason`, `error`, the kernel, `foreign` and `event`.

mod tell;
mod watch;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::base::id::TaskId;
use crate::base::instant::Instant;
use crate::base::panic::Payload;
use crate::base::unusual::Unusual;
use crate::engine::Engine;
use crate::foreign::drop_reported;
use crate::kernel::current::{outside, with_current_loop};
use crate::kernel::record::{Flag, RecordRef};

pub use crate::event::{Event, How, Id, Poll, Text, Wait, What};

/// Is told of everything that a loop does.
///
/// It must not use the loop that it observes: no loop is running for it. If it panics, or uses that loop by a handle that it has
/// kept, the tracing ends, and that is reported to the loop's exception handler.
///
/// Each closure that takes an [`Event`] is an observer, and so is a pair of observers.
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use loopwheel::trace::{Event, What};
/// use loopwheel::{EventLoop, create_task};
///
/// let polls = Rc::new(Cell::new(0));
/// let counted = polls.clone();
/// let observer = move |event: &Event| {
///     if let What::PollBegan { .. } = event.what {
///         counted.set(counted.get() + 1);
///     }
/// };
/// EventLoop::builder().trace(observer).build().run(async {
///     create_task(async {}).await.unwrap();
/// });
/// assert_eq!(polls.get(), 3); // main, the task, and main again
/// ```
///
/// # In asyncio
/// There is none: its debug mode logs slow callbacks, and a tool has to patch `asyncio.tasks`.
pub trait Observer {
    /// The tracing begins.
    fn begins(&self, _run: &Run<'_>) {}

    /// Something has happened.
    fn observe(&self, event: &Event<'_>);
}

/// What is to be traced.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Run<'a> {
    /// The loop's name.
    pub name: &'a str,
    /// Its clock: "virtual", "monotonic" or "host".
    pub clock: &'static str,
}

impl<F: Fn(&Event<'_>)> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Both are told, the first one first.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn begins(&self, run: &Run<'_>) {
        self.0.begins(run);
        self.1.begins(run);
    }

    fn observe(&self, event: &Event<'_>) {
        self.0.observe(event);
        self.1.observe(event);
    }
}

/// Tells the observer of the running loop, if there is one, a line of the program's own. Formats nothing if there is none.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// # let page = 7;
/// loopwheel::trace::note(format_args!("page {page} has arrived"));
/// # });
/// ```
///
/// # In asyncio
/// A line of `logging`, which knows no task.
pub fn note(text: impl std::fmt::Display) {
    with_current_loop(|engine| {
        if engine.is_traced() {
            engine.tell(What::Note { text: Text::of(&text) });
        }
    });
}

/// Ends the tracing of the running loop now. Does nothing without a running loop, and so nothing in an observer.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{Recorder, set_trace, trace, yield_now};
///
/// let recorder = Recorder::new();
/// set_trace(recorder.clone());
/// yield_now().await; // it begins with the next turn
/// trace::stop();
/// let told = recorder.events().len();
/// yield_now().await;
/// assert_eq!(recorder.events().len(), told);
/// # });
/// ```
///
/// # In asyncio
/// There is no trace.
pub fn stop() {
    with_current_loop(|engine| engine.set_trace(None));
}

/// The part of a loop that belongs to this ring.
#[derive(Default)]
pub(crate) struct Tracing {
    observer: RefCell<Option<Rc<dyn Observer>>>,
    /// The observer that is told from the next turn on.
    next: RefCell<Option<Rc<dyn Observer>>>,
    /// That of an exploration, which the program does not replace.
    #[cfg(feature = "explore")]
    beside: RefCell<Option<Rc<dyn Observer>>>,
    /// The number of the run that is traced, among those of this thread.
    run: Cell<u64>,
    /// The number of the last event.
    last: Cell<u64>,
    turn: Cell<u64>,
    turn_is_open: Cell<bool>,
    /// The event because of which things are being done. Zero is none.
    cause: Cell<u64>,
    /// The observer is being called.
    is_telling: Cell<bool>,
    /// It has used the loop meanwhile.
    is_misused: Cell<bool>,
    /// How many entries of the ready queue have ended.
    pub(crate) ended_in_queue: Cell<usize>,
    /// How many callbacks have a number.
    callbacks: Cell<u32>,
    /// How many timers have one.
    timers: Cell<u32>,
    /// What is known of each task, by its slot.
    tasks: RefCell<Vec<TracedTask>>,
    times: Cell<TracedTimes>,
    /// Filled anew for each event that needs it, and kept for its memory.
    scratch: Cell<Vec<Id>>,
}

/// What is measured while a loop is traced.
#[derive(Clone, Copy, Default)]
pub(crate) struct TracedTimes {
    pub(crate) turns: u64,
    pub(crate) longest_poll: Duration,
    pub(crate) latest_timer: Duration,
    pub(crate) most_ready: usize,
}

/// What is known of a task while it is traced.
#[derive(Clone, Copy, Default)]
pub(crate) struct TracedTask {
    /// The task: another one has the slot later.
    id: Option<TaskId>,
    /// The number of a callback.
    callback: u32,
    /// The wake-up that queued it, until its poll.
    woken: u64,
    /// The last wake-up, and the task that was being polled then.
    pub(crate) woken_in: u64,
    pub(crate) woken_by: Option<Id>,
    /// The last request of a cancel.
    cancelled: u64,
    /// How often it was polled, and for how long, in real time.
    pub(crate) polls: u64,
    pub(crate) polled_for: Duration,
}

impl Engine {
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.unusual.has(Unusual::IS_TRACED)
    }

    /// Whether the polls of this turn are timed, an observer is told of them, or their order is explored.
    #[inline]
    pub(crate) fn watches_polls(&self) -> bool {
        const BITS: u8 = Unusual::TIMES_POLLS
            | Unusual::IS_TRACED
            | Unusual::WILL_BE_TRACED
            | Unusual::IS_EXPLORED;
        self.unusual.has(BITS)
    }

    /// Tells the observer, if there is one. Returns the number of the event; zero if there is no observer.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell(&self, what: What<'_>) -> u64 {
        self.tell_because_of(self.tracing.cause.get(), what)
    }

    /// The same with this cause; zero is none.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_because_of(&self, cause: u64, what: What<'_>) -> u64 {
        let tracing = &self.tracing;
        let observer = tracing.observer.borrow().clone();
        if observer.is_none() && !tracing.has_beside() {
            return 0;
        }
        if tracing.is_telling.get() {
            tracing.is_misused.set(true); // by the observer that is being called
            return 0;
        }
        let run = tracing.run.get();
        let seq = tracing.last.get() + 1;
        tracing.last.set(seq);
        let (at, turn) = (self.time_of_event(), tracing.turn.get());
        let by = self.current.with_hidden(|task| self.traced_id(task));
        let event = Event { seq, at, turn, by, cause: (cause > 0).then_some(cause), what };
        #[cfg(feature = "explore")]
        self.tell_beside(&event);
        if let Some(observer) = observer {
            self.call_observer(|| observer.observe(&event));
            drop_reported(observer); // it may be the last reference
        }
        if tracing.run.get() == run { seq } else { 0 } // else the numbers have begun anew meanwhile
    }

    /// Calls the observer, which is foreign code.
    fn call_observer(&self, call: impl FnOnce()) {
        self.tracing.is_telling.set(true);
        let called = catch_unwind(AssertUnwindSafe(|| outside(call)));
        self.tracing.is_telling.set(false);
        let misused = self.tracing.is_misused.take().then(|| -> Payload {
            Box::new("it has used the loop that it observes, which it must not")
        });
        if let Some(payload) = called.err().or(misused) {
            self.stop_tracing();
            self.report_panic_of("the observer of a trace", payload, Location::caller());
        }
    }

    /// Calls `run`. What is told meanwhile has this event as its cause, if nothing nearer is.
    pub(crate) fn because_of<R>(&self, event: u64, run: impl FnOnce() -> R) -> R {
        /// Also if `run` panics.
        struct PutBack<'a>(&'a Cell<u64>, u64);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _put_back = PutBack(&self.tracing.cause, self.tracing.cause.replace(event));
        run()
    }

    /// The same with the event that is the cause now, which a poll in `run` changes.
    pub(crate) fn because_of_the_same<R>(&self, run: impl FnOnce() -> R) -> R {
        self.because_of(self.tracing.cause.get(), run)
    }

    /// Real time goes on during a turn, so it is read for each event. Other clocks are the host's code, or jump between turns.
    fn time_of_event(&self) -> Instant {
        self.real_time().unwrap_or_else(|| self.latest())
    }

    /// Gives back the memory of slots that the table of tasks has cut off.
    pub(crate) fn trim_tracing(&self) {
        let slots = self.tasks.table.borrow().entries.len();
        let mut tasks = self.tracing.tasks.borrow_mut();
        tasks.truncate(slots);
        tasks.shrink_to(slots);
    }

    /// What was measured while the loop was traced.
    pub(crate) fn traced_times(&self) -> TracedTimes {
        self.tracing.times.get()
    }

    pub(crate) fn measure(&self, change: impl FnOnce(&mut TracedTimes)) {
        let mut times = self.tracing.times.get();
        change(&mut times);
        self.tracing.times.set(times);
    }

    /// What is known of a task that is traced now.
    pub(crate) fn traced_task(&self, record: &RecordRef) -> Option<TracedTask> {
        record.has(Flag::TRACED).then(|| self.with_traced(record, |traced| *traced))
    }

    /// The number of the run that is traced.
    pub(crate) fn traced_run(&self) -> u64 {
        self.tracing.run.get()
    }

    /// The number of a task or callback.
    pub(crate) fn traced_id(&self, record: &RecordRef) -> Id {
        if record.is_task() {
            return Id::Task(record.serial);
        }
        Id::Callback(self.with_traced(record, |traced| traced.callback))
    }

    /// Whether an observer was told of the task.
    fn is_known(&self, record: &RecordRef) -> bool {
        let tasks = self.tracing.tasks.borrow();
        tasks.get(record.id.slot() as usize).is_some_and(|traced| traced.id == Some(record.id))
    }

    /// Calls `inspect` with what is known of the task. Nothing is known before its first event.
    fn with_traced<R>(&self, record: &RecordRef, inspect: impl FnOnce(&mut TracedTask) -> R) -> R {
        let mut tasks = self.tracing.tasks.borrow_mut();
        let slot = record.id.slot() as usize;
        if tasks.len() <= slot {
            tasks.resize(slot + 1, TracedTask::default());
        }
        let traced = &mut tasks[slot];
        if traced.id != Some(record.id) {
            *traced = TracedTask { id: Some(record.id), ..TracedTask::default() };
            if !record.is_task() {
                let number = self.tracing.callbacks.get() + 1;
                self.tracing.callbacks.set(number);
                traced.callback = number;
            }
        }
        inspect(traced)
    }
}
