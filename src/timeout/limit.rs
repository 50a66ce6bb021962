//! One running time limit: when its time begins, whose cancel is whose, and the frame that catches its own.
//!
//! Its timer cancels the task that it stands in. The limit takes back the one request that it made; what is left then is
//! somebody else's, and goes on.

use std::borrow::Borrow;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::alarm::Alarm;
use crate::engine::current::with_current_loop;
use crate::engine::foreign::KeptWaker;
use crate::engine::frame::Frame;
use crate::engine::instant::Instant;
use crate::engine::leaf;
use crate::engine::record::{Flag, RecordRef};
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
    /// What it was given at first counts no more.
    rescheduled: Cell<bool>,
    /// The time was up while the body ran: one of the task's cancel requests is this limit's.
    expired: Cell<bool>,
    /// Its cancel has come by here, or is known to be on its way.
    delivered: Cell<bool>,
    /// How many cancel requests the task had on entry. (In 32 bits, which leaves no gap here: what is made of words without
    /// gaps is written where it belongs, and not elsewhere and copied.)
    requests_before: Cell<u32>,
    /// In the first poll: its place among those that have not begun, see `engine/timers.rs`.
    open: Cell<Option<u32>>,
    /// Of most there is nothing more: their body is ready at once.
    begun: OnceCell<Begun>,
}

/// A limit whose body waits, or that was moved.
struct Begun {
    /// The task that it stands in; until it is left.
    task: RefCell<Option<RecordRef>>,
    when: Cell<Option<Instant>>,
    timer: RefCell<Option<Timer>>,
    /// If it is polled through a waker that is not ours, by a set of futures: that one is woken when the time is up, or the set
    /// would not poll it, and the limit asks for the cancel itself.
    set: RefCell<Option<KeptWaker>>,
}

impl Begun {
    /// In the task that is being polled.
    fn here() -> Begun {
        Begun {
            task: RefCell::new(leaf::current()),
            when: Cell::new(None),
            timer: RefCell::default(),
            set: RefCell::default(),
        }
    }

    fn is_in_set(&self) -> bool {
        self.set.borrow().is_some()
    }

    fn has_fired(&self) -> bool {
        self.timer.borrow().as_ref().is_some_and(Timer::has_fired)
    }

    fn arm(&self, when: Option<Instant>) {
        self.when.set(when);
        let timer = when.and_then(|when| {
            let task = self.task.borrow();
            let task = task.as_ref()?;
            let alarm = match &*self.set.borrow() {
                Some(waker) => task.home.alarm_for(waker.waker()),
                None => Alarm::cancel(task.id),
            };
            Some(Timer::arm(task.home.clone(), when, alarm))
        });
        self.timer.replace(timer);
    }
}

impl Limit {
    pub(super) fn new(until: Option<Until>) -> Limit {
        Limit {
            until,
            phase: Cell::new(Phase::Created),
            rescheduled: Cell::new(false),
            expired: Cell::new(false),
            delivered: Cell::new(false),
            requests_before: Cell::new(0),
            open: Cell::new(None),
            begun: OnceCell::new(),
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
                self.open.set(with_current_loop(|engine| engine.open_limit(limit)));
            }
        }
    }

    /// The first poll is over. If the body waits the time runs now.
    #[inline]
    fn close(&self, body_waits: bool) {
        if let Some(place) = self.open.take() {
            self.close_at(place, body_waits);
        }
    }

    fn close_at(&self, place: u32, body_waits: bool) {
        if body_waits {
            with_current_loop(Engine::begin_limits);
        }
        let begun = with_current_loop(|engine| engine.close_limit(place)).flatten();
        if let Some((when, timer)) = begun {
            let timer = Timer::of(running_loop(), timer);
            if body_waits && !self.rescheduled.get() {
                let begun = self.begun.get_or_init(Begun::here);
                begun.when.set(Some(when));
                begun.timer.replace(Some(timer));
            }
        }
    }

    pub(super) fn when(&self) -> Option<Instant> {
        match self.open.get() {
            Some(place) if !self.rescheduled.get() => {
                with_current_loop(|engine| engine.end_of_limit(place)).flatten()
            }
            _ => self.begun.get()?.when.get(),
        }
    }

    /// In the first poll the task that is being polled is this limit's.
    fn arm(&self, when: Option<Instant>) {
        self.begun.get_or_init(Begun::here).arm(when);
    }

    fn is_in_set(&self) -> bool {
        self.begun.get().is_some_and(Begun::is_in_set)
    }

    /// Is polled through this waker, and its body waits.
    fn see(&self, cx: &Context<'_>) {
        if TaskId::of(cx.waker()).is_some() && !self.is_in_set() {
            return; // the usual case
        }
        let Some(begun) = self.begun.get() else { return };
        let waker = KeptWaker::clone_of(cx.waker());
        let old = begun.set.replace(Some(waker));
        drop(old); // after the borrow: it may run anything
        if let Some(timer) = begun.timer.borrow().as_ref().filter(|timer| !timer.has_fired()) {
            timer.rewake(cx);
        }
    }

    /// In a set: the time is up. The set is to poll it again, when the cancel has come.
    fn request_in_set(&self, cx: &Context<'_>) {
        let Some(begun) = self.begun.get().filter(|begun| begun.is_in_set()) else { return };
        if self.expired.get() || !begun.has_fired() {
            return;
        }
        self.expired.set(true);
        if let Some(task) = &*begun.task.borrow() {
            task.cancel_by_limit();
        }
        cx.waker().wake_by_ref();
    }

    pub(super) fn has_fired(&self) -> bool {
        self.begun.get().is_some_and(Begun::has_fired)
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
        let begun = self.begun.get().filter(|_| !self.expired.get());
        if begun.is_some_and(|begun| !begun.is_in_set() && begun.has_fired()) {
            self.expired.set(true);
        }
        self.expired.get()
    }

    fn task(&self) -> Option<RecordRef> {
        self.begun.get()?.task.borrow().clone()
    }

    /// Its cancel reaches the body once: with the signal, from a task that it was passed on to, or else from here, if it came in
    /// a poll that passed by, or somebody beside has taken the signal down.
    fn see_to_delivery(&self, cx: &Context<'_>) {
        if !self.is_expired() || self.delivered.get() {
            return;
        }
        let task = self.task();
        let has = |flag| task.as_ref().is_some_and(|task| task.has(flag));
        if leaf::is_raised() || has(Flag::CANCEL_FORWARDED) {
            self.delivered.set(true);
        } else if !has(Flag::CANCEL_PENDING) {
            self.delivered.set(true);
            leaf::raise();
        } else if self.is_in_set() {
            cx.waker().wake_by_ref(); // it comes with the next poll: the set is to poll it then
        }
    }

    /// The body has ended or is being dropped. True if its own cancel was all there was; then
    /// the signal is taken down, unless the caller is about to catch it.
    #[inline]
    fn leave(&self, raised_is_caught: bool) -> bool {
        let was_running = self.phase.replace(Phase::Left) == Phase::Running;
        let begun = self.begun.get().filter(|_| was_running);
        begun.is_some_and(|begun| self.leave_begun(begun, raised_is_caught))
    }

    fn leave_begun(&self, begun: &Begun, raised_is_caught: bool) -> bool {
        let timer = begun.timer.take();
        let has_fired = timer.as_ref().is_some_and(Timer::has_fired);
        let expired = self.expired.get() || has_fired && !begun.is_in_set();
        self.expired.set(expired);
        drop(timer);
        let task = begun.task.take();
        match task {
            Some(task) if expired && !task.has(Flag::DONE) => {
                task.uncancel();
                task.cold().limit_requests.update(|requests| requests.saturating_sub(1));
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
fn requests_but_of_limits_beside(task: &RecordRef) -> u32 {
    if task.has_cancel_requests() { count_requests(task) } else { 0 }
}

#[inline(never)] // nearly never
fn count_requests(task: &RecordRef) -> u32 {
    let of_limits = task.cold_if_any().map_or(0, |cold| cold.limit_requests.get());
    let beside = of_limits.saturating_sub(task.home.expired_around.get());
    task.cancel_requests().saturating_sub(beside)
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
            let task = if is_expired { limit.task() } else { None };
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
