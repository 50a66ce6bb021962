//! **Traced timers**: those of which an observer is told.
//!
//! The action of such a timer is `Traced`, and its real action is kept here. So a timer that is not traced pays nothing: where an
//! action is done or forgotten, the rare kinds are told apart from the usual ones anyway.

use std::mem;

use super::{TimerAction, TimerKey};
use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::trace::{Id, What};

/// What an observer was told of a timer, and what the timer does.
#[derive(Clone, Copy, Debug)]
pub(super) struct TracedTimer {
    action: TimerAction,
    number: u32,
    /// The event in which it was set.
    set: u64,
    task: Option<Id>,
    deadline: Instant,
    /// The run in which an observer was told of it.
    run: u64,
    /// The timer was unset. If that was in the check in which it fires, its action is done all the same, as that of any timer is.
    is_removed: bool,
}

impl Engine {
    /// A timer was set. Tells an observer, if there is one. `is_limit`: it is the timer of a time limit.
    #[cold]
    pub(crate) fn note_timer(&self, timer: u32, is_limit: bool) {
        let (deadline, action) = self.timer(timer);
        if !self.is_traced() || matches!(action, TimerAction::Traced { .. }) {
            return;
        }
        let record = action
            .concerns_one_task()
            .then(|| self.tasks.get(action.task(self.loop_index())))
            .flatten();
        let task = record.as_ref().map(|record| self.traced_id(record));
        let number = self.next_timer();
        let run = self.traced_run();
        let key = self.time.traced.borrow_mut().insert(TracedTimer {
            action,
            number,
            set: 0,
            task,
            deadline,
            run,
            is_removed: false,
        });
        *self.time.wheel.borrow_mut().entry(timer).1 = TimerAction::Traced { key };
        let set = self.tell(What::TimerSet { timer: number, task, deadline, is_limit });
        self.change_traced(key, |timer| timer.set = set);
    }

    /// The deadline of a timer, and its action.
    fn timer(&self, timer: u32) -> (Instant, TimerAction) {
        let mut wheel = self.time.wheel.borrow_mut();
        let (deadline, action) = wheel.entry(timer);
        (Instant::from_nanos(deadline), *action)
    }

    pub(crate) fn deadline_of(&self, key: &TimerKey) -> Instant {
        self.timer(key.number()).0
    }

    /// What the timer does, traced or not.
    pub(super) fn action_of(&self, key: &TimerKey) -> TimerAction {
        self.plain_action(self.timer(key.number()).1)
    }

    /// The action behind that of a traced timer.
    pub(crate) fn plain_action(&self, action: TimerAction) -> TimerAction {
        match action {
            TimerAction::Traced { key } => {
                self.change_traced(key, |timer| timer.action).expect("it is in use")
            }
            action => action,
        }
    }

    /// Gives the timer another action, and returns the one before.
    pub(super) fn replace_action(&self, key: &TimerKey, action: TimerAction) -> TimerAction {
        if let (_, TimerAction::Traced { key }) = self.timer(key.number()) {
            let replaced = self.change_traced(key, |timer| mem::replace(&mut timer.action, action));
            return replaced.expect("it is in use");
        }
        mem::replace(self.time.wheel.borrow_mut().payload_mut(key), action)
    }

    #[cold]
    pub(super) fn fire_traced(&self, key: u32) {
        let Some(TracedTimer { action, number: timer, set, task, deadline, run, is_removed }) =
            self.change_traced(key, |timer| *timer)
        else {
            return;
        };
        if !self.is_traced() || run != self.traced_run() || is_removed {
            return self.fire(action);
        }
        self.tell_turn_begins();
        let late = self.latest() - deadline;
        self.measure(|times| times.latest_timer = times.latest_timer.max(late));
        let fired = self.tell_because_of(set, What::TimerFired { timer, task });
        self.because_of(fired, || self.fire(action));
    }

    #[cold]
    pub(super) fn forget_traced(&self, key: u32) {
        let timer = self.change_traced(key, |timer| {
            timer.is_removed = true;
            *timer
        });
        self.free_key_of(TimerAction::Traced { key });
        if let Some(TracedTimer { action, number, run, .. }) = timer {
            if run == self.traced_run() {
                self.tell(What::TimerRemoved { timer: number });
            }
            self.forget_action(action);
        }
    }

    fn change_traced<R>(&self, key: u32, change: impl FnOnce(&mut TracedTimer) -> R) -> Option<R> {
        self.time.traced.borrow_mut().get_mut(key).map(change)
    }
}
