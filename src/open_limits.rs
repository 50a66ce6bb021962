//! **Time limits in their first poll.**
//!
//! A limit could read the clock and set a timer when it is first polled. But the body of most limits is ready at once, and the
//! timer would cost many times what that body does. So a limit *opens* when it is first polled, and *begins* (reads the clock, sets
//! its timer) only when something in it waits. That is when its first poll returns pending; or earlier, just before a timer inside
//! it is set, so that the limit's timer comes first in the wheel.
//!
//! Limits nest. All open limits of a loop belong to the task that is being polled, and all of them begin together, so those that have
//! begun are the outermost. Opening and closing one that never begins is a handful of loads and stores: two counts, and its time
//! in an array of cells. A list in a `RefCell` costs a borrow, a test of its room and a call as well, each time.
//!
//! The rest of a limit's life is in `timeout/`. It stands on `base`, the kernel and `time`.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::time::{TimerAction, TimerKey};

/// The index of a limit that is not open.
pub(crate) const NOT_OPEN: u32 = u32::MAX;

/// So many nested limits need no memory beside the loop's.
const SHALLOW: usize = 4;

/// The open limits of a loop: those in their first poll.
#[derive(Default)]
pub(crate) struct OpenLimits {
    /// How many are open. A limit is named by its index among them, the outermost first.
    open: Cell<u32>,
    /// How many of them have not begun.
    to_begin: Cell<u32>,
    /// How long each lasts.
    times: [Cell<Duration>; SHALLOW],
    /// The same, for those that are nested deeper; longer than needed after some were closed.
    deeper: RefCell<Vec<Duration>>,
    /// The deadline and the timer of each that has begun.
    timers: RefCell<Vec<(Instant, TimerKey)>>,
}

impl OpenLimits {
    #[cold]
    fn set_deeper(&self, index: usize, time: Duration) {
        let mut deeper = self.deeper.borrow_mut();
        deeper.truncate(index - SHALLOW);
        deeper.push(time);
    }

    fn time(&self, index: usize) -> Duration {
        self.times.get(index).map_or_else(|| self.deeper.borrow()[index - SHALLOW], Cell::get)
    }
}

impl Engine {
    /// Opens a limit inside the open ones. Returns the index by which it is closed.
    #[inline]
    pub(crate) fn open_limit(&self, time: Duration) -> u32 {
        let limits = &self.open_limits;
        let index = limits.open.get();
        match limits.times.get(index as usize) {
            Some(place) => place.set(time),
            None => limits.set_deeper(index as usize, time),
        }
        limits.open.set(index + 1);
        limits.to_begin.set(limits.to_begin.get() + 1);
        index
    }

    /// Begins all open limits: reads the clock once and sets their timers, the outermost first.
    #[inline]
    pub(crate) fn begin_limits(&self) {
        if self.open_limits.to_begin.get() > 0 {
            self.begin_open_limits();
        }
    }

    fn begin_open_limits(&self) {
        let Some(task) = self.current.with(|task| task.id) else { return };
        let action = TimerAction::poll_scope(task);
        let now = self.now(); // first: a host's clock may run any code
        let limits = &self.open_limits;
        let (open, to_begin) = (limits.open.get(), limits.to_begin.replace(0));
        let first = open - to_begin;
        for index in first..open {
            let deadline = now + limits.time(index as usize);
            let timer = self.set_timer(deadline, action);
            limits.timers.borrow_mut().push((deadline, timer));
        }
        if self.is_traced() {
            self.note_timers_from(first as usize);
        }
    }

    #[cold]
    fn note_timers_from(&self, first: usize) {
        let timer_at = |index: usize| Some(self.open_limits.timers.borrow().get(index)?.1.number());
        let mut index = first;
        while let Some(timer) = timer_at(index) {
            self.note_timer(timer, true); // outside the borrow: an observer may run any code
            index += 1;
        }
    }

    /// Closes the innermost open limit. Returns its deadline and timer if it had begun.
    #[inline]
    pub(crate) fn close_limit(&self, index: u32) -> Option<(Instant, TimerKey)> {
        let limits = &self.open_limits;
        debug_assert_eq!(limits.open.get(), index + 1, "limits are closed innermost first");
        limits.open.set(index);
        let to_begin = limits.to_begin.get();
        if to_begin == 0 {
            return limits.timers.borrow_mut().pop();
        }
        limits.to_begin.set(to_begin - 1);
        None
    }

    /// The deadline of an open limit; it begins if it had not. `None` if it is not open.
    pub(crate) fn deadline_of_open_limit(&self, index: u32) -> Option<Instant> {
        if index >= self.open_limits.open.get() {
            return None;
        }
        self.begin_limits();
        self.open_limits.timers.borrow().get(index as usize).map(|(deadline, _)| *deadline)
    }
}
