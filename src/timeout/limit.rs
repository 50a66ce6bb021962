//! **One time limit**: its phases, its cancel request, and the frame that catches its cancel.
//!
//! ```text
//!  Created ─ first poll ─▶ Running ─┬─ the body ends, or the limit is dropped ─────────────────────▶ Left
//!                                   ├─ only this limit's cancel comes out of the body: `TimedOut` ─▶ Left
//!                                   ├─ a cancel comes out, and other requests are left ────────────▶ Passed
//!                                   └─ zero, around one task ─▶ CancelledAtOnce ─┬─ the body ends ─▶ Left
//!                                                                                └─ cancelled ─────▶ Passed
//! ```
//!
//! The timer only wakes the task that polls the limit. A poll in `Running` then finds that the timer has fired, counts a cancel
//! request of the task, and delivers a cancel to the body (how: see `delivery`). So the end of the time is seen in two steps:
//!
//! - `has_fired`: the timer has fired; the limit may not have been polled since.
//! - `expired`: a poll has found that and counted the request, or the body has ended after its time. Never unset.
//! - `is_up`: either of the two. It is what `Deadline` reports.

use std::borrow::Borrow;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::Future;
use std::mem::forget;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::at_once::{cancel_at_once, cancelled_at_once};
use crate::base::id::TaskId;
use crate::base::instant::Instant;
use crate::base::panic::OnPanic;
use crate::catch::Frame;
use crate::delivery::{Told, checkpoint};
use crate::engine::Engine;
use crate::error::{DeadlineOver, TimedOut};
use crate::kept_waker::KeptWaker;
use crate::kernel::current::{self, with_current_loop};
use crate::kernel::record::{Flag, RecordRef};
use crate::open_limits::NOT_OPEN;
use crate::reason::LimitKind;
use crate::scope::{How, Scope, Seen};
use crate::sleep::Timer;
use crate::task::running_loop;
use crate::time::{TimerAction, TimerKey};

#[derive(Clone, Copy)]
pub(crate) enum Until {
    After(Duration),
    Moment(Instant),
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// Not polled yet.
    Created,
    Running,
    /// The limit was zero, and the task that the body awaits has been cancelled.
    CancelledAtOnce,
    /// A cancel that is not this limit's alone has come out, and goes on. The body is dropped.
    Passed,
    /// The body has ended, or was dropped.
    Left,
}

/// One time limit. With the line first, the compiler builds it in place, and does not copy it.
#[repr(C)]
pub(crate) struct Limit {
    /// The line of the call that created it.
    pub(super) created_at: &'static Location<'static>,
    pub(super) until: Option<Until>,
    pub(crate) phase: Cell<Phase>,
    /// Whether `until` still counts, and how it is told.
    pub(crate) kind: Cell<LimitKind>,
    /// Set by `expire`, which counts a cancel request of the task; and by `leave`, if the body has ended after its time.
    pub(crate) expired: Cell<bool>,
    /// The cancel has not been delivered to the body yet.
    pub(crate) to_deliver: Cell<bool>,
    /// How many cancel requests the task had on entry.
    pub(crate) requests_before: Cell<u32>,
    /// The index of the open limit, in the first poll; see `open_limits.rs`. [`NOT_OPEN`] at other times.
    open: Cell<u32>,
    /// Empty for most limits: their body is ready at once.
    pub(crate) begun: OnceCell<Begun>,
}

/// The rest of a limit, if its body waits, it ends at a moment, or it was moved.
pub(crate) struct Begun {
    /// The task that polled the limit last. Empty when the limit is left.
    pub(crate) task: RefCell<Option<RecordRef>>,
    pub(super) when: Cell<Option<Instant>>,
    pub(super) timer: RefCell<Option<Timer>>,
    /// The waker of the last poll, if it is foreign. A set of futures polls only what was woken, so the timer must wake this one.
    foreign_waker: RefCell<Option<KeptWaker>>,
    pub(super) scope: Scope,
    /// For [`cancel_at_once`]: the task that was cancelled.
    pub(super) cancelled: OnceCell<RecordRef>,
    /// For [`cancelled_at_once`], which is a checkpoint.
    pub(super) told: Told,
}

impl Begun {
    /// In the task that is being polled.
    fn in_current_task() -> Begun {
        Begun {
            task: RefCell::new(current::task()),
            when: Cell::new(None),
            timer: RefCell::default(),
            foreign_waker: RefCell::default(),
            scope: Scope::default(),
            cancelled: OnceCell::new(),
            told: Told::default(),
        }
    }

    #[inline]
    pub(crate) fn has_fired(&self) -> bool {
        self.timer.borrow().as_ref().is_some_and(Timer::has_fired)
    }

    /// Sets the timer anew: for this moment, this task, this waker.
    fn arm(&self, when: Option<Instant>) {
        self.when.set(when);
        let task = self.task.borrow().clone();
        let foreign_waker = self.foreign_waker.borrow().clone();
        let timer = when.zip(task).map(|(when, task)| {
            let action = match foreign_waker {
                Some(KeptWaker::Foreign(waker)) => task.owner.action_for(waker.waker()),
                _ => TimerAction::poll_scope(task.id),
            };
            Timer::set(task.owner.clone(), when, action, true)
        });
        drop(self.timer.replace(timer)); // after the borrow: it may drop a foreign waker
    }
}

impl Limit {
    #[inline]
    pub(crate) fn new(until: Option<Until>, created_at: &'static Location<'static>) -> Limit {
        Limit {
            created_at,
            until,
            phase: Cell::new(Phase::Created),
            kind: Cell::new(LimitKind::AsGiven),
            expired: Cell::new(false),
            to_deliver: Cell::new(false),
            requests_before: Cell::new(0),
            open: Cell::new(NOT_OPEN),
            begun: OnceCell::new(),
        }
    }

    /// The first poll begins. Returns the index of the open limit; [`NOT_OPEN`] if it lasts until a moment, or for ever.
    #[inline]
    fn enter(&self) -> u32 {
        let index = with_current_loop(|engine| {
            let requests = engine.current.with(RecordRef::requests_but_of_scopes_beside)?;
            self.requests_before.set(requests);
            self.phase.set(Phase::Running);
            let Some(Until::After(time)) = self.until else { return Some(NOT_OPEN) };
            Some(engine.open_limit(time))
        });
        match index.flatten() {
            None => self.is_misused(
                "outside a task",
                "await it in a task of a loop, which `loopwheel::run` and `EventLoop::drive` run",
            ),
            Some(NOT_OPEN) => self.arm_at_once(),
            Some(index) => self.open.set(index),
        }
        self.open.get()
    }

    #[cold]
    fn arm_at_once(&self) {
        let Some(Until::Moment(when)) = self.until else { return self.arm(None) };
        self.arm(Some(when));
    }

    /// The first poll has ended. If the body waits, the time begins now at the latest.
    #[inline]
    fn close(&self, index: u32, body_waits: bool) {
        if index == NOT_OPEN {
            return;
        }
        if body_waits {
            with_current_loop(Engine::begin_limits); // while it is open: a host's clock may panic
        }
        self.open.set(NOT_OPEN);
        let begun = with_current_loop(|engine| engine.close_limit(index)).flatten();
        if let Some((when, timer)) = begun {
            self.close_begun(when, timer, body_waits);
        }
    }

    #[inline(never)]
    fn close_begun(&self, when: Instant, timer: TimerKey, body_waits: bool) {
        let timer = Timer::of(running_loop(), timer); // dropped, and so unset, if it is not needed
        if body_waits && self.kind.get() != LimitKind::Moved {
            let begun = self.begun.get_or_init(Begun::in_current_task);
            begun.when.set(Some(when));
            begun.timer.replace(Some(timer));
        }
    }

    pub(super) fn when(&self) -> Option<Instant> {
        match self.begun.get() {
            Some(begun) => begun.when.get(),
            None => {
                with_current_loop(|engine| engine.deadline_of_open_limit(self.open.get())).flatten()
            }
        }
    }

    /// Sets the timer. A limit without a `Begun` is in its first poll, so its task is the current one.
    fn arm(&self, when: Option<Instant>) {
        self.begun.get_or_init(Begun::in_current_task).arm(when);
    }

    /// The body waits: the timer must wake the waker of this poll.
    #[inline]
    fn keep_waker(&self, cx: &Context<'_>) {
        let Some(begun) = self.begun.get() else { return };
        // A timer polls the limit's task, unless there is a foreign waker to wake.
        if TaskId::of(cx.waker()).is_none() || begun.foreign_waker.borrow().is_some() {
            self.replace_foreign_waker(begun, cx);
        }
    }

    /// The waker is foreign, or the last one was.
    #[inline(never)]
    fn replace_foreign_waker(&self, begun: &Begun, cx: &Context<'_>) {
        if KeptWaker::replace_foreign_in(&begun.foreign_waker, cx.waker()) {
            self.rearm_if_running(begun);
        }
    }

    /// A timer that has not fired is set anew, for the task and the waker that changed.
    fn rearm_if_running(&self, begun: &Begun) {
        if !self.expired.get() && !begun.has_fired() {
            begun.arm(begun.when.get());
        }
    }

    /// If another task polls the limit than before, the limit's request and its timer move to that task.
    fn move_to_current_task(&self, begun: &Begun) {
        let is_same = current::with_task(|current| begun.task.borrow().as_ref() == Some(current));
        if is_same == Some(true) {
            return;
        }
        let task = current::task();
        let before = begun.task.replace(task.clone());
        if self.expired.get() {
            before.iter().for_each(RecordRef::uncancel_of_scope);
            task.as_ref().inspect(|task| self.request_cancel(task));
        }
        // Requests that the new task has already are older than this limit's: `leave` compares with them.
        task.as_ref().inspect(|task| self.requests_before.set(task.requests_of_no_scope()));
        drop(before);
        self.rearm_if_running(begun);
    }

    /// If the timer has fired, counts the cancel request: its delivery is due from now on.
    #[inline]
    fn expire(&self, begun: &Begun) {
        if !self.expired.get() && begun.has_fired() {
            self.expire_now(begun);
        }
    }

    #[cold]
    pub(super) fn expire_now(&self, begun: &Begun) {
        self.expired.set(true);
        self.to_deliver.set(true);
        begun.task.borrow().iter().for_each(|task| self.request_cancel(task));
    }

    fn request_cancel(&self, task: &RecordRef) {
        task.count_cancel_of_scope(&self.reason(task));
    }

    /// Whether the time is up, polled since or not.
    pub(crate) fn is_up(&self) -> bool {
        self.expired.get() || self.begun.get().is_some_and(Begun::has_fired)
    }

    pub(super) fn reschedule(&self, when: Option<Instant>) -> Result<(), DeadlineOver> {
        let is_up = self.is_up();
        if self.phase.get() != Phase::Running || is_up {
            return Err(DeadlineOver { expired: is_up });
        }
        self.kind.set(LimitKind::Moved);
        self.arm(when);
        Ok(())
    }

    /// The body has ended or is being dropped. True if a cancel that came out of it is this limit's alone.
    #[inline]
    pub(super) fn leave(&self) -> bool {
        let phase = self.phase.replace(Phase::Left);
        self.begun.get().is_some_and(|begun| phase == Phase::Running && self.leave_begun(begun))
    }

    fn leave_begun(&self, begun: &Begun) -> bool {
        let fired_unseen = begun.has_fired() && !self.expired.get();
        drop(begun.timer.take());
        drop(begun.foreign_waker.take());
        let task = begun.task.take();
        if fired_unseen {
            self.expired.set(true); // no poll has seen that, so no request was counted
            return false;
        }
        // Take the request back. If the task has no more requests than on entry, this limit's was the only new one.
        match task {
            Some(task) if self.expired.get() && !task.has(Flag::DONE) => {
                task.uncancel_of_scope();
                task.requests_but_of_scopes_beside() <= self.requests_before.get()
            }
            _ => false,
        }
    }
}

/// The frame of a time limit. It owns the `Limit`, or shares it with the body's `Deadline`s.
///
/// The frame of `wait_for` `CANCELS_AT_ZERO`: with a limit of zero it cancels a task at once, see `at_once.rs`.
pub(crate) struct Limited<L: Borrow<Limit>, const CANCELS_AT_ZERO: bool>(pub(crate) L);

impl<L: Borrow<Limit>, const CANCELS_AT_ZERO: bool> Drop for Limited<L, CANCELS_AT_ZERO> {
    fn drop(&mut self) {
        let limit = self.0.borrow();
        if limit.phase.get() == Phase::Running {
            limit.leave(); // takes the request back: the limit was dropped hard
        }
    }
}

impl<F: Future, L: Borrow<Limit>, const CANCELS_AT_ZERO: bool> Frame<F>
    for Limited<L, CANCELS_AT_ZERO>
{
    type Output = Result<F::Output, TimedOut>;

    #[inline]
    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let limit: &Limit = self.0.borrow();
        if limit.phase.get() != Phase::Created {
            return poll_again(limit, held, cx);
        }
        let mut future = held.as_mut().as_pin_mut().expect("it was not polled");
        let index = limit.enter();
        let on_panic = OnPanic(move || limit.close(limit.open.get(), false));
        let polled = future.as_mut().poll(cx);
        limit.close(index, polled.is_pending());
        forget(on_panic);
        match polled {
            Poll::Ready(output) => {
                limit.leave();
                Poll::Ready(Ok(output))
            }
            Poll::Pending => {
                limit.keep_waker(cx);
                if CANCELS_AT_ZERO && matches!(limit.until, Some(Until::After(Duration::ZERO))) {
                    cancel_at_once(limit, held, cx)
                } else {
                    Poll::Pending
                }
            }
        }
    }
}

/// Every poll after the first.
#[inline(never)]
pub(super) fn poll_again<F: Future>(
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, TimedOut>> {
    // The body is gone, and its cancel went on from here. A combinator polls all the same, so the cancel goes on once more.
    let Some(mut future) = held.as_mut().as_pin_mut() else {
        if limit.phase.get() != Phase::Passed {
            limit.is_misused("after its end", "await it once");
        }
        checkpoint::comes_out(cx);
        return Poll::Pending;
    };
    if limit.phase.get() == Phase::CancelledAtOnce {
        return cancelled_at_once(limit, held, cx);
    }
    if limit.phase.get() != Phase::Running {
        limit.is_misused("after its end", "await it once");
    }
    // Without a loop there is no time, and no cancel to deliver.
    let (Some(begun), Some(engine)) = (limit.begun.get(), current::running()) else {
        return future.poll(cx).map(Ok);
    };
    // The request counts in the task that polls the body, so the limit must be in that task first.
    limit.move_to_current_task(begun);
    // Count it before the body is polled: limits and groups in the body compare the task's requests.
    limit.expire(begun);
    // There is time left: the body runs without a scope, so that a cancel from outside passes the limit.
    if !limit.expired.get() {
        return match future.poll(cx) {
            Poll::Ready(output) => {
                limit.leave();
                Poll::Ready(Ok(output))
            }
            Poll::Pending => {
                limit.keep_waker(cx);
                Poll::Pending
            }
        };
    }
    // The task itself is cancelled in this very poll, and awaits one thing, in this body. As in asyncio the two cancels are one.
    if engine.is_interrupting_one() {
        limit.to_deliver.set(false);
    }
    // Start the delivery, once, if the engine can start one in this poll; else it stays due.
    let how = (engine.may_deliver() && limit.to_deliver.take()).then_some(How::Several);
    let waker = cx.waker();
    // For scopes in the body, a request of this limit around them counts; one of a limit beside them would not.
    let seen = engine
        .under_one_that_asks(|| begun.scope.poll(&engine, how, waker, || future.as_mut().poll(cx)));
    match seen {
        // The body returned in spite of the cancel: it came too late, or was swallowed. Its value counts.
        Seen::Ready(output) => {
            limit.leave();
            Poll::Ready(Ok(output))
        }
        // The body cleans up; or the delivery could not start, and is due in the next poll.
        Seen::Pending => {
            limit.keep_waker(cx);
            if limit.to_deliver.get() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }
        // A cancel came out, and nothing in the body is alive any more. The limit's own cancel ends here; another one goes on.
        Seen::CameOut => {
            held.set(None);
            if limit.leave() {
                engine.catches("a time limit");
                return Poll::Ready(Err(TimedOut));
            }
            limit.phase.set(Phase::Passed);
            checkpoint::comes_out(cx);
            Poll::Pending
        }
    }
}
