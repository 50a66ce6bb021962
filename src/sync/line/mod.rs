//! **Waiting in line**: how every primitive of `sync` waits.
//!
//! A primitive could keep a queue of wakers and wake the first when something comes free. But the woken task may never use that
//! wake-up: it is cancelled first, or its future loses a `select!`. Then the wake-up is lost, and the other waiters sleep for ever.
//!
//! So a waiter that has been *called* (taken out of the line and woken) stays known until it is polled again. The rule: *a called
//! waiter either goes on, or hands the call on.* A [`Wait`] that is cancelled or dropped in between tells its [`Owner`], the
//! primitive, which calls the next waiter. A call passes no value: each primitive decides what a called waiter may take.
//!
//! | file | idea |
//! |---|---|
//! | `lock` | one holder at a time |
//! | `semaphore` | a number of permits |
//! | `event` | all waiters go on at once |
//! | `mod` (this file) | the line, and the future that waits in it |
//!
//! It stands on `wait_list`, `kept_waker` and `delivery`.

mod event;
mod lock;
mod semaphore;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::delivery::{Told, Visit, any_is_interrupted, checkpoint, is_interrupted};
use crate::kept_waker::KeptWaker;
use crate::trace;
use crate::wait_list::{Left, WaitKey, WaitList};

pub use event::Event;
pub use lock::{Lock, LockGuard, NotLocked};
pub use semaphore::{BoundedSemaphore, Permit, ReleasedTooOften, Semaphore};

/// A line of waiters.
#[derive(Default)]
pub(crate) struct Waiters {
    line: RefCell<WaitList<KeptWaker>>,
}

impl Waiters {
    /// Calls the first waiter. False if no waiter is in the line.
    #[inline]
    pub(crate) fn call_first(&self) -> bool {
        self.in_line() > 0 && self.call_first_in_line()
    }

    fn call_first_in_line(&self) -> bool {
        let waker = self.line.borrow_mut().call();
        waker.map(KeptWaker::wake).is_some() // after the borrow: a foreign waker may run any code
    }

    /// Calls the first waiter, unless it is cancelled: then it hands on when it runs. False if no waiter was called.
    #[inline]
    pub(crate) fn call_first_if_uncancelled(&self) -> bool {
        self.in_line() > 0
            && !(any_is_interrupted() && self.first_is_cancelled())
            && self.call_first_in_line()
    }

    #[cold]
    fn first_is_cancelled(&self) -> bool {
        self.line.borrow().iter().next().is_some_and(is_cancelled)
    }

    /// Calls the first waiter that is not cancelled. False if there is none.
    #[inline]
    pub(crate) fn call_first_uncancelled(&self) -> bool {
        if any_is_interrupted() { self.call_one_behind_cancelled() } else { self.call_first() }
    }

    /// Calls the first waiter that is not cancelled; if all are, the first, which hands on when it runs. False if there is none.
    #[inline]
    pub(crate) fn call_one(&self) -> bool {
        self.in_line() > 0
            && (any_is_interrupted() && self.call_one_behind_cancelled()
                || self.call_first_in_line())
    }

    #[cold]
    fn call_one_behind_cancelled(&self) -> bool {
        let waker = self.line.borrow_mut().call_where(|waker| !is_cancelled(waker));
        waker.map(KeptWaker::wake).is_some()
    }

    /// Whether all waiters are cancelled and have not run since. False if one has been called.
    #[cold]
    pub(crate) fn all_are_cancelled(&self) -> bool {
        let line = self.line.borrow();
        line.called() == 0 && line.iter().all(is_cancelled)
    }

    /// Whether a called waiter has not gone on yet.
    pub(crate) fn one_is_called(&self) -> bool {
        self.line.borrow().called() > 0
    }

    /// Calls every waiter that is in the line now.
    pub(crate) fn call_all(&self) {
        for _ in 0..self.in_line() {
            self.call_first();
        }
    }

    /// The number of waiters that have not been called.
    pub(crate) fn in_line(&self) -> usize {
        self.line.borrow().in_line()
    }

    /// Whether no waiter is in the line, and every called one has gone on.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.borrow().is_empty()
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.in_line())
    }
}

/// Whether a cancel has interrupted the waiter's task, and the task has not run since.
fn is_cancelled(waker: &KeptWaker) -> bool {
    waker.id().is_some_and(is_interrupted)
}

/// The primitive that owns a line.
pub(crate) trait Owner {
    /// What a waiter waits for, for the deadlock report.
    fn what(&self) -> &'static str;

    /// A waiter has left without going on; `called` says whether it had been called.
    fn gave_up(&self, _called: bool) {}

    /// Whether the first waiter could go on, although it has not been called.
    fn is_available(&self) -> bool {
        false
    }

    /// Calls the waiters that can go on, if it [is available](Owner::is_available).
    fn hand_out(&self) {}
}

/// Waits in line until it is called.
#[must_use = "a future does nothing unless awaited"]
pub(crate) struct Wait<'a, O: Owner> {
    waiters: &'a Waiters,
    owner: &'a O,
    key: Option<WaitKey>,
    told: Told,
}

impl<'a, O: Owner> Wait<'a, O> {
    pub(crate) fn new(waiters: &'a Waiters, owner: &'a O) -> Wait<'a, O> {
        Wait { waiters, owner, key: None, told: Told::default() }
    }
}

impl<O: Owner> Future for Wait<'_, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if checkpoint::is_plain() { self.poll_on(cx) } else { self.poll_slow_path(cx) }
    }
}

impl<O: Owner> Wait<'_, O> {
    /// While a cancel is being delivered, or an observer is told.
    #[cold]
    #[inline(never)]
    fn poll_slow_path(&mut self, cx: &Context<'_>) -> Poll<()> {
        // A cancel comes first: an interrupted waiter hands on instead of going on.
        if self.is_interrupted(cx) {
            return Poll::Pending;
        }
        self.poll_and_tell(cx)
    }

    #[cold]
    #[inline(never)]
    fn poll_and_tell(&mut self, cx: &Context<'_>) -> Poll<()> {
        let polled = self.poll_on(cx);
        if polled.is_pending() {
            checkpoint::tell_wait(trace::Wait::Other { what: self.owner.what() });
        }
        polled
    }

    #[allow(clippy::inline_always)] // into the usual path too
    #[inline(always)]
    fn poll_on(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(key) = self.key else {
            return self.join(cx);
        };
        if self.waiters.line.borrow_mut().leave_if_called(key) {
            self.key = None;
            return Poll::Ready(());
        }
        self.poll_uncalled(key, cx)
    }

    #[allow(clippy::inline_always)] // as `poll_on`
    #[inline(always)]
    fn join(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let Some(waker) = KeptWaker::of_ours(cx.waker()) {
            self.key = Some(self.waiters.line.borrow_mut().join(waker));
            checkpoint::waits();
            return Poll::Pending;
        }
        // Join first: cloning a foreign waker may run any code, which may call this waiter.
        let key = self.waiters.line.borrow_mut().join(KeptWaker::of_nothing());
        self.key = Some(key);
        self.wait_with_waker(key, cx)
    }

    /// Whether a cancel keeps it from going on. An interrupted waiter leaves the line now and not when it is dropped: the task may
    /// run its clean-up before that.
    #[cold]
    fn is_interrupted(&mut self, cx: &Context<'_>) -> bool {
        match checkpoint::visit(&self.told, cx, || self.owner.what().to_owned()) {
            Visit::Go => return false,
            Visit::Wait => {}
            Visit::Interrupted(_) => {
                self.leave();
                checkpoint::comes_out(cx);
            }
        }
        true
    }

    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let left = self.waiters.line.borrow_mut().leave(key);
            self.owner.gave_up(matches!(left, Some(Left::Called)));
            // Called or not, it may have kept the waiters behind it from going on.
            if self.owner.is_available() {
                self.owner.hand_out();
            }
            drop(left); // last: it may drop a foreign waker
        }
    }

    /// It is polled again without having been called.
    #[inline(never)]
    fn poll_uncalled(&mut self, key: WaitKey, cx: &Context<'_>) -> Poll<()> {
        // The waker first: with one of another task this waiter may count as cancelled, and be passed over.
        if !self.has_waker(key, cx.waker()) && !self.replace_waker(key, cx) {
            return Poll::Ready(());
        }
        // A cancelled waiter is passed over. Its task may have caught that cancel and still wait here: then no other call may come.
        if self.owner.is_available() {
            self.owner.hand_out();
            if self.waiters.line.borrow_mut().leave_if_called(key) {
                self.key = None;
                return Poll::Ready(());
            }
        }
        checkpoint::waits();
        Poll::Pending
    }

    fn has_waker(&self, key: WaitKey, waker: &Waker) -> bool {
        let mut line = self.waiters.line.borrow_mut();
        line.get_mut(key).is_some_and(|kept| kept.will_wake(waker))
    }

    /// Waits with this waker from now on, unless it is called meanwhile.
    #[inline(never)]
    fn wait_with_waker(&mut self, key: WaitKey, cx: &Context<'_>) -> Poll<()> {
        if !self.replace_waker(key, cx) {
            return Poll::Ready(());
        }
        checkpoint::waits();
        Poll::Pending
    }

    /// Replaces its waker in the line. False if it was called meanwhile; then it has left.
    fn replace_waker(&mut self, key: WaitKey, cx: &Context<'_>) -> bool {
        let waker = KeptWaker::of(cx.waker()); // outside the borrow: a foreign waker may run any code
        let mut line = self.waiters.line.borrow_mut();
        if let Some(kept) = line.get_mut(key) {
            let old = std::mem::replace(kept, waker);
            drop(line);
            drop(old); // after the borrow, for the same reason
            return true;
        }
        line.leave(key);
        drop(line);
        drop(waker);
        self.key = None;
        false
    }
}

impl<O: Owner> Drop for Wait<'_, O> {
    fn drop(&mut self) {
        self.leave();
    }
}
