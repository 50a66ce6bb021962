//! The futures that the task bodies are made of: by hand, and so the same on every executor.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Gives way to the other tasks once. Executors have such a thing of their own, but not the same one: some park the task
/// on a list of deferred wakes, some count it against a budget.
#[derive(Default)]
pub(crate) struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

pub(crate) fn yield_now() -> Yield {
    Yield::default()
}

/// Waits for ever, as a task waits: its waker is kept. (Some executors free a task that nothing can wake.)
#[derive(Default)]
pub(crate) struct WaitForEver {
    waker: Option<Waker>,
}

impl Future for WaitForEver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// A place where one task leaves a token for one other.
#[derive(Default)]
pub(crate) struct Baton {
    here: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Baton {
    pub(crate) fn leave(&self) {
        self.here.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn take(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            if self.here.replace(false) {
                return Poll::Ready(());
            }
            self.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
    }
}

/// Where many tasks wait for the next opening.
#[derive(Default)]
pub(crate) struct Gate {
    openings: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

impl Gate {
    /// Wakes every future that waits now.
    pub(crate) fn open(&self) {
        self.openings.set(self.openings.get() + 1);
        // Drained, not taken: the list keeps its capacity, so the storms after the first allocate nothing.
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    pub(crate) fn pass(&self) -> impl Future<Output = ()> + '_ {
        let seen = self.openings.get();
        poll_fn(move |context| {
            if self.openings.get() != seen {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
    }
}

/// Counts those who arrive, and tells one task when the last of them has. (A task that yielded until then would do on most
/// executors, and starve the others on one.)
#[derive(Default)]
pub(crate) struct Muster {
    missing: Cell<usize>,
    complete: Baton,
}

impl Muster {
    pub(crate) fn expect(&self, all: usize) {
        self.missing.set(all);
    }

    pub(crate) fn arrive(&self) {
        self.missing.set(self.missing.get() - 1);
        if self.missing.get() == 0 {
            self.complete.leave();
        }
    }

    pub(crate) fn complete(&self) -> impl Future<Output = ()> + '_ {
        self.complete.take()
    }
}
