//! **A timer** as a value: dropping it unsets it.

use std::fmt;
use std::rc::Rc;
use std::task::Context;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::time::{TimerAction, TimerKey};

/// A timer in the loop's wheel.
pub(crate) struct Timer {
    engine: Rc<Engine>,
    /// `None` only during the drop.
    key: Option<TimerKey>,
}

impl Timer {
    /// Sets a timer. The open time limits around it begin first, so that their timers come before it in the wheel.
    pub(crate) fn set(
        engine: Rc<Engine>,
        deadline: Instant,
        action: TimerAction,
        is_limit: bool,
    ) -> Timer {
        let timer = Timer::set_untold(engine, deadline, action);
        timer.note(is_limit);
        timer
    }

    /// The same, and no observer is told.
    pub(crate) fn set_untold(engine: Rc<Engine>, deadline: Instant, action: TimerAction) -> Timer {
        engine.begin_limits();
        Timer { key: Some(engine.set_timer(deadline, action)), engine }
    }

    /// Names it while it exists.
    pub(crate) fn number(&self) -> Option<u32> {
        self.key.as_ref().map(TimerKey::number)
    }

    /// An observer is told, if there is one, that the timer was set. `is_limit`: for a time limit.
    pub(crate) fn note(&self, is_limit: bool) {
        if let Some(key) = self.key.as_ref().filter(|_| self.engine.is_traced()) {
            self.engine.note_timer(key.number(), is_limit);
        }
    }

    /// When it is due.
    pub(crate) fn deadline(&self) -> Instant {
        self.key.as_ref().map_or(Instant::START, |key| self.engine.deadline_of(key))
    }

    /// From a timer that is set already.
    pub(crate) fn of(engine: Rc<Engine>, key: TimerKey) -> Timer {
        Timer { engine, key: Some(key) }
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.key.as_ref().is_some_and(|key| self.engine.has_fired(key))
    }

    /// From now on the timer wakes the waker of `cx`.
    pub(crate) fn set_waker(&self, cx: &Context<'_>) {
        if let Some(key) = &self.key {
            self.engine.set_waker_of_timer(key, cx.waker());
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.engine.unset_timer(key);
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("has_fired", &self.has_fired()).finish()
    }
}
