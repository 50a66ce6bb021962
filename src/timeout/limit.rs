//! One running time limit: when its time begins, whose cancel is whose, and the frame that catches its own.
//!
//! Its timer cancels the task that it stands in. The limit takes back the one request that it made; what is left then is
//! somebody else's, and goes on.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::alarm::Alarm;
use crate::engine::here::with_here;
use crate::engine::instant::Instant;
use crate::engine::leaf;
use crate::engine::record::{Frame, RecordRef};
use crate::engine::state::Flag;
use crate::engine::turn::Engine;
use crate::engine::waker::TaskId;
use crate::error::{DeadlineOver, TimedOut};
use crate::task::running_loop;
use crate::time::Timer;

#[derive(Clone, Copy)]
pub(super) enum Until {
    After(Duration),
    Moment(Instant),
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Not polled yet.
    Created,
    Running,
    /// The body has ended, or was left.
    Left,
}

/// One time limit. Its timer cancels the task; here is known whose cancel it was.
pub(super) struct Limit {
    until: Option<Until>,
    phase: Cell<Phase>,
    /// In the first poll: its place among those that have not begun, see `engine/timers.rs`.
    open: Cell<Option<usize>>,
    /// What it was given at first counts no more.
    rescheduled: Cell<bool>,
    when: Cell<Option<Instant>>,
    timer: RefCell<Option<Timer>>,
    /// If it is polled through a waker that is not ours, by a set of futures: that one is woken when the time is up, or the set
    /// would not poll it, and the limit asks for the cancel itself.
    set: RefCell<Option<Waker>>,
    /// The time was up while the body ran: one of the task's cancel requests is this limit's.
    expired: Cell<bool>,
    /// Its cancel has come by here, or is known to be on its way.
    delivered: Cell<bool>,
    /// The task that it stands in, and how many requests it had on entry.
    task: RefCell<Option<RecordRef>>,
    requests_before: Cell<u16>,
}

impl Limit {
    pub(super) fn new(until: Option<Until>) -> Limit {
        Limit {
            until,
            phase: Cell::new(Phase::Created),
            open: Cell::new(None),
            rescheduled: Cell::new(false),
            when: Cell::new(None),
            timer: RefCell::new(None),
            set: RefCell::new(None),
            expired: Cell::new(false),
            delivered: Cell::new(false),
            task: RefCell::new(None),
            requests_before: Cell::new(0),
        }
    }

    fn enter(&self) {
        let requests = leaf::with_current(requests_but_of_limits_beside);
        self.requests_before.set(requests.expect("a time limit can only be awaited in a task"));
        self.phase.set(Phase::Running);
        match self.until {
            None => self.arm(None),
            Some(Until::Moment(when)) => self.arm(Some(when)),
            Some(Until::After(limit)) => {
                self.open.set(with_here(|engine| engine.open_limit(limit)));
            }
        }
    }

    /// The first poll is over. If the body waits the time runs now.
    #[inline]
    fn close(&self, body_waits: bool) {
        let Some(place) = self.open.take() else { return };
        if body_waits {
            with_here(Engine::begin_limits);
        }
        let begun = with_here(|engine| engine.close_limit(place)).flatten();
        if let Some((when, timer)) = begun {
            let timer = Timer::of(running_loop(), timer);
            if body_waits && !self.rescheduled.get() {
                self.when.set(Some(when));
                *self.task.borrow_mut() = leaf::current();
                self.timer.replace(Some(timer));
            }
        }
    }

    pub(super) fn when(&self) -> Option<Instant> {
        match self.open.get() {
            Some(place) if !self.rescheduled.get() => {
                with_here(|engine| engine.end_of_limit(place)).flatten()
            }
            _ => self.when.get(),
        }
    }

    fn arm(&self, when: Option<Instant>) {
        if self.task.borrow().is_none() {
            *self.task.borrow_mut() = leaf::current(); // in the first poll: it is this one's
        }
        self.when.set(when);
        let timer = when.and_then(|when| {
            let task = self.task.borrow();
            let task = task.as_ref()?;
            let alarm = match &*self.set.borrow() {
                Some(waker) => task.home.alarm_for(waker),
                None => Alarm::cancel(task.home.id_of(task)),
            };
            Some(Timer::arm(task.home.clone(), when, alarm))
        });
        self.timer.replace(timer);
    }

    /// Is polled through this waker, and its body waits.
    fn see(&self, cx: &Context<'_>) {
        if TaskId::of(cx.waker()).is_some() && self.set.borrow().is_none() {
            return; // the usual case
        }
        let waker = cx.waker().clone();
        let old = self.set.replace(Some(waker));
        drop(old); // after the borrow: it may run anything
        if let Some(timer) = self.timer.borrow().as_ref().filter(|timer| !timer.has_fired()) {
            timer.rewake(cx);
        }
    }

    /// In a set: the time is up. The set is to poll it again, when the cancel has come.
    fn request_in_set(&self, cx: &Context<'_>) {
        let is_up = self.set.borrow().is_some() && !self.expired.get() && self.has_fired();
        if !is_up {
            return;
        }
        self.expired.set(true);
        if let Some(task) = &*self.task.borrow() {
            task.cancel_by_limit();
        }
        cx.waker().wake_by_ref();
    }

    pub(super) fn has_fired(&self) -> bool {
        self.timer.borrow().as_ref().is_some_and(Timer::has_fired)
    }

    pub(super) fn reschedule(&self, when: Option<Instant>) -> Result<(), DeadlineOver> {
        if self.phase.get() != Phase::Running || self.is_expired() {
            return Err(DeadlineOver { expired: self.is_expired() });
        }
        self.rescheduled.set(true);
        self.arm(when);
        Ok(())
    }

    pub(super) fn is_expired(&self) -> bool {
        if !self.expired.get() && self.set.borrow().is_none() && self.has_fired() {
            self.expired.set(true);
        }
        self.expired.get()
    }

    /// Its cancel reaches the body once: with the signal, from a task that it was passed on to, or else from here, if it came in
    /// a poll that passed by, or somebody beside has taken the signal down.
    fn see_to_delivery(&self, cx: &Context<'_>) {
        if !self.is_expired() || self.delivered.get() {
            return;
        }
        let task = self.task.borrow();
        let has = |flag| task.as_ref().is_some_and(|task| task.has(flag));
        if leaf::is_raised() || has(Flag::CANCEL_FORWARDED) {
            self.delivered.set(true);
        } else if !has(Flag::CANCEL_PENDING) {
            self.delivered.set(true);
            leaf::raise();
        } else if self.set.borrow().is_some() {
            cx.waker().wake_by_ref(); // it comes with the next poll: the set is to poll it then
        }
    }

    /// The body has ended or is being dropped. True if its own cancel was all there was; then
    /// the signal is taken down, unless the caller is about to catch it.
    fn leave(&self, raised_is_caught: bool) -> bool {
        if self.phase.replace(Phase::Left) != Phase::Running {
            return false;
        }
        let timer = self.timer.take();
        if timer.is_none() && !self.expired.get() {
            drop(self.task.take());
            return false; // its time never began, as with most
        }
        let is_in_set = self.set.borrow().is_some();
        let has_fired = timer.as_ref().is_some_and(Timer::has_fired);
        let expired = self.expired.get() || has_fired && !is_in_set;
        self.expired.set(expired);
        drop(timer);
        match self.task.take() {
            Some(task) if expired && !task.has(Flag::DONE) => {
                task.uncancel();
                task.if_extras(|extras| extras.limit_requests -= 1);
                let is_all = requests_but_of_limits_beside(&task) <= self.requests_before.get();
                if is_all && !raised_is_caught {
                    leaf::take_down(&task);
                }
                is_all
            }
            _ => false,
        }
    }
}

/// The cancel requests of the task that is being polled, without those of limits beside this place: in another branch of a
/// `join!`. They are none of a limit's business; those of limits around it are.
fn requests_but_of_limits_beside(task: &RecordRef) -> u16 {
    let of_limits = task.if_extras(|extras| extras.limit_requests).unwrap_or(0);
    let beside = of_limits.saturating_sub(task.home.expired_around.get());
    task.cancel_requests.get().saturating_sub(beside)
}

/// While the body of an expired limit is polled.
struct Around<'a>(&'a RecordRef);

impl<'a> Around<'a> {
    pub(super) fn new(task: &'a RecordRef) -> Around<'a> {
        task.home.expired_around.set(task.home.expired_around.get() + 1);
        Around(task)
    }
}

impl Drop for Around<'_> {
    fn drop(&mut self) {
        self.0.home.expired_around.set(self.0.home.expired_around.get() - 1);
    }
}

/// The frame of a time limit: `Limit` itself, or shared with the body's `Deadline`s.
pub(super) struct Limited<L: Borrow<Limit>>(pub(super) L);

impl<L: Borrow<Limit>> Drop for Limited<L> {
    fn drop(&mut self) {
        self.0.borrow().leave(false); // dropped hard: its request goes with it
    }
}

impl<F: Future, L: Borrow<Limit>> Frame<F> for Limited<L> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limit: &Limit = self.0.borrow();
        let is_first = limit.phase.get() == Phase::Created;
        if is_first {
            limit.enter();
        } else {
            limit.request_in_set(cx);
            limit.see_to_delivery(cx);
        }
        let Some(future) = held.as_mut().as_pin_mut() else {
            // The cancel has gone on from here, and somebody polls again: it is still on its way.
            leaf::raise();
            return Poll::Pending;
        };
        let polled = {
            /// If the body panics the limit is closed all the same.
            struct FirstPoll<'a>(&'a Limit);
            impl Drop for FirstPoll<'_> {
                fn drop(&mut self) {
                    self.0.close(false);
                }
            }
            let first_poll = FirstPoll(limit);
            let is_expired = !is_first && limit.is_expired();
            let task = if is_expired { limit.task.borrow().clone() } else { None };
            let around = task.as_ref().map(Around::new);
            let polled = future.poll(cx);
            drop(around);
            first_poll.0.close(polled.is_pending());
            if polled.is_pending() {
                limit.see(cx);
            }
            polled
        };
        match polled {
            Poll::Ready(output) => {
                limit.leave(false); // a cancel of its own came too late to stop anything
                Poll::Ready(Ok(output))
            }
            Poll::Pending if leaf::is_raised() && limit.is_expired() => {
                held.set(None);
                if limit.leave(true) {
                    leaf::catch();
                    Poll::Ready(Err(TimedOut))
                } else {
                    Poll::Pending // somebody else's cancel as well: it goes on
                }
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
