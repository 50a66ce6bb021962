//! The hand-written futures that the benchmarks' tasks are made of. They store and wake wakers, and do nothing else.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};

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

/// A place where many tasks wait for the next opening.
#[derive(Default)]
pub(crate) struct Gate {
    openings: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Gate {
    /// Wakes every future that waits now.
    pub(crate) fn open(&self) {
        self.openings.set(self.openings.get() + 1);
        // Drained, not taken: the list keeps its capacity, so openings after the first allocate nothing.
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

/// Yields as any future would: by its own waker. (The crate's `yield_now` takes a shorter path.)
pub(crate) fn wake_self() -> impl Future<Output = ()> {
    let mut woken = false;
    poll_fn(move |context| {
        if woken {
            return Poll::Ready(());
        }
        woken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Polls `future` once and drops it. Returns whether it was ready.
pub(crate) async fn poll_once(future: impl Future) -> bool {
    let mut future = pin!(future);
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}
