//! Bare work: what futures cost without an executor. They are boxed in a `Vec`, and polled in turn. Nothing can be faster. An
//! executor that is slower adds the difference itself.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::common::parts::wake_self;

/// Holds a future as an executor has to: on the heap, with its type erased.
pub(crate) type Boxed = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) fn boxed<F: Future<Output = ()> + 'static>(
    size: usize,
    future: fn() -> F,
) -> Vec<Boxed> {
    (0..size).map(|_| Box::pin(future()) as Boxed).collect()
}

/// Polls each in turn.
pub(crate) fn poll_all(futures: &mut [Boxed], are_ready: bool) {
    let mut context = Context::from_waker(Waker::noop());
    for future in futures {
        assert_eq!(future.as_mut().poll(&mut context).is_ready(), are_ready);
    }
}

/// Makes futures that yield once, polls them twice, and drops them.
pub(crate) fn made_and_run(size: usize) -> Duration {
    let begun = Instant::now();
    let mut futures = boxed(size, wake_self);
    poll_all(&mut futures, false);
    poll_all(&mut futures, true);
    drop(futures);
    begun.elapsed()
}

/// Polls them once and drops them. Only the drop is timed.
pub(crate) fn dropped(size: usize) -> Duration {
    let mut futures = boxed(size, wake_self);
    poll_all(&mut futures, false);
    let begun = Instant::now();
    drop(futures);
    begun.elapsed()
}
