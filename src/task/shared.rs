//! [`SharedTask`]: a handle for several.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::handle::TaskOf;
use super::join::Join;
use super::reference::{TaskRef, describe};
use crate::engine::record::RecordRef;
use crate::error::{ResultError, TaskError};

/// A handle that can be cloned: every clone can be awaited, and gets a clone of the outcome.
///
/// Made by [`Task::shared`](crate::Task::shared). When the last clone is dropped the task is detached, as with [`Task`](crate::Task).
///
/// # Cancellation
/// As with [`Task`](crate::Task): awaiting it passes a cancel on to the task, however many await it.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::create_task;
///
/// let answer = create_task(async { 42 }).shared();
/// let other = answer.clone();
/// assert_eq!(answer.await, Ok(42));
/// assert_eq!(other.await, Ok(42));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Task`, which can be awaited from several places.
pub type SharedTask<T, E = Infallible> = SharedTaskOf<Result<T, TaskError<E>>>;

/// A shared handle by what awaiting it gives. One writes [`SharedTask<T, E>`](SharedTask).
pub struct SharedTaskOf<O> {
    task: Rc<TaskOf<O>>,
    /// Known where the handle was made: that the outcome can be cloned.
    clone_outcome: fn(&TaskOf<O>) -> Option<O>,
    join: Join,
}

impl<O> SharedTaskOf<O> {
    pub(super) fn new(
        task: Rc<TaskOf<O>>,
        clone_outcome: fn(&TaskOf<O>) -> Option<O>,
    ) -> SharedTaskOf<O> {
        SharedTaskOf { task, clone_outcome, join: Join::new() }
    }

    pub(crate) fn record(&self) -> &RecordRef {
        self.task.record()
    }

    /// An untyped reference to the task: for cancelling it, its name and its state.
    pub fn to_ref(&self) -> TaskRef {
        self.task.to_ref()
    }

    /// See [`TaskRef::cancel`].
    pub fn cancel(&self) -> bool {
        self.task.cancel()
    }

    /// See [`TaskRef::cancel_with_reason`].
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.task.cancel_with_reason(reason)
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        self.task.is_done()
    }

    /// Whether the task ended by being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.task.is_cancelled()
    }

    /// The task's name.
    pub fn name(&self) -> String {
        self.task.name()
    }
}

impl<O> SharedTaskOf<O> {
    /// A clone of the outcome, if the task is over.
    ///
    /// # Errors
    /// [`ResultError::Pending`] if it is not.
    pub fn result(&self) -> Result<O, ResultError> {
        if !self.is_done() {
            return Err(ResultError::Pending);
        }
        (self.clone_outcome)(&self.task).ok_or(ResultError::Taken)
    }
}

impl<O> Future for SharedTaskOf<O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        match self.join.poll(self.task.record(), cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                Poll::Ready(self.result().expect("a shared outcome is never taken, only cloned"))
            }
        }
    }
}

impl<O> Clone for SharedTaskOf<O> {
    fn clone(&self) -> SharedTaskOf<O> {
        SharedTaskOf::new(self.task.clone(), self.clone_outcome)
    }
}

impl<O> Drop for SharedTaskOf<O> {
    fn drop(&mut self) {
        self.join.leave(self.task.record());
    }
}

impl<O> Unpin for SharedTaskOf<O> {}

impl<O> fmt::Debug for SharedTaskOf<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("SharedTask", self.task.record(), f)
    }
}
