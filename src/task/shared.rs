//! **The shared handle**: its clones are awaited in several places, and each gives a clone of the outcome.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::handle::TaskOf;
use super::reference::{TaskRef, describe};
use crate::error::{ResultError, TaskError};
use crate::join::Join;
use crate::kernel::record::RecordRef;
use crate::reason::CancelledBy;

/// A handle that can be cloned: every clone can be awaited, and gives a clone of the outcome.
///
/// Created by [`Task::shared`](crate::Task::shared). Dropping the last clone detaches the task.
///
/// # Cancellation
/// As with a [`Task`](crate::Task): a cancel of an awaiting task is forwarded to this one, even if others await it too.
///
/// # Panics
/// An await, if the outcome was taken before the handle was shared.
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

/// A shared handle, generic over the output of its await. Write [`SharedTask<T, E>`](SharedTask).
pub struct SharedTaskOf<O> {
    task: Rc<TaskOf<O>>,
    /// `Task::clone_outcome`, taken in `Task::shared`, where the types are known to be `Clone`.
    clone_outcome: fn(&TaskOf<O>) -> Option<O>,
    join: Join,
    /// The await has ended, if the feature asks.
    #[cfg(feature = "futures")]
    pub(crate) has_given: bool,
}

impl<O> SharedTaskOf<O> {
    pub(super) fn new(task: Rc<TaskOf<O>>, clone_outcome: fn(&TaskOf<O>) -> Option<O>) -> Self {
        SharedTaskOf {
            task,
            clone_outcome,
            join: Join::new(),
            #[cfg(feature = "futures")]
            has_given: false,
        }
    }

    pub(crate) fn record(&self) -> &RecordRef {
        self.task.record()
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.task.is_taken()
    }

    /// An untyped reference to the task.
    pub fn to_ref(&self) -> TaskRef {
        self.task.to_ref()
    }

    /// See [`TaskRef::cancel`].
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.task.cancel()
    }

    /// See [`TaskRef::cancel_with_reason`].
    #[track_caller]
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.task.cancel_with_reason(reason)
    }

    /// See [`TaskRef::cancelled_by`].
    pub fn cancelled_by(&self) -> Option<CancelledBy> {
        self.task.cancelled_by()
    }

    /// Whether the task has ended.
    pub fn is_done(&self) -> bool {
        crate::cells::look_at_ends();
        self.task.is_done()
    }

    /// Whether the task ended as cancelled.
    pub fn is_cancelled(&self) -> bool {
        crate::cells::look_at_ends();
        self.task.is_cancelled()
    }

    /// The task's name.
    pub fn name(&self) -> String {
        self.task.name()
    }

    /// A clone of the outcome, if the task has ended.
    ///
    /// # Errors
    /// [`ResultError`] if it has not, or if the outcome was taken before the handle was shared.
    pub fn result(&self) -> Result<O, ResultError> {
        if !self.is_done() {
            return Err(ResultError::Pending);
        }
        (self.clone_outcome)(&self.task).ok_or(ResultError::Taken)
    }
}

impl<O> Future for SharedTaskOf<O> {
    type Output = O;

    #[cfg_attr(not(feature = "futures"), allow(unused_mut))]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let ended = self.join.poll(self.task.record(), cx);
        #[cfg(feature = "futures")]
        {
            self.has_given = ended.is_ready();
        }
        ended.map(|()| self.result().unwrap_or_else(|_| was_taken(self.task.record())))
    }
}

#[cold]
fn was_taken(record: &RecordRef) -> ! {
    let (name, at) = (record.name(), record.spawned_at);
    panic!(
        "the outcome of the shared task '{name}' (spawned at {at}) was taken before it was shared: share it first"
    )
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
