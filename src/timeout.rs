//! Time limits: [`wait_for`], [`timeout`], [`timeout_at`].
//!
//! A time limit cancels the task it stands in, as asyncio's does, and catches that cancel on its way out. So the
//! body can clean up and await while it is being stopped, and a cancel from outside that arrives at the same
//! moment is told apart from the limit's own: the limit takes back the one request it made, and if others are left
//! the cancel goes on.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::alarm::Alarm;
use crate::engine::here::with_here;
use crate::engine::instant::Instant;
use crate::engine::leaf;
use crate::engine::record::{Frame, Held, RecordRef};
use crate::engine::state::Flag;
use crate::engine::turn::Engine;
use crate::engine::waker::TaskId;
use crate::error::{DeadlineOver, TimedOut};
use crate::task::running_loop;
use crate::time::Timer;

/// Awaits `future` for at most `limit`; `None` is no limit.
///
/// The time begins when the future first waits, or arms a timer itself: what is ready at once costs neither a timer nor a look
/// at the clock. With a limit of zero the future is polled once, and what is ready then is in time.
///
/// # Cancellation
/// When the time is up the future is *cancelled*: it may clean up, and this waits for that. What it had not
/// returned by then is lost; if it swallows the cancel and returns, its value is returned here, late. A [`Task`]
/// passed by value is cancelled too; pass `&mut task` to keep its handle, or [`shield`] to keep it running.
///
/// [`Task`]: crate::Task
/// [`shield`]: crate::shield()
///
/// # Errors
/// [`TimedOut`].
///
/// # Panics
/// When polled outside a task.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{TimedOut, sleep, wait_for};
///
/// assert_eq!(wait_for(async { 1 }, Duration::from_secs(1)).await, Ok(1));
/// assert!(wait_for(sleep(Duration::from_secs(5)), Duration::from_secs(1)).await.is_err());
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.wait_for(aw, timeout)`; with a timeout of zero a coroutine is not even begun there.
pub fn wait_for<F: Future>(
    future: F,
    limit: impl Into<Option<Duration>>,
) -> impl Future<Output = Result<F::Output, TimedOut>> {
    Held::new(future, Limited(Limit::new(limit.into().map(Until::After))))
}

/// Runs `body` for at most `limit`; `None` is no limit yet.
///
/// The body is given a [`Deadline`] by which it, or anybody it hands a clone to, can move the limit.
///
/// # Cancellation
/// As with [`wait_for`].
///
/// # Errors
/// [`TimedOut`].
///
/// # Panics
/// When polled outside a task.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep, timeout};
///
/// let limited = timeout(Duration::from_secs(1), async |deadline| {
///     deadline.reschedule(now() + Duration::from_secs(3)).unwrap();
///     sleep(Duration::from_secs(2)).await;
/// });
/// assert!(limited.await.is_ok());
/// # });
/// ```
///
/// # In asyncio
/// `async with asyncio.timeout(delay) as cm`.
#[doc(alias = "fail_after")]
pub fn timeout<T, B>(
    limit: impl Into<Option<Duration>>,
    body: B,
) -> impl Future<Output = Result<T, TimedOut>>
where
    B: AsyncFnOnce(Deadline) -> T,
{
    within(limit.into().map(Until::After), body)
}

/// Runs `body` until the loop's clock shows `when`; `None` is no limit yet. Otherwise as [`timeout`].
///
/// # Cancellation
/// As with [`wait_for`].
///
/// # Errors
/// [`TimedOut`].
///
/// # Panics
/// When polled outside a task.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep, timeout_at};
///
/// let when = now() + Duration::from_secs(1);
/// let limited = timeout_at(when, async |_| sleep(Duration::from_secs(2)).await);
/// assert!(limited.await.is_err());
/// assert_eq!(now(), when);
/// # });
/// ```
///
/// # In asyncio
/// `async with asyncio.timeout_at(when)`.
#[doc(alias = "fail_at")]
pub fn timeout_at<T, B>(
    when: impl Into<Option<Instant>>,
    body: B,
) -> impl Future<Output = Result<T, TimedOut>>
where
    B: AsyncFnOnce(Deadline) -> T,
{
    within(when.into().map(Until::Moment), body)
}

fn within<T, B>(until: Option<Until>, body: B) -> impl Future<Output = Result<T, TimedOut>>
where
    B: AsyncFnOnce(Deadline) -> T,
{
    let limit = Rc::new(Limit::new(until));
    Held::new(body(Deadline { limit: limit.clone() }), Limited(limit))
}

/// A running time limit, to be looked at or moved. Given to the body of [`timeout`]; a clone is the same limit.
///
/// # In asyncio
/// `asyncio.Timeout`.
#[derive(Clone)]
pub struct Deadline {
    limit: Rc<Limit>,
}

impl Deadline {
    /// When the time is up; `None` is never. Of a limit that has not begun: `None`.
    pub fn when(&self) -> Option<Instant> {
        self.limit.when()
    }

    /// Sets another moment; `None` is no limit. A moment that has passed ends the body when it next waits.
    ///
    /// # Errors
    /// If the time was up already or the body has ended.
    pub fn reschedule(&self, when: impl Into<Option<Instant>>) -> Result<(), DeadlineOver> {
        self.limit.reschedule(when.into())
    }

    /// Whether the time is up.
    pub fn expired(&self) -> bool {
        self.limit.is_expired() || self.limit.has_fired()
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("when", &self.when())
            .field("expired", &self.expired())
            .finish()
    }
}

#[derive(Clone, Copy)]
enum Until {
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
struct Limit {
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
    fn new(until: Option<Until>) -> Limit {
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

    fn when(&self) -> Option<Instant> {
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

    fn has_fired(&self) -> bool {
        self.timer.borrow().as_ref().is_some_and(Timer::has_fired)
    }

    fn reschedule(&self, when: Option<Instant>) -> Result<(), DeadlineOver> {
        if self.phase.get() != Phase::Running || self.is_expired() {
            return Err(DeadlineOver { expired: self.is_expired() });
        }
        self.rescheduled.set(true);
        self.arm(when);
        Ok(())
    }

    fn is_expired(&self) -> bool {
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
    fn new(task: &'a RecordRef) -> Around<'a> {
        task.home.expired_around.set(task.home.expired_around.get() + 1);
        Around(task)
    }
}

impl Drop for Around<'_> {
    fn drop(&mut self) {
        self.0.home.expired_around.set(self.0.home.expired_around.get() - 1);
    }
}

/// The frame of a time limit: `Limit` itself, or shared with the body's [`Deadline`]s.
struct Limited<L: Borrow<Limit>>(L);

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
