//! **The turn**: the one conductor.
//!
//! Everything that a loop does, it does in [`Engine::turn`]:
//!
//! ```text
//!         ┌─▶ 1. drain the inbox     other threads' wake-ups join the ready queue
//!  turn ──┤   2. fire the wheel      what is due joins the ready queue
//!         │   3. poll the snapshot   as many tasks as stood in the queue when this step began
//!         └── 4. say what comes next: Ready, At(deadline) or Idle
//! ```
//!
//! Running to the end, being driven by a host and virtual time are this one function called by different
//! callers (`event_loop.rs`). Tasks, wheel, clock and inbox do not know of each other; this is where they meet (and
//! `timers.rs`, the wheel's side of it).
//!
//! **The snapshot** makes the loop fair: a task that wakes itself is polled again in the *next* turn, after
//! everybody else who was ready, as with asyncio's `sleep(0)`.
//!
//! **Looking is not free.** Reading a monotonic clock costs as much as four polls, and looking into the inbox
//! is an atomic operation. So steps 1 and 2 are skipped while there is work, but for a turn that begins [`LOOK_EVERY`]
//! or more polls after the last look. Letters have a flag, which is a plain load: if it is up, step 1 is not skipped. And
//! the clock is not read when no timer is armed. (A host's turn always looks: what is a moment to `run` may be a frame to
//! a host.)
//!
//! **Borrows** of the parts are short, and no code of others (a future, a waker that is not ours, a
//! destructor) runs inside one.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::alarm::{Alarm, Strangers};
use super::clock::Clock;
use super::cold::Locals;
use super::current::Current;
use super::delivery::{Deliveries, Signal};
use super::hook::WakeHook;
use super::instant::Instant;
use super::record::{Blocks, Flag, Polled, Polling, RecordRef};
use super::registry::Registration;
use super::slack;
use super::tasks::Tasks;
use super::timers::OpenLimit;
use super::waker::TaskId;
use super::watchers::Watchers;
use super::wheel::Wheel;
use crate::error::ExceptionContext;
use crate::thread::{Gate, Pool, PoolSettings, WorkOut};

/// A turn looks at the inbox and the clock when so many polls have passed since the last look, or nothing is ready.
/// It looks at its beginning only: the snapshot is polled to its end.
pub(crate) const LOOK_EVERY: usize = 64;

/// What makes a poll unusual: see [`Engine::poll_unusual`].
const UNUSUAL: Flag = Flag::CANCEL_PENDING
    .and(Flag::CANCEL_FORWARDED)
    .and(Flag::UNWINDING)
    .and(Flag::AWAITS)
    .and(Flag::AWAITS_SEVERAL);
/// At every so many looks, and before it sleeps, the loop asks whether it holds much memory that it does not need.
pub(super) const GIVE_BACK_EVERY: usize = 64;

/// How many letters are taken in at one look.
const LETTERS_A_LOOK: usize = 1024;

/// What a turn says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Tasks are ready: take another turn.
    Ready,
    /// Nothing before this moment, unless a letter comes.
    At(Instant),
    /// Nothing at all, unless a letter comes.
    Idle,
}

/// Told of what would otherwise go unnoticed.
pub(crate) type ExceptionHandler = Rc<dyn Fn(&ExceptionContext)>;

/// One event loop: the parts, and what is going on.
pub(crate) struct Engine {
    pub(super) tasks: Tasks,
    pub(super) blocks: Blocks,
    pub(super) wheel: RefCell<Wheel<Alarm>>,
    /// Who waits for the ends of many.
    pub(super) watchers: RefCell<Watchers>,
    /// See `timers.rs`.
    pub(super) open_limits: RefCell<Vec<OpenLimit>>,
    pub(super) limits_to_begin: Cell<usize>,
    /// Wakers that are not ours and wait in the wheel; an alarm names them by their place.
    pub(super) strangers: RefCell<Strangers>,
    clock: Clock,
    registration: Registration,

    /// The task that is being polled.
    pub(super) current: Current,
    /// A task has had locals, so one that is made may inherit some.
    pub(crate) has_locals: Cell<bool>,
    /// The task-locals that the last main task ended with: the next one begins with them.
    pub(crate) locals_of_main: RefCell<Option<Locals>>,
    /// The cancels in the poll that is going on.
    pub(crate) deliveries: Deliveries,
    /// What the leaves said they wait for, while they are asked.
    pub(super) answers: RefCell<Vec<String>>,
    /// The last time that was read: time does not go backwards even if the clock does.
    pub(super) latest: Cell<Instant>,
    /// Polls since the last look.
    pub(super) unlooked: Cell<usize>,
    /// Looks until the loop asks whether it can give memory back.
    looks: Cell<usize>,
    /// Alarms on their way from the wheel to the tasks. Kept for its memory.
    pub(super) fired: Cell<Vec<Alarm>>,

    /// What other threads leave for this loop; made when the first handle is.
    gate: OnceCell<Arc<Gate>>,
    pool: RefCell<Option<Arc<Pool>>>,
    pool_settings: PoolSettings,
    /// Blocking work that is on other threads.
    pub(crate) work_out: WorkOut,
    /// The loop has been dropped, and only handles are left.
    pub(super) closed: Cell<bool>,
    pub(super) tasks_made: Cell<u32>,
    /// How many hard drops are going on, one inside the other, and the tasks that are dropped when these are done.
    pub(super) discards_nested: Cell<u32>,
    pub(super) to_discard: RefCell<Vec<RecordRef>>,
    name: Rc<str>,
    pub(super) exception_handler: RefCell<ExceptionHandler>,
    /// Polls that take longer are reported. `None` when debugging is off.
    pub(super) slow_poll: Cell<Option<Duration>>,
}

impl Engine {
    pub(crate) fn new(
        registration: Registration,
        clock: Clock,
        name: Rc<str>,
        exception_handler: ExceptionHandler,
        slow_poll: Option<Duration>,
        pool_settings: PoolSettings,
        max_tasks: usize,
    ) -> Engine {
        Engine {
            blocks: Blocks::default(),
            tasks: Tasks::new(registration.first_generation, max_tasks),
            wheel: RefCell::new(Wheel::new()),
            watchers: RefCell::default(),
            open_limits: RefCell::default(),
            limits_to_begin: Cell::new(0),
            strangers: RefCell::new(Strangers::default()),
            latest: Cell::new(clock.now()),
            clock,
            registration,
            current: Current::default(),
            has_locals: Cell::new(false),
            locals_of_main: RefCell::default(),
            deliveries: Deliveries::default(),
            answers: RefCell::new(Vec::new()),
            unlooked: Cell::new(LOOK_EVERY),
            looks: Cell::new(GIVE_BACK_EVERY),
            fired: Cell::new(Vec::new()),
            gate: OnceCell::new(),
            pool: RefCell::default(),
            pool_settings,
            work_out: WorkOut::default(),
            closed: Cell::new(false),
            tasks_made: Cell::new(0),
            discards_nested: Cell::new(0),
            to_discard: RefCell::default(),
            name,
            exception_handler: RefCell::new(exception_handler),
            slow_poll: Cell::new(slow_poll),
        }
    }

    /// One turn of the loop, with at most `polls` polls. The loop must be the current one of this thread.
    #[inline(never)]
    pub(crate) fn turn(self: &Rc<Self>, polls: usize) -> Next {
        self.turn_within(polls, None)
    }

    /// The next turn looks at the inbox and the clock, however few polls there were since the last look.
    pub(crate) fn look_at_once(&self) {
        self.unlooked.set(LOOK_EVERY);
    }

    /// The same, and no further poll begins when `time` is over.
    #[allow(clippy::inline_always)] // into `run`: of a loop with one task the turns are as many as the polls
    #[inline(always)]
    pub(crate) fn turn_within(self: &Rc<Self>, polls: usize, time: Option<Duration>) -> Next {
        let mut snapshot = self.tasks.ready.len();
        if snapshot == 0 || self.unlooked.get() >= LOOK_EVERY {
            self.give_back_sometimes(); // before timers fire: the entries of those that did are free by now
            self.drain_inbox();
            self.fire_timers();
            self.unlooked.set(0);
            snapshot = self.tasks.ready.len();
        } else if self.registration.inbox().flag_is_up() {
            self.drain_inbox();
            snapshot = self.tasks.ready.len();
        }
        let snapshot = snapshot.min(polls);
        let is_watched = self.slow_poll.get().is_some();
        let polled = match time {
            None if !is_watched => {
                for _ in 0..snapshot {
                    self.poll_next::<false>();
                }
                snapshot
            }
            _ => self.poll_timed(snapshot, time, is_watched),
        };
        self.unlooked.set(self.unlooked.get() + polled);
        if !self.tasks.ready.is_empty() {
            return Next::Ready;
        }
        match self.wheel.borrow().next() {
            Some(deadline) => Next::At(Instant::from_nanos(deadline)),
            None => Next::Idle,
        }
    }

    /// Polls until the time is over, if there is a limit, and reports polls that are slow, if it is to; says how many.
    #[inline(never)]
    fn poll_timed(
        self: &Rc<Self>,
        at_most: usize,
        time: Option<Duration>,
        is_watched: bool,
    ) -> usize {
        let end = time.map(|time| self.now() + time);
        for polled in 1..=at_most {
            if is_watched {
                self.poll_next::<true>();
            } else {
                self.poll_next::<false>();
            }
            if end.is_some_and(|end| self.now() >= end) {
                return polled;
            }
        }
        at_most
    }

    /// At every [`GIVE_BACK_EVERY`]th look.
    #[inline]
    fn give_back_sometimes(&self) {
        let looks = self.looks.get() - 1;
        self.looks.set(looks);
        if looks == 0 {
            self.give_back();
        }
    }

    /// Gives back memory that a crowd of tasks or timers has left behind; see `slack.rs`.
    #[cold]
    fn give_back(&self) {
        self.looks.set(GIVE_BACK_EVERY);
        if self.wheel.borrow().is_large() || self.tasks.slots.borrow().is_large() {
            self.give_back_much();
        }
    }

    #[cold]
    fn give_back_much(&self) {
        self.tasks.slots.borrow_mut().give_back();
        let mut wheel = self.wheel.borrow_mut();
        let mut fired = self.fired.take();
        slack::shrink(&mut fired, wheel.pending());
        self.fired.set(fired);
        wheel.give_back();
    }

    fn drain_inbox(&self) {
        let inbox = self.registration.inbox();
        inbox.set_flag(false);
        // Not until it is empty: who sends without end must not keep the loop from its tasks.
        for _ in 0..LETTERS_A_LOOK {
            let Some(id) = inbox.take() else { return };
            self.make_ready(id);
        }
        inbox.set_flag(true);
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn poll_next<const WATCHED: bool>(self: &Rc<Self>) {
        let started = WATCHED.then(|| self.clock.now());
        let Some(record) = self.tasks.ready.pop() else { return };
        match record.begin_poll(UNUSUAL) {
            Some(polling) => self.poll(&record, polling, started),
            None => self.poll_unusual(&record, started),
        }
    }

    /// Polls a task that is not queued.
    pub(super) fn poll_now(&self, record: &RecordRef) {
        match record.begin_poll(UNUSUAL) {
            Some(polling) => self.poll(record, polling, None),
            None => self.poll_unusual(record, None),
        }
    }

    /// A poll before which there is more to be done; none if the task is over.
    #[inline(never)]
    fn poll_unusual(&self, record: &RecordRef, started: Option<Instant>) {
        self.deliveries.several_awaited.set(record.has(Flag::AWAITS_SEVERAL));
        self.poll_after_preparing(record, started);
        self.deliveries.several_awaited.set(false);
    }

    fn poll_after_preparing(&self, record: &RecordRef, started: Option<Instant>) {
        let is_cancelled =
            record.has(Flag::CANCEL_PENDING | Flag::CANCEL_FORWARDED | Flag::UNWINDING);
        if is_cancelled && self.deliveries.signal.get() != Signal::Asking {
            self.poll_cancelled(record);
            if let Some(started) = started {
                self.look_at_duration(record, self.clock.now() - started);
            }
            return;
        }
        record.forget_awaited();
        if let Some(polling) = record.begin_poll(Flag::NONE) {
            self.poll(record, polling, started);
        }
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    fn poll(&self, record: &RecordRef, polling: Polling<'_>, started: Option<Instant>) {
        let polled = self.poll_future(record, polling);
        if let Some(started) = started {
            self.look_at_duration(record, self.clock.now() - started);
        }
        let is_quiet = self.is_quiet();
        if polled == Polled::Pending && is_quiet {
            self.note_what_waits(record);
            self.settle(record);
        } else if polled == Polled::Value && is_quiet && !record.has(Flag::CANCEL_PENDING) {
            self.end(record, Flag::NONE); // the usual end
        } else {
            self.conclude(record, polled);
        }
    }

    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(super) fn poll_future(&self, record: &RecordRef, polling: Polling<'_>) -> Polled {
        let at_large = record.has(Flag::WAKER_AT_LARGE);
        let waker = if at_large { record.id.waker_at_large() } else { record.id.waker() };
        let waker = ManuallyDrop::new(waker); // no destructor call for a number
        let mut context = Context::from_waker(&waker);
        self.nothing_waits();
        self.current.during(record, || polling.poll(&mut context))
    }

    /// Any other way in which a poll can end: it was the task's last, or a cancel comes out of it.
    #[inline(never)]
    fn conclude(&self, record: &RecordRef, polled: Polled) {
        let signal = self.deliveries.signal.replace(Signal::Quiet);
        match polled {
            Polled::Pending if signal == Signal::Asking => self.settle(record),
            Polled::Pending => self.cancel_came_out(record),
            Polled::Value if record.has(Flag::CANCEL_PENDING) || signal == Signal::Next => {
                self.end_cancelled(record);
            }
            polled => self.end_unusually(record, polled),
        }
    }

    pub(super) fn end_unusually(&self, record: &RecordRef, polled: Polled) {
        let how = match polled {
            Polled::Pending | Polled::Value => Flag::NONE,
            Polled::Failure => Flag::FAILED,
            Polled::Panicked => Flag::PANICKED,
        };
        self.end(record, how);
    }

    /// A wake-up on the loop's own thread: a flag test and a push. False if there is no such task (any more).
    #[inline]
    pub(crate) fn make_ready(&self, id: TaskId) -> bool {
        self.tasks.wake(id.word())
    }

    /// Queues a task that is known to be alive.
    pub(crate) fn make_record_ready(&self, record: &RecordRef) {
        self.tasks.ready.push(record);
    }

    /// For those who give up their turn; see `ready.rs`.
    pub(crate) fn next_place(&self) -> u64 {
        self.tasks.ready.next_place()
    }

    pub(crate) fn has_passed(&self, place: u64) -> bool {
        self.tasks.ready.has_passed(place)
    }

    pub(crate) fn record_of(&self, id: TaskId) -> Option<RecordRef> {
        self.tasks.slots.borrow().tenant(id).cloned()
    }

    pub(crate) fn loop_index(&self) -> usize {
        self.registration.loop_index
    }

    pub(crate) fn set_hook(&self, call: WakeHook) {
        self.registration.set_hook(call);
    }

    pub(crate) fn arm_hook(&self) {
        self.registration.arm_hook();
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.borrow().next().map(Instant::from_nanos)
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.tasks.ready.len()
    }

    /// The time, read now.
    pub(crate) fn now(&self) -> Instant {
        let now = self.clock.now().max(self.latest.get());
        self.latest.set(now);
        now
    }

    /// The time when it was last read.
    pub(crate) fn latest(&self) -> Instant {
        self.latest.get()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn set_exception_handler(&self, handler: ExceptionHandler) {
        let old = self.exception_handler.replace(handler);
        drop(old); // after the borrow: it may run anything
    }

    pub(crate) fn set_slow_poll(&self, limit: Option<Duration>) {
        self.slow_poll.set(limit);
    }

    /// Sleeps until a letter comes or `timeout` is over, perhaps shorter.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        self.give_back();
        if let Some(id) = self.registration.sleep(timeout) {
            self.make_ready(id);
        }
        self.look_at_once();
    }

    /// Letters that came while nothing was ready; true if there were any, or if work is out no more that was.
    pub(crate) fn has_letters(&self) -> bool {
        let gave_up = !self.work_out.is_empty() && self.give_up_lost_work();
        self.drain_inbox();
        gave_up || !self.tasks.ready.is_empty()
    }

    /// Could anybody outside this loop still wake one of its tasks? "No" is certain, "yes" is not.
    pub(crate) fn may_be_woken(&self) -> bool {
        !self.work_out.is_empty()
            || self.gate.get().is_some_and(|gate| gate.has_handles())
            || self.registration.waker_was_cloned_elsewhere()
            || self.tasks.any_waker_at_large()
    }

    pub(crate) fn gate_or_else(&self, make: impl FnOnce() -> Arc<Gate>) -> Arc<Gate> {
        self.gate.get_or_init(make).clone()
    }

    /// The pool; made on first use, and once more in a process that was forked.
    pub(crate) fn pool(&self) -> Arc<Pool> {
        let mut pool = self.pool.borrow_mut();
        match &*pool {
            Some(pool) if pool.is_of_this_process() => pool.clone(),
            _ => {
                let fresh = Pool::new(self.pool_settings.clone());
                // Never dropped: a thread that is not here may have been in the middle of changing it.
                mem::forget(pool.replace(fresh.clone()));
                fresh
            }
        }
    }

    /// Nothing is taken in any more.
    pub(super) fn close_inbox(&self) {
        self.registration.inbox().close();
    }

    /// What other threads left for a loop that is gone.
    pub(super) fn close_gate(&self) {
        if let Some(gate) = self.gate.get() {
            gate.close();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("name", &self.name)
            .field("tasks", &self.tasks.slots.borrow().len())
            .field("ready", &self.tasks.ready.len())
            .field("timers", &self.wheel.borrow().pending())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
