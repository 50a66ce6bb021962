//! Keeping a cancel from a task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::engine::leaf;
use crate::task::TaskHandle;

/// Awaits a task without passing a cancel on to it.
///
/// If the awaiting task is cancelled, only the wait ends; the shielded task goes on. Give it the handle, and it is
/// detached then; give it `&mut task` or a [`SharedTask`](crate::SharedTask), and it can be awaited later. A plain
/// future has to become a task first, or nobody would run it: `shield(create_task(future))`.
///
/// # Cancellation
/// Only the wait is lost. If the task fails later, that is reported to the exception handler, whoever else takes the
/// error; as in asyncio.
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
    Shield { task, is_waiting: false }
}

#[derive(Debug)]
struct Shield<H: TaskHandle> {
    task: H,
    is_waiting: bool,
}

impl<H: TaskHandle> Future for Shield<H> {
    type Output = H::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<H::Output> {
        let poll = leaf::shielded(|| Pin::new(&mut self.task).poll(cx));
        self.is_waiting = poll.is_pending();
        poll
    }
}

impl<H: TaskHandle> Drop for Shield<H> {
    fn drop(&mut self) {
        let task = self.task.to_ref();
        if self.is_waiting && !task.is_done() {
            task.record().cold().is_orphan_of_shield.set(true);
        }
    }
}
