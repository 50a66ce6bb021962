//! **Parking**: how the loop's thread sleeps while no task is ready.
//!
//! A loop without sockets can simply park its thread. With sockets, a second thread would have to wait in `epoll` or `kqueue` and wake
//! this one: two switches of threads for each message. So a loop can be given a *parker*, a function that sleeps in a poller instead.
//! The poller wakes the tasks whose sockets are ready, on the loop's own thread, and returns:
//!
//! ```text
//! turn ──▶ nothing is ready ──▶ parker(time to the next deadline) ──▶ wakes the tasks of sockets, returns ──▶ turn
//!   └────▶ busy for 64 polls ──▶ parker(zero), so that no socket waits for ever ──▶ turn
//! ```
//!
//! A wake-up from another thread has to end that sleep: it calls the loop's wake hook.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | sleeping, with a parker or without |
//! | `step` | what to do after a turn: another one, or sleep |
//! | `outside` | what virtual time has to do with sockets |
//! | `timer_slack` | asking for a shorter sleep, because the kernel makes it longer |
//!
//! It stands on `base`, the kernel, `choices`, `trace`, `mailbox`, `clock`, `time`, `thread`, `report` and `to_thread`.

mod outside;
mod step;
mod timer_slack;

use std::cell::Cell;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use outside::Outside;
pub(crate) use step::NextStep;
use timer_slack::TimerSlack;

/// Sleeps for at most the given time (`None`: until it is woken), and may return early. It is foreign code.
pub(crate) type Parker = Box<dyn FnMut(Option<Duration>)>;

/// The part of a loop that belongs to this ring.
#[derive(Default)]
pub(crate) struct Parking {
    /// `None` while it is being called, and in a loop without one.
    parker: Cell<Option<Parker>>,
    is_given: bool,
    outside: Outside,
    slack: TimerSlack,
}

impl Parking {
    /// `has_sockets`: those of another executor, in which the loop waits.
    pub(crate) fn new(parker: Option<Parker>, has_sockets: bool) -> Parking {
        let is_given = parker.is_some();
        let outside = Outside::new(is_given || has_sockets);
        let slack = TimerSlack::default();
        Parking { parker: Cell::new(parker), is_given, outside, slack }
    }

    /// Whether the loop sleeps in a parker.
    pub(crate) fn has_parker(&self) -> bool {
        self.is_given
    }
}

/// A sleep of the loop.
pub(crate) struct Sleeping {
    /// When it began; `None` if no observer is told.
    began: Option<Instant>,
    /// Work of `to_thread` was out, which may have woken it.
    had_work_out: bool,
}

/// Puts the parker back when it has returned, or panicked.
struct PutBack<'a>(&'a Parking, Option<Parker>);

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        self.0.parker.set(self.1.take());
    }
}

impl Engine {
    /// Sleeps until the loop is woken from outside or `timeout` has passed; it may return early.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let sleeping = self.begin_sleep();
        match self.parking.parker.take() {
            None => {
                let timeout = timeout.map(|timeout| self.parking.slack.less(timeout));
                if let Some(id) = self.mailbox.park(timeout) {
                    self.take_remote_wake(id);
                }
            }
            Some(parker) => self.sleep_in(parker, timeout),
        }
        self.end_sleep(&sleeping);
    }

    /// The loop is about to sleep.
    pub(crate) fn begin_sleep(&self) -> Sleeping {
        self.trim();
        let began = self.is_traced().then(|| self.real_time()).flatten();
        Sleeping { began, had_work_out: self.has_work_out() }
    }

    /// It has slept: until it was woken, or the time was up.
    pub(crate) fn end_sleep(&self, sleeping: &Sleeping) {
        if let Some((began, now)) = sleeping.began.zip(self.real_time()) {
            self.tell_park(now - began);
        }
        let is_woken = self.mailbox.inbox().has_more() || !self.tasks.ready.is_empty();
        if is_woken && !sleeping.had_work_out {
            self.outside_may_be_at_work();
        }
        self.check_in_next_turn();
    }

    fn sleep_in(&self, parker: Parker, timeout: Option<Duration>) {
        let mut parker = PutBack(&self.parking, Some(parker));
        self.mailbox.arm(); // before the inbox is checked: what comes later calls the hook
        let wake = self.mailbox.take_wake();
        // Before the parker is called, which may panic.
        wake.inspect(|id| self.take_remote_wake(*id));
        // A wake-up is no reason to leave the sockets out: they are looked at, without waiting.
        let timeout = if wake.is_some() { Some(Duration::ZERO) } else { timeout };
        parker.1.as_mut().expect("it was put there")(timeout);
    }

    /// Lets the parker look at its sockets, without sleeping.
    pub(crate) fn look_at_sockets(&self) {
        if let Some(parker) = self.parking.parker.take() {
            let mut parker = PutBack(&self.parking, Some(parker));
            parker.1.as_mut().expect("it was put there")(Some(Duration::ZERO));
        }
    }
}
