//! **Waiting in line**: the one way in which everything in this directory waits.
//!
//! A primitive owns some [`Waiters`] and says, as an [`Owner`], what is to be done when somebody gives up. The future
//! [`Wait`] joins the line when it is first polled and is ready when it has been called.
//!
//! The rule under which no wake-up is ever lost: *whoever is called either goes on, or hands on.* A `Wait` that was
//! called and is dropped before it could go on (its task was cancelled, or it lost a `select!`) tells its owner, who
//! calls the next.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::engine::foreign::KeptWaker;
use crate::engine::leaf::{self, Told, Visit};
use crate::engine::waitlist::{Left, WaitKey, WaitList};
use crate::engine::waker::any_is_cancelled;

/// A line of waiters.
#[derive(Default)]
pub(super) struct Waiters {
    line: RefCell<WaitList<KeptWaker>>,
}

impl Waiters {
    /// Calls the first in the line. False if nobody is there.
    #[inline]
    pub(super) fn call_first(&self) -> bool {
        self.in_line() > 0 && self.call_the_first()
    }

    fn call_the_first(&self) -> bool {
        let waker = self.line.borrow_mut().call();
        let called = waker.is_some();
        if let Some(waker) = waker {
            waker.wake(); // after the borrow: a foreign waker may run anything
        }
        called
    }

    /// Calls the first in the line, unless it is cancelled already: that one hands on when it runs. False if none is called.
    #[inline]
    pub(super) fn call_first_if_uncancelled(&self) -> bool {
        self.in_line() > 0
            && !(any_is_cancelled() && self.first_is_cancelled())
            && self.call_the_first()
    }

    #[cold]
    fn first_is_cancelled(&self) -> bool {
        self.line.borrow().iter().next().is_some_and(KeptWaker::is_cancelled)
    }

    /// Calls the first in the line that is not cancelled already. False if none is called.
    #[inline]
    pub(super) fn call_first_uncancelled(&self) -> bool {
        if any_is_cancelled() { self.call_one_behind_cancelled() } else { self.call_first() }
    }

    /// Calls the first in the line that is not cancelled already; if there is none, the first: it hands on what it cannot use.
    /// False if nobody is there.
    #[inline]
    pub(super) fn call_one(&self) -> bool {
        self.in_line() > 0
            && (any_is_cancelled() && self.call_one_behind_cancelled() || self.call_the_first())
    }

    #[cold]
    fn call_one_behind_cancelled(&self) -> bool {
        let waker = self.line.borrow_mut().call_where(|waker| !waker.is_cancelled());
        waker.map(KeptWaker::wake).is_some()
    }

    /// Whether all of them are cancelled, and only have not run yet. One that was called before is not.
    #[cold]
    pub(super) fn all_are_cancelled(&self) -> bool {
        let line = self.line.borrow();
        line.called() == 0 && line.iter().all(KeptWaker::is_cancelled)
    }

    /// Whether one has been called and has not gone on.
    pub(super) fn one_is_called(&self) -> bool {
        self.line.borrow().called() > 0
    }

    /// Calls everybody who is in the line now.
    pub(super) fn call_all(&self) {
        for _ in 0..self.in_line() {
            self.call_first();
        }
    }

    /// How many wait and have not been called.
    pub(super) fn in_line(&self) -> usize {
        self.line.borrow().in_line()
    }

    /// Nobody waits, and nobody who was called is still on the way.
    pub(super) fn is_empty(&self) -> bool {
        self.line.borrow().is_empty()
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waiting", self.in_line())
    }
}

/// Whose line it is.
pub(super) trait Owner {
    /// What one waits for here, for the deadlock report.
    fn what(&self) -> &'static str;

    /// Somebody has left without going on; `called` says whether it was its turn.
    fn gave_up(&self, called: bool);

    /// Whether the first in the line could go on, although it has not been called: it was cancelled then, but its task has caught
    /// the cancel elsewhere.
    fn is_open(&self) -> bool {
        false
    }

    /// Calls the first in the line, if it [is open](Owner::is_open).
    fn call_on(&self) {}
}

/// Waits in line until called.
#[must_use = "a future does nothing unless awaited"]
pub(super) struct Wait<'a, O: Owner> {
    waiters: &'a Waiters,
    owner: &'a O,
    key: Option<WaitKey>,
    told: Told,
}

impl<'a, O: Owner> Wait<'a, O> {
    pub(super) fn new(waiters: &'a Waiters, owner: &'a O) -> Wait<'a, O> {
        Wait { waiters, owner, key: None, told: Told::default() }
    }
}

impl<O: Owner> Future for Wait<'_, O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !leaf::is_quiet() && self.is_interrupted(cx) {
            return Poll::Pending;
        }
        let Some(key) = self.key else {
            return self.join(cx);
        };
        if self.waiters.line.borrow_mut().leave_if_called(key) {
            self.key = None;
            return Poll::Ready(());
        }
        self.wait_on(key, cx)
    }
}

impl<O: Owner> Wait<'_, O> {
    #[inline]
    fn join(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let Some(waker) = KeptWaker::of_ours(cx.waker()) {
            self.key = Some(self.waiters.line.borrow_mut().join(waker));
            leaf::waits();
            return Poll::Pending;
        }
        // It is in the line before a foreign waker is cloned, which may call it.
        let key = self.waiters.line.borrow_mut().join(KeptWaker::of_nothing());
        self.key = Some(key);
        self.wait_with(key, cx)
    }

    /// Whether a cancel keeps it from going on. One that is interrupted leaves the line at once, and not when it is dropped: until
    /// then something else in the task may be cleaning up.
    #[cold]
    fn is_interrupted(&mut self, cx: &Context<'_>) -> bool {
        match leaf::visit(&self.told, cx, || self.owner.what().to_owned()) {
            Visit::Go => return false,
            Visit::Wait => {}
            Visit::Interrupted(_) => {
                self.leave();
                leaf::comes_out(cx);
            }
        }
        true
    }

    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let left = self.waiters.line.borrow_mut().leave(key);
            self.owner.gave_up(matches!(left, Some(Left::Called)));
            drop(left);
        }
    }

    /// It is polled and has not been called.
    #[inline(never)]
    fn wait_on(&mut self, key: WaitKey, cx: &Context<'_>) -> Poll<()> {
        // With this waker first: by another one it may count as cancelled, and not be called.
        if !self.is_in_line_with(key, cx.waker()) && !self.stays_with(key, cx) {
            return Poll::Ready(());
        }
        if self.owner.is_open() {
            self.owner.call_on();
            if self.waiters.line.borrow_mut().leave_if_called(key) {
                self.key = None;
                return Poll::Ready(());
            }
        }
        leaf::waits();
        Poll::Pending
    }

    fn is_in_line_with(&self, key: WaitKey, waker: &Waker) -> bool {
        let mut line = self.waiters.line.borrow_mut();
        line.get_mut(key).is_some_and(|kept| kept.will_wake(waker))
    }

    /// Puts another waker in its place in the line, unless it is called meanwhile.
    #[inline(never)]
    fn wait_with(&mut self, key: WaitKey, cx: &Context<'_>) -> Poll<()> {
        if !self.stays_with(key, cx) {
            return Poll::Ready(());
        }
        leaf::waits();
        Poll::Pending
    }

    /// Is in the line with this waker from here on; false if it was called meanwhile, and has left.
    fn stays_with(&mut self, key: WaitKey, cx: &Context<'_>) -> bool {
        let waker = KeptWaker::of(cx.waker()); // outside the borrow: it may run anything
        let mut line = self.waiters.line.borrow_mut();
        if let Some(place) = line.get_mut(key) {
            let old = std::mem::replace(place, waker);
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
