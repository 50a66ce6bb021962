//! Keeping a cancel from a task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::engine::leaf;

/// Awaits a task without passing a cancel on to it.
///
/// If the awaiting task is cancelled, only the wait ends; the shielded task goes on. Give it the handle, and it is
/// detached then; give it `&mut task` or a [`SharedTask`](crate::SharedTask), and it can be awaited later. A plain
/// future has to become a task first, or nobody would run it: `shield(create_task(future))`.
///
/// # Cancellation
/// Only the wait is lost.
///
/// # Errors
/// Those of the task. If it is cancelled itself: `Err(TaskError::Cancelled)`.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{create_task, shield, sleep, wait_for};
///
/// let mut save = create_task(async {
///     sleep(Duration::from_secs(2)).await;
///     "saved"
/// });
/// assert!(wait_for(shield(&mut save), Duration::from_secs(1)).await.is_err());
/// assert_eq!(save.await, Ok("saved")); // it went on
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.shield(aw)`, which makes a task of a coroutine by itself.
pub fn shield<H: TaskHandle>(task: H) -> impl Future<Output = H::Output> {
    Shield { task }
}

/// A handle to a task that can be awaited: [`Task`](crate::Task), [`SharedTask`](crate::SharedTask), or `&mut`
/// either.
pub trait TaskHandle: Future + Unpin + sealed::Sealed {}

impl<H: Future + Unpin + sealed::Sealed> TaskHandle for H {}

mod sealed {
    use crate::task::{SharedTask, Task};

    #[doc(hidden)]
    #[allow(unreachable_pub)] // sealed: it can be seen in bounds, and not be named
    pub trait Sealed {}
    impl<T, E> Sealed for Task<T, E> {}
    impl<T, E> Sealed for SharedTask<T, E> {}
    impl<H: Sealed> Sealed for &mut H {}
}

#[derive(Debug)]
struct Shield<H> {
    task: H,
}

impl<H: TaskHandle> Future for Shield<H> {
    type Output = H::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<H::Output> {
        leaf::shielded(|| Pin::new(&mut self.task).poll(cx))
    }
}
