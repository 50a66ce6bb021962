//! **A shield**: a join that does not pass a cancel on.
//!
//! A join that waits notes its task, and a cancel of the awaiting task follows that note. A shield polls the join while the current
//! task is hidden: the join waits, and notes nothing that a cancel could follow.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::delivery::checkpoint;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::Reason;
use crate::task::TaskHandle;

/// Awaits a task without passing a cancel on to it.
///
/// If the awaiting task is cancelled, only the wait ends; the shielded task goes on. Give it the handle, and it is
/// detached then; give it `&mut task` or a [`SharedTask`](crate::SharedTask), and it can be awaited later. A plain
/// future has to become a task first, or it would not run on: `shield(create_task(future))`.
///
/// [`protect`](crate::protect()) is something else: it keeps the wait itself from ending, for a future that is to be over first.
///
/// # Cancellation
/// Only the wait is lost. If the task fails later, that is reported to the exception handler, even if other code takes the
/// error; as in asyncio. (Only if the shield was cancelled: one that lost a `select!` is dropped, and that is all.)
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
    Shield { task, is_cancelled: false }
}

#[derive(Debug)]
struct Shield<H: TaskHandle> {
    task: H,
    /// The wait was cancelled.
    is_cancelled: bool,
}

impl<H: TaskHandle> Future for Shield<H> {
    type Output = H::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<H::Output> {
        let task = self.task.to_ref();
        let (poll, came_out) = checkpoint::whether_a_cancel_comes_out(|| {
            checkpoint::shielded(|| {
                // In asyncio the shield is a future of its own, which is cancelled without a reason. So here the reason is hidden.
                let reason = Reasonless::of(task.record());
                let poll = Pin::new(&mut self.task).poll(cx);
                drop(reason);
                poll
            })
        });
        self.is_cancelled = poll.is_pending() && (self.is_cancelled || came_out);
        poll
    }
}

impl<H: TaskHandle> Drop for Shield<H> {
    fn drop(&mut self) {
        let task = self.task.to_ref();
        if self.is_cancelled && !task.is_done() {
            task.record().cold().is_orphan_of_shield.set(true);
        }
    }
}

/// Until it is dropped, the reason of a task that was cancelled has no text.
struct Reasonless<'a>(Option<(&'a RecordRef, Reason)>);

impl Reasonless<'_> {
    fn of(task: &RecordRef) -> Reasonless<'_> {
        let reason = task.reason();
        let is_known = task.has(Flag::CANCELLED) && reason.is_counted();
        Reasonless(is_known.then(|| {
            task.set_reason(reason.hushed());
            (task, reason)
        }))
    }
}

impl Drop for Reasonless<'_> {
    fn drop(&mut self) {
        if let Some((task, reason)) = self.0.take() {
            task.set_reason(reason);
        }
    }
}
