//! One running time limit: when its time begins, whose cancel is whose, and the frame that catches its own.
//!
//! A limit cancels its body, and nothing beside it. Its timer wakes the task that has polled it; when the limit is polled
//! then, and finds that its time is up, it delivers a cancel to its body (`engine/delivery.rs`), wherever that is. One
//! that is kept and not polled does nothing.
//!
//! As asyncio's, it counts as a request of the task, which it takes back in the end. If requests are left then, they are of
//! something else, and the cancel goes on.

use std::borrow::Borrow;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::alarm::Alarm;
use crate::engine::current::{self, with_current_loop};
use crate::engine::foreign::KeptWaker;
use crate::engine::frame::Frame;
use crate::engine::instant::Instant;
use crate::engine::leaf::{self, Told, Visit};
use crate::engine::reason::{Own, Reason};
use crate::engine::record::{Flag, RecordRef};
use crate::engine::scope::{How, Scope, Seen};
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
    /// There was no time, and the task that the body awaits has been cancelled.
    CancelledAtOnce,
    /// The body was cancelled, by something else as well: the cancel goes on.
    Passed,
    /// The body has ended, or was left.
    Left,
}

/// One time limit.
pub(super) struct Limit {
    until: Option<Until>,
    phase: Cell<Phase>,
    /// It was moved: what it was given at first counts no more.
    rescheduled: Cell<bool>,
    /// The time was up while the body ran: one of the task's cancel requests is this limit's.
    expired: Cell<bool>,
    /// The cancel is still to be delivered to the body.
    to_deliver: Cell<bool>,
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
    /// The task that polled it last; until it is left.
    task: RefCell<Option<RecordRef>>,
    when: Cell<Option<Instant>>,
    timer: RefCell<Option<Timer>>,
    /// The waker with which it was polled last, if that is foreign: a set of futures polls only what was woken.
    set: RefCell<Option<KeptWaker>>,
    scope: Scope,
    /// Without any time: the task that was cancelled, and what has come by here meanwhile, see [`cancel_at_once`].
    cancelled: OnceCell<RecordRef>,
    told: Told,
}

impl Begun {
    /// In the task that is being polled.
    fn here() -> Begun {
        Begun {
            task: RefCell::new(leaf::current()),
            when: Cell::new(None),
            timer: RefCell::default(),
            set: RefCell::default(),
            scope: Scope::default(),
            cancelled: OnceCell::new(),
            told: Told::default(),
        }
    }

    fn has_fired(&self) -> bool {
        self.timer.borrow().as_ref().is_some_and(Timer::has_fired)
    }

    fn arm(&self, when: Option<Instant>) {
        self.when.set(when);
        let task = self.task.borrow().clone();
        let set = self.set.borrow().clone();
        let timer = when.zip(task).map(|(when, task)| {
            let alarm = match set {
                Some(KeptWaker::Foreign(waker)) => task.home.alarm_for(waker.waker()),
                _ => Alarm::cancel(task.id),
            };
            Timer::arm(task.home.clone(), when, alarm)
        });
        let old = self.timer.replace(timer);
        drop(old); // after the borrow: it may drop a foreign waker
    }
}

impl Limit {
    pub(super) fn new(until: Option<Until>) -> Limit {
        Limit {
            until,
            phase: Cell::new(Phase::Created),
            rescheduled: Cell::new(false),
            expired: Cell::new(false),
            to_deliver: Cell::new(false),
            requests_before: Cell::new(0),
            open: Cell::new(None),
            begun: OnceCell::new(),
        }
    }

    fn enter(&self) {
        let requests = leaf::with_current(RecordRef::requests_but_of_scopes_beside);
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

    /// Its body waits: from here on its timer wakes what polls it now.
    #[inline]
    fn see(&self, cx: &Context<'_>) {
        let Some(begun) = self.begun.get() else { return };
        let is_usual = TaskId::of(cx.waker()).is_some() && begun.set.borrow().is_none();
        if !is_usual {
            self.see_set(begun, cx);
        }
    }

    #[inline(never)]
    fn see_set(&self, begun: &Begun, cx: &Context<'_>) {
        if begun.set.borrow().as_ref().is_some_and(|kept| kept.will_wake(cx.waker())) {
            return;
        }
        let kept = KeptWaker::of(cx.waker()); // outside the borrow: it may run anything
        let old = begun.set.replace(Some(kept).filter(|kept| kept.id().is_none()));
        drop(old);
        if !self.expired.get() && !begun.has_fired() {
            begun.arm(begun.when.get());
        }
    }

    /// It is polled again, perhaps by another task than before: what it has asked of that moves along.
    fn comes_to_this_task(&self, begun: &Begun) {
        let is_here = leaf::with_current(|current| begun.task.borrow().as_ref() == Some(current));
        if is_here == Some(true) {
            return;
        }
        let here = leaf::current();
        let before = begun.task.replace(here.clone());
        if self.expired.get() {
            before.iter().for_each(RecordRef::uncancel_of_scope);
            here.iter().for_each(request);
        }
        if let Some(here) = &here {
            self.requests_before.set(here.requests_of_no_scope());
        }
        drop(before);
        if !self.expired.get() && !begun.has_fired() {
            begun.arm(begun.when.get());
        }
    }

    /// Its time is up: the cancel is to be delivered, and counts from here.
    fn expire(&self, begun: &Begun) {
        if !self.expired.get() && begun.has_fired() {
            self.expired.set(true);
            self.to_deliver.set(true);
            begun.task.borrow().iter().for_each(request);
        }
    }

    pub(super) fn has_fired(&self) -> bool {
        self.begun.get().is_some_and(Begun::has_fired)
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expired.get()
    }

    pub(super) fn reschedule(&self, when: Option<Instant>) -> Result<(), DeadlineOver> {
        let is_up = self.is_expired() || self.has_fired();
        if self.phase.get() != Phase::Running || is_up {
            return Err(DeadlineOver { expired: is_up });
        }
        self.rescheduled.set(true);
        self.arm(when);
        Ok(())
    }

    /// The body has ended or is being dropped. True if a cancel that came out of it was this limit's alone.
    #[inline]
    fn leave(&self) -> bool {
        let was_running = self.phase.replace(Phase::Left) == Phase::Running;
        let begun = self.begun.get().filter(|_| was_running);
        begun.is_some_and(|begun| self.leave_begun(begun))
    }

    fn leave_begun(&self, begun: &Begun) -> bool {
        let is_too_late = begun.has_fired() && !self.expired.get();
        drop(begun.timer.take());
        drop(begun.set.take());
        let task = begun.task.take();
        if is_too_late {
            self.expired.set(true); // its time was up, but the body has ended first
            return false;
        }
        match task {
            Some(task) if self.expired.get() && !task.has(Flag::DONE) => {
                task.uncancel_of_scope();
                task.requests_but_of_scopes_beside() <= self.requests_before.get()
            }
            _ => false,
        }
    }
}

fn request(task: &RecordRef) {
    task.count_cancel_of_scope(&Reason::own(Own::LimitUp, task.number));
}

/// The frame of a time limit: `Limit` itself, or shared with the body's `Deadline`s.
///
/// If it `WAITS` it is that of `wait_for`, which without any time cancels a task before it waits for it.
pub(super) struct Limited<L: Borrow<Limit>, const WAITS: bool>(pub(super) L);

impl<L: Borrow<Limit>, const WAITS: bool> Drop for Limited<L, WAITS> {
    fn drop(&mut self) {
        self.0.borrow().leave(); // dropped hard: its request goes with it
    }
}

impl<F: Future, L: Borrow<Limit>, const WAITS: bool> Frame<F> for Limited<L, WAITS> {
    type Output = Result<F::Output, TimedOut>;

    #[inline]
    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limit: &Limit = self.0.borrow();
        if limit.phase.get() != Phase::Created {
            return poll_again(limit, held, cx);
        }
        let Some(mut future) = held.as_mut().as_pin_mut() else {
            unreachable!("it was not polled")
        };
        /// If the body panics the limit is closed all the same.
        struct FirstPoll<'a>(&'a Limit);
        impl Drop for FirstPoll<'_> {
            fn drop(&mut self) {
                self.0.close(false);
            }
        }
        limit.enter();
        let first_poll = FirstPoll(limit);
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                limit.leave();
                Poll::Ready(Ok(output))
            }
            Poll::Pending => {
                first_poll.0.close(true);
                limit.see(cx);
                match limit.until {
                    Some(Until::After(Duration::ZERO)) if WAITS => cancel_at_once(limit, held, cx),
                    _ => Poll::Pending,
                }
            }
        }
    }
}

/// There is no time. If all that the body awaits is one task, that is cancelled now, as by asyncio's `wait_for`, which does this
/// with everything: the cancel counts as nobody's request, and a cancel of the task that waits here ends the wait and goes no
/// further.
#[cold]
fn cancel_at_once<F: Future>(
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, TimedOut>> {
    let mut output = None;
    let awaited = leaf::the_one_task_awaited_in(|| {
        let future = held.as_mut().as_pin_mut().expect("its body waits");
        output = Some(future.poll(cx));
    });
    if let Some(Poll::Ready(output)) = output {
        limit.leave();
        return Poll::Ready(Ok(output)); // foreign code may go on whenever it is polled
    }
    let (Some(awaited), Some(begun)) = (awaited, limit.begun.get()) else {
        return Poll::Pending;
    };
    limit.phase.set(Phase::CancelledAtOnce);
    drop(begun.timer.take());
    begun.cancelled.get_or_init(|| awaited);
    poll_cancelled_at_once(begun, limit, held, cx, Some(How::Several))
}

/// It waits for what it has cancelled.
#[cold]
fn cancelled_at_once<F: Future>(
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, TimedOut>> {
    let begun = limit.begun.get().expect("its body waits");
    match leaf::visit(&begun.told, cx, || "a cancelled task".to_owned()) {
        Visit::Go => poll_cancelled_at_once(begun, limit, held, cx, None),
        Visit::Wait => Poll::Pending,
        Visit::Interrupted(_) => {
            held.set(None);
            limit.phase.set(Phase::Passed);
            leaf::comes_out(cx);
            Poll::Pending
        }
    }
}

fn poll_cancelled_at_once<F: Future>(
    begun: &Begun,
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
    how: Option<How>,
) -> Poll<Result<F::Output, TimedOut>> {
    let engine = current::running().expect("a task is polled by a loop");
    let mut future = held.as_mut().as_pin_mut().expect("its body waits");
    let waker = cx.waker();
    match begun.scope.poll(&engine, how, waker, || future.as_mut().poll(cx)) {
        Seen::Pending => {
            // A cancel is to come here, and not to go on to that task.
            begun.cancelled.get().iter().for_each(|cancelled| {
                leaf::with_current(|current| current.stops_awaiting(cancelled));
            });
            Poll::Pending
        }
        Seen::Ready(output) => {
            limit.phase.set(Phase::Left);
            Poll::Ready(Ok(output))
        }
        Seen::CameOut => {
            held.set(None);
            limit.phase.set(Phase::Left);
            engine.catches();
            Poll::Ready(Err(TimedOut))
        }
    }
}

#[inline(never)]
fn poll_again<F: Future>(
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, TimedOut>> {
    let Some(mut future) = held.as_mut().as_pin_mut() else {
        assert!(limit.phase.get() == Phase::Passed, "a time limit was polled after its end");
        leaf::comes_out(cx); // the cancel has gone on from here, and does so again
        return Poll::Pending;
    };
    if limit.phase.get() == Phase::CancelledAtOnce {
        return cancelled_at_once(limit, held, cx);
    }
    assert!(limit.phase.get() == Phase::Running, "a time limit was polled after its end");
    let engine = current::running();
    let (Some(begun), Some(engine)) = (limit.begun.get(), engine) else {
        return future.poll(cx).map(Ok);
    };
    limit.comes_to_this_task(begun);
    limit.expire(begun);
    if !limit.expired.get() {
        return match future.poll(cx) {
            Poll::Ready(output) => {
                limit.leave();
                Poll::Ready(Ok(output))
            }
            Poll::Pending => {
                limit.see(cx);
                Poll::Pending
            }
        };
    }
    if engine.is_interrupting_one() {
        limit.to_deliver.set(false); // another cancel comes by at this moment: as in asyncio the two are one
    }
    let how = (engine.may_deliver() && limit.to_deliver.take()).then_some(How::Several);
    let waker = cx.waker();
    let seen = {
        engine.under_one_that_asks(|| {
            begun.scope.poll(&engine, how, waker, || future.as_mut().poll(cx))
        })
    };
    match seen {
        Seen::Ready(output) => {
            limit.leave(); // its cancel came too late to stop anything, or was swallowed
            Poll::Ready(Ok(output))
        }
        Seen::Pending => {
            limit.see(cx);
            if limit.to_deliver.get() {
                cx.waker().wake_by_ref(); // another cancel was being delivered; its own comes next
            }
            Poll::Pending
        }
        Seen::CameOut => {
            held.set(None);
            if limit.leave() {
                engine.catches();
                return Poll::Ready(Err(TimedOut));
            }
            limit.phase.set(Phase::Passed); // something else's cancel as well
            leaf::comes_out(cx);
            Poll::Pending
        }
    }
}
