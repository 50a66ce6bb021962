//! **Time limits in their first poll.**
//!
//! A limit could read the clock and set a timer when it is first polled. But the body of most limits is ready at once, and the
//! timer would cost many times what that body does. So a limit *opens* when it is first polled, and *begins* (reads the clock, sets
//! its timer) only when something in it waits. That is when its first poll returns pending; or earlier, just before a timer inside
//! it is set, so that the limit's timer comes first in the wheel.
//!
//! Limits nest. All open limits of a loop belong to the task that is being polled. The rest of a limit's life is in `timeout/`.
//!
//! It stands on `base`, the kernel and `time`.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::time::{TimerAction, TimerKey};

/// The open limits of a loop: those in their first poll.
#[derive(Default)]
pub(crate) struct OpenLimits {
    /// Innermost last.
    open: RefCell<Vec<OpenLimit>>,
    /// How many of them have not begun.
    to_begin: Cell<usize>,
}

struct OpenLimit {
    after: Duration,
    /// Its deadline and its timer.
    begun: Option<(Instant, TimerKey)>,
}

impl Engine {
    /// Opens a limit inside the open ones. Returns the index by which it is closed.
    #[inline]
    pub(crate) fn open_limit(&self, after: Duration) -> u32 {
        let OpenLimits { open, to_begin } = &self.open_limits;
        let mut open = open.borrow_mut();
        open.push(OpenLimit { after, begun: None });
        to_begin.set(to_begin.get() + 1);
        open.len() as u32 - 1
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
        let now = self.now();
        let mut open = self.open_limits.open.borrow_mut();
        let first = open.len() - self.open_limits.to_begin.replace(0);
        for limit in &mut open[first..] {
            let deadline = now + limit.after;
            limit.begun = Some((deadline, self.set_timer(deadline, action)));
        }
        drop(open);
        if self.is_traced() {
            self.note_timers_from(first);
        }
    }

    #[cold]
    fn note_timers_from(&self, first: usize) {
        let timer_at = |index: usize| {
            let open = self.open_limits.open.borrow();
            Some(open.get(index)?.begun.as_ref()?.1.number())
        };
        let mut index = first;
        while let Some(timer) = timer_at(index) {
            self.note_timer(timer, true); // outside the borrow: an observer may run any code
            index += 1;
        }
    }

    /// Closes the innermost open limit. Returns its deadline and timer if it had begun.
    #[inline]
    pub(crate) fn close_limit(&self, index: u32) -> Option<(Instant, TimerKey)> {
        let OpenLimits { open, to_begin } = &self.open_limits;
        let mut open = open.borrow_mut();
        debug_assert_eq!(open.len(), index as usize + 1, "limits are closed innermost first");
        let OpenLimit { begun, .. } = open.pop()?;
        if begun.is_none() {
            to_begin.set(to_begin.get() - 1);
        }
        begun
    }

    /// The deadline of an open limit. The limit begins if it had not.
    pub(crate) fn deadline_of_open_limit(&self, index: u32) -> Option<Instant> {
        self.begin_limits();
        let open = self.open_limits.open.borrow();
        open.get(index as usize)?.begun.as_ref().map(|(deadline, _)| *deadline)
    }
}
