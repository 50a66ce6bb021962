//! The future that waits in a line.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Waiters;
use crate::delivery::{Told, Visit, checkpoint};
use crate::kept_waker::KeptWaker;
use crate::object::Line;
use crate::wait_list::{Left, WaitKey};

/// The primitive that owns a line.
pub(crate) trait Owner {
    fn waiters(&self) -> &Waiters;

    /// The line of these waiters, which a waiter joins now; the state of the primitive has been noted there.
    fn line(&self) -> &Line;

    /// A waiter has joined the line, and has this key until it leaves.
    #[inline]
    fn joined(&self, _key: WaitKey) {}

    /// A waiter has left without going on; `called` says whether it had been called.
    fn gave_up(&self, _called: bool) {}

    /// Whether the first waiter could go on, although it has not been called.
    fn is_available(&self) -> bool {
        false
    }

    /// Calls the waiters that can go on, if it [is available](Owner::is_available).
    fn hand_out(&self) {}
}

/// Waits in line until it is called. It borrows the owner, or shares it.
#[must_use = "a future does nothing unless awaited"]
pub(crate) struct Wait<P: Deref<Target: Owner>> {
    owner: P,
    key: Option<WaitKey>,
    told: Told,
}

impl<P: Deref<Target: Owner>> Wait<P> {
    pub(crate) fn new(owner: P) -> Wait<P> {
        Wait { owner, key: None, told: Told::default() }
    }
}

impl<P: Deref<Target: Owner>> Unpin for Wait<P> {}

impl<P: Deref<Target: Owner>> Future for Wait<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if checkpoint::is_plain() { self.poll_on(cx) } else { self.poll_slow_path(cx) }
    }
}

impl<P: Deref<Target: Owner>> Wait<P> {
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
            self.owner.waiters().watch(); // it may have learnt before the tracing that the loop does not watch
            self.owner.line().tell_wait();
        }
        polled
    }

    #[allow(clippy::inline_always)] // into the usual path too
    #[inline(always)]
    fn poll_on(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(key) = self.key else {
            return self.join(cx);
        };
        if self.owner.waiters().leave_if_called(key) {
            self.key = None;
            return Poll::Ready(());
        }
        self.poll_uncalled(key, cx)
    }

    #[inline(never)] // keeps the poll of a primitive that is free short
    fn join(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(waker) = KeptWaker::of_ours(cx.waker()) else { return self.join_foreign(cx) };
        let key = self.owner.waiters().join(self.owner.line(), waker);
        self.key = Some(key);
        self.owner.joined(key);
        checkpoint::waits();
        Poll::Pending
    }

    #[inline(never)]
    fn join_foreign(&mut self, cx: &Context<'_>) -> Poll<()> {
        // Join first: cloning a foreign waker may run any code, which may call this waiter.
        let key = self.owner.waiters().join(self.owner.line(), KeptWaker::of_nothing());
        self.key = Some(key);
        self.owner.joined(key);
        if !self.replace_waker(key, cx) {
            return Poll::Ready(());
        }
        checkpoint::waits();
        Poll::Pending
    }

    /// Whether a cancel keeps it from going on. An interrupted waiter leaves the line now and not when it is dropped: the task may
    /// run its clean-up before that.
    #[cold]
    fn is_interrupted(&mut self, cx: &Context<'_>) -> bool {
        match checkpoint::visit(&self.told, cx) {
            Visit::Go => return false,
            Visit::Wait => {}
            Visit::Interrupted(_) => {
                self.leave();
                checkpoint::comes_out(cx);
            }
        }
        true
    }

    #[inline(never)]
    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let left = self.owner.waiters().leave(key);
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
        if !self.owner.waiters().has_waker(key, cx.waker()) && !self.replace_waker(key, cx) {
            return Poll::Ready(());
        }
        // A cancelled waiter is passed over. Its task may have caught that cancel and still wait here: then no other call may come.
        if self.owner.is_available() {
            self.owner.hand_out();
            if self.owner.waiters().leave_if_called(key) {
                self.key = None;
                return Poll::Ready(());
            }
        }
        checkpoint::waits();
        Poll::Pending
    }

    /// Replaces its waker in the line. False if it was called meanwhile; then it has left.
    fn replace_waker(&mut self, key: WaitKey, cx: &Context<'_>) -> bool {
        let waker = KeptWaker::of(cx.waker()); // a foreign waker may run any code, and that may call this waiter
        let is_in_line = self.owner.waiters().replace_waker(key, waker);
        if !is_in_line {
            self.key = None;
        }
        is_in_line
    }
}

impl<P: Deref<Target: Owner>> Drop for Wait<P> {
    #[inline]
    fn drop(&mut self) {
        if self.key.is_some() {
            self.leave();
        }
    }
}
