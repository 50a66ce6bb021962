//! Bare work: what futures cost without an executor. They are boxed in a `Vec`, and are polled in turn. Nothing can be
//! faster; what one is slower by is its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::common::parts::wake_self;

/// As an executor has to hold a future: on the heap, its type forgotten.
pub(crate) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) fn boxed<F: Future<Output = ()> + 'static>(
    size: usize,
    future: fn() -> F,
) -> Vec<Boxed> {
    (0..size).map(|_| Box::pin(future()) as Boxed).collect()
}

/// Polls each, in turn.
pub(crate) fn poll_all(futures: &mut [Boxed], are_ready: bool) {
    let mut context = Context::from_waker(Waker::noop());
    for future in futures {
        assert_eq!(future.as_mut().poll(&mut context).is_ready(), are_ready);
    }
}

/// Futures that yield once are made, polled twice, and dropped.
pub(crate) fn made_and_run(size: usize) -> Duration {
    let begun = Instant::now();
    let mut futures = boxed(size, wake_self);
    poll_all(&mut futures, false);
    poll_all(&mut futures, true);
    drop(futures);
    begun.elapsed()
}

/// They are polled once and dropped; timed is that they are dropped.
pub(crate) fn dropped(size: usize) -> Duration {
    let mut futures = boxed(size, wake_self);
    poll_all(&mut futures, false);
    let begun = Instant::now();
    drop(futures);
    begun.elapsed()
}
