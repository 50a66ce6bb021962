//! **Time**: a wheel of timers, and what happens when one fires.
//!
//! A timer could be a deadline and a waker. But few timers of the crate need a waker: most wake a task of the same loop, or poll it
//! because a time limit is up. So a timer is a deadline and an *action* of eight bytes, and a foreign waker is kept beside the
//! wheel. A timer fires at the first check after its deadline, never before it.
//!
//! | file | idea |
//! |---|---|
//! | `wheel` | timers in the order of their deadlines, each operation O(1) |
//! | `action` | what a timer does, in eight bytes |
//! | `traced` | timers of which an observer is told |
//! | `explored` | timers of the same moment in another order |
//! | `mod` (this file) | the loop's side of it |
//!
//! It stands on `base`, the kernel, `choices`, `kept_waker`, `trace`, `clock` and `time/wheel`.

mod action;
#[cfg(feature = "explore")]
mod explored;
mod traced;
mod wheel;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant as StdInstant;

use crate::base::id::TaskId;
use crate::base::instant::Instant;
use crate::base::slab::Slab;
use crate::base::slack::shrink;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::kept_waker::KeptWaker;
use traced::TracedTimer;
use wheel::Wheel;

pub(crate) use action::TimerAction;
pub(crate) use wheel::TimerKey;

/// The time of one loop.
pub(crate) struct Time {
    pub(crate) clock: Clock,
    pub(crate) wheel: RefCell<Wheel<TimerAction>>,
    /// Foreign wakers that wait for a timer; an action names one by its key.
    pub(crate) foreign_wakers: RefCell<Slab<KeptWaker>>,
    /// Timers of which an observer is told; an action names one by its key.
    traced: RefCell<Slab<TracedTimer>>,
    /// The time that was read last. It never goes backwards, even if the clock does.
    latest: Cell<Instant>,
    /// When the first real time was measured.
    started: OnceCell<StdInstant>,
    /// The actions of timers that fire in this check. Empty between two checks, and kept for its memory. It always has some, so it
    /// has none only while a check has taken it.
    fired: Cell<Vec<TimerAction>>,
    /// Actions that were forgotten during a check, which may still hold their keys: these are freed later.
    forgotten: RefCell<Vec<TimerAction>>,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Time {
        Time {
            latest: Cell::new(clock.now()),
            clock,
            wheel: RefCell::new(Wheel::new()),
            foreign_wakers: RefCell::default(),
            traced: RefCell::default(),
            started: OnceCell::new(),
            fired: Cell::new(Vec::with_capacity(4)),
            forgotten: RefCell::default(),
        }
    }

    pub(crate) fn is_large(&self) -> bool {
        self.wheel.borrow().is_large()
    }

    /// Gives back memory that many timers have left behind.
    pub(crate) fn trim(&self) {
        let mut wheel = self.wheel.borrow_mut();
        let mut fired = self.fired.take();
        shrink(&mut fired, wheel.pending());
        self.fired.set(fired);
        shrink(&mut self.forgotten.borrow_mut(), 0);
        wheel.trim();
        self.traced.borrow_mut().trim();
    }
}

impl Engine {
    /// Step 2 of a turn: does the actions of all timers that are due.
    pub(crate) fn fire_timers(self: &Rc<Self>) {
        if self.time.wheel.borrow().pending() == 0 {
            return;
        }
        let mut fired = self.time.fired.take();
        let now = self.now(); // before the borrow: a host's clock may run any code
        self.time.wheel.borrow_mut().advance(now.as_nanos(), &mut fired);
        for action in fired.drain(..) {
            self.fire(action);
        }
        self.time.fired.set(fired);
    }

    #[allow(clippy::inline_always)] // into `fire_timers`
    #[inline(always)]
    fn fire(&self, action: TimerAction) {
        match action {
            TimerAction::WakeTask { .. } => _ = self.make_ready(action.task(self.loop_index())),
            TimerAction::PollScope { .. } => {
                if let Some(record) = self.tasks.get(action.task(self.loop_index())) {
                    self.scope_is_to_be_polled(&record);
                }
            }
            TimerAction::WakeForeign { key } => {
                // The key stays in use until the timer is unset: its owner still has it.
                let waker = self.time.foreign_wakers.borrow_mut().take(key);
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            TimerAction::Traced { key } => self.fire_traced(key),
        }
    }

    /// Sets a timer. The owner of the key gives it back to [`unset_timer`](Engine::unset_timer), even if the timer has fired.
    pub(crate) fn set_timer(&self, deadline: Instant, action: TimerAction) -> TimerKey {
        if deadline <= self.time.latest.get() {
            self.check_in_next_turn(); // it is due, and fires in the next turn, as in asyncio
        }
        self.time.wheel.borrow_mut().insert(deadline.as_nanos(), action)
    }

    /// Removes a timer, fired or not.
    pub(crate) fn unset_timer(&self, key: TimerKey) {
        let action = self.time.wheel.borrow_mut().remove(key);
        self.forget_action(action);
    }

    pub(crate) fn has_fired(&self, key: &TimerKey) -> bool {
        self.time.wheel.borrow().has_fired(key)
    }

    /// Makes the timer wake `waker`.
    pub(crate) fn set_waker_of_timer(&self, key: &TimerKey, waker: &Waker) {
        // Mostly the waker is the same as before. Then nothing changes, and no foreign waker is cloned.
        let old = self.action_of(key);
        match (old, TaskId::of(waker)) {
            (TimerAction::WakeTask { .. }, Some(id)) if old.task(self.loop_index()) == id => return,
            (TimerAction::WakeForeign { key }, None) => {
                let wakers = self.time.foreign_wakers.borrow();
                if wakers.get(key).is_some_and(|kept| kept.will_wake(waker)) {
                    return;
                }
            }
            _ => {}
        }
        let action = self.action_for(waker);
        let old = self.replace_action(key, action);
        self.forget_action(old);
    }

    /// The action that wakes `waker`.
    pub(crate) fn action_for(&self, waker: &Waker) -> TimerAction {
        match TaskId::of(waker) {
            Some(id) if id.loop_index() == self.loop_index() => TimerAction::wake(id),
            _ => {
                let waker = KeptWaker::of_foreign(waker); // before the borrow: it may run any code
                TimerAction::WakeForeign {
                    key: self.time.foreign_wakers.borrow_mut().insert(waker),
                }
            }
        }
    }

    #[inline]
    fn forget_action(&self, action: TimerAction) {
        if !action.concerns_one_task() {
            self.forget_unusual_action(action);
        }
    }

    #[inline(never)]
    fn forget_unusual_action(&self, action: TimerAction) {
        match action {
            TimerAction::WakeForeign { key } => {
                let waker = self.time.foreign_wakers.borrow_mut().take(key);
                self.free_key_of(action);
                drop(waker); // after the borrow: it may run any code
            }
            TimerAction::Traced { key } => self.forget_traced(key),
            TimerAction::WakeTask { .. } | TimerAction::PollScope { .. } => {}
        }
    }

    /// Frees the key of an action that was forgotten. During a check another timer must not get it yet: what the check still has to
    /// do may contain it.
    fn free_key_of(&self, action: TimerAction) {
        let time = &self.time;
        let mut forgotten = time.forgotten.borrow_mut();
        let fired = time.fired.take();
        let is_in_check = fired.capacity() == 0;
        time.fired.set(fired);
        if is_in_check {
            return forgotten.push(action);
        }
        for action in forgotten.drain(..).chain([action]) {
            match action {
                TimerAction::WakeForeign { key } => {
                    _ = time.foreign_wakers.borrow_mut().remove(key);
                }
                TimerAction::Traced { key } => _ = time.traced.borrow_mut().remove(key),
                TimerAction::WakeTask { .. } | TimerAction::PollScope { .. } => {}
            }
        }
    }

    /// A moment before which no timer is due; `None` if no timer is set. Mostly it is the first deadline: see [`Wheel::next`].
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.time.wheel.borrow().next().map(Instant::from_nanos)
    }

    /// Reads the clock.
    pub(crate) fn now(&self) -> Instant {
        let now = self.time.clock.now().max(self.time.latest.get());
        self.time.latest.set(now);
        now
    }

    /// The time that was read last, without reading the clock.
    pub(crate) fn latest(&self) -> Instant {
        self.time.latest.get()
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.kind_of_clock() == "virtual"
    }

    /// The real time, whatever clock the loop has: for measuring, not for deadlines. Where there is none, the time of that clock.
    pub(crate) fn real_now(&self) -> Instant {
        if cfg!(all(target_family = "wasm", target_os = "unknown")) {
            return self.now();
        }
        let start = self.time.started.get_or_init(StdInstant::now);
        Instant::START + start.elapsed()
    }

    pub(crate) fn kind_of_clock(&self) -> &'static str {
        self.time.clock.0.kind()
    }

    /// The time without noting it, if the clock is the operating system's.
    pub(crate) fn real_time(&self) -> Option<Instant> {
        self.time.clock.0.real_time()
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time")
            .field("timers", &self.wheel.borrow().pending())
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
