//! **The handle** to a task: it owns the outcome, and awaits it with a join.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::reference::{TaskRef, add_done_callback, cancelled_by, describe, set_name_of};
use super::shared::{SharedTask, SharedTaskOf};
use crate::error::{ResultError, TaskError};
use crate::join::Join;
use crate::kernel::record::{Flag, RecordRef, Stage, Typed};
use crate::reason::{CancelledBy, Reason};

/// A handle to a task: awaiting it gives the task's outcome.
///
/// Dropping it *detaches* the task: the loop goes on running it. If a detached task fails, the loop's exception handler is called.
/// An await by value uses the handle up; `(&mut task).await` keeps it, for its name and its state.
///
/// # Cancellation
/// A task that is cancelled while it awaits another forwards the cancel. It unwinds when the other has finished its clean-up, or
/// goes on if that one swallows the cancel. [`shield`](crate::shield()) prevents this. If the awaited task is cancelled from
/// elsewhere, the await gives a value, `Err(TaskError::Cancelled)`.
///
/// # Errors
/// [`TaskError`]: the task failed, was cancelled, or panicked. Where none of these is expected, `task.await.unwrap()` panics with
/// what happened.
///
/// # Panics
/// If a task awaits itself, or a handle whose outcome was taken with [`result`](Task::result).
///
/// # In asyncio
/// `asyncio.Task`. That can be awaited many times; here a [`SharedTask`] can.
#[doc(alias = "JoinHandle")]
pub type Task<T, E = Infallible> = TaskOf<Result<T, TaskError<E>>>;

/// A handle to a task, generic over the output of its await. Write [`Task<T, E>`](Task), which is `TaskOf<Result<T,
/// TaskError<E>>>`.
pub struct TaskOf<O> {
    record: Typed<O>,
    join: Join,
}

impl<T: Clone, E: Clone> Task<T, E> {
    /// Turns this into a handle that can be cloned. Each clone can be awaited, and gives a clone of the outcome.
    pub fn shared(self) -> SharedTask<T, E> {
        self.join.leave(&self.record);
        SharedTaskOf::new(Rc::new(self), Task::clone_outcome)
    }

    fn clone_outcome(&self) -> Option<Result<T, TaskError<E>>> {
        self.record.set(Flag::SEEN);
        let outcome = self.record.peek(Result::clone);
        let outcome = outcome.map(|outcome| outcome.map_err(TaskError::Failed));
        outcome.or_else(|| self.record.ending().map(Err))
    }
}

impl<T, E> Task<T, E> {
    /// The value, if the task ended with one.
    #[inline]
    pub(crate) fn take_value(&self) -> Option<T> {
        self.record.take_value()
    }

    /// The outcome of a task that ended without a value.
    #[inline(never)]
    fn take_ending(&self) -> Result<T, TaskError<E>> {
        self.take().unwrap_or_else(|| was_taken(&self.record))
    }
}

#[cold]
fn was_taken(record: &RecordRef) -> ! {
    let (name, at, taken) = (record.name(), record.spawned_at, ResultError::Taken);
    panic!("task '{name}' (spawned at {at}) was awaited although {taken}")
}

impl<O> TaskOf<O> {
    pub(crate) fn new(record: Typed<O>) -> TaskOf<O> {
        TaskOf { record, join: Join::new() }
    }

    /// Takes the outcome without awaiting, if the task has ended.
    ///
    /// # Errors
    /// [`ResultError`] if the task has not ended, or its outcome was taken.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::errors::ResultError;
    /// use loopwheel::{create_task, yield_now};
    ///
    /// let mut task = create_task(async { 5 });
    /// assert_eq!(task.result(), Err(ResultError::Pending));
    /// yield_now().await;
    /// assert_eq!(task.result(), Ok(Ok(5)));
    /// assert_eq!(task.result(), Err(ResultError::Taken));
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `task.result()` and `task.exception()` in one.
    pub fn result(&mut self) -> Result<O, ResultError> {
        crate::cells::look_at_ends();
        if !self.is_done() {
            return Err(ResultError::Pending);
        }
        self.take().ok_or(ResultError::Taken)
    }

    pub(crate) fn typed_record(&self) -> &Typed<O> {
        &self.record
    }

    pub(crate) fn record(&self) -> &RecordRef {
        &self.record
    }

    /// Whether the task has ended and its outcome was taken. A cancel or a panic can be had again.
    pub(crate) fn is_taken(&self) -> bool {
        self.record.has(Flag::DONE)
            && !self.record.has(Stage::HOLDS_OUTCOME)
            && self.record.ending::<Infallible>().is_none()
    }

    pub(crate) fn take(&self) -> Option<O> {
        self.record.take().inspect(|_| self.record.set(Flag::SEEN))
    }

    /// An untyped reference to the task.
    pub fn to_ref(&self) -> TaskRef {
        TaskRef::new((*self.record).clone())
    }

    /// See [`TaskRef::cancel`].
    #[doc(alias = "abort")]
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.record.cancel(&Reason::at(Location::caller()))
    }

    /// See [`TaskRef::cancel_with_reason`].
    #[track_caller]
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.record.cancel(&Reason::said(reason.into(), Location::caller()))
    }

    /// See [`TaskRef::cancelled_by`].
    pub fn cancelled_by(&self) -> Option<CancelledBy> {
        crate::cells::look_at_everything();
        cancelled_by(&self.record)
    }

    /// See [`TaskRef::uncancel`].
    pub fn uncancel(&self) -> usize {
        self.record.uncancel() as usize
    }

    /// Whether the task has ended.
    #[doc(alias = "is_finished")]
    pub fn is_done(&self) -> bool {
        crate::cells::look_at_ends();
        self.record.has(Flag::DONE)
    }

    /// Whether the task ended as cancelled.
    pub fn is_cancelled(&self) -> bool {
        crate::cells::look_at_ends();
        self.record.has(Flag::CANCELLED)
    }

    /// See [`TaskRef::cancelling`].
    pub fn cancelling(&self) -> usize {
        crate::cells::look_at_everything();
        self.record.cancel_requests() as usize
    }

    /// The task's name.
    pub fn name(&self) -> String {
        self.record.name()
    }

    /// Gives the task another name.
    pub fn set_name(&self, name: impl Into<String>) {
        set_name_of(&self.record, name);
    }

    /// See [`TaskRef::add_done_callback`].
    pub fn add_done_callback(&self, callback: impl FnOnce(TaskRef) + 'static) {
        add_done_callback(&self.record, callback);
    }
}

impl<T, E> Future for Task<T, E> {
    type Output = Result<T, TaskError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.join.poll(&self.record, cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match self.take_value() {
            Some(value) => Ok(value),
            None => self.take_ending(),
        })
    }
}

impl<O> Drop for TaskOf<O> {
    #[inline]
    fn drop(&mut self) {
        self.join.leave(&self.record);
        self.record.clear(Flag::HANDLE);
        // Most handles have been awaited: their records hold no outcome.
        if self.record.has(Flag::DONE)
            && self.record.has(Stage::HOLDS_OUTCOME | Flag::FAILED | Flag::PANICKED)
        {
            self.record.owner.drop_unclaimed_outcome(&self.record);
        }
    }
}

impl<O> Unpin for TaskOf<O> {}

impl<O> fmt::Debug for TaskOf<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("Task", &self.record, f)
    }
}

/// A handle that can be awaited: [`Task`], [`SharedTask`], or `&mut` to either. Sealed.
#[diagnostic::on_unimplemented(
    message = "this waits for tasks, and `{Self}` is no handle of one",
    label = "this is no `Task`",
    note = "a future becomes a task by `create_task(future)`; `gather` takes futures as they are",
    note = "to keep a handle, give `&mut task`"
)]
pub trait TaskHandle: Future + Unpin + sealed::Sealed {
    /// An untyped reference to the task.
    fn to_ref(&self) -> TaskRef;
}

impl<T, E> TaskHandle for Task<T, E> {
    fn to_ref(&self) -> TaskRef {
        TaskOf::to_ref(self)
    }
}

impl<O> TaskHandle for SharedTaskOf<O> {
    fn to_ref(&self) -> TaskRef {
        SharedTaskOf::to_ref(self)
    }
}

impl<H: TaskHandle> TaskHandle for &mut H {
    fn to_ref(&self) -> TaskRef {
        (**self).to_ref()
    }
}

mod sealed {
    #[allow(unreachable_pub)] // sealed: it appears in bounds, and cannot be named
    pub trait Sealed {}
    impl<O> Sealed for super::TaskOf<O> {}
    impl<O> Sealed for super::SharedTaskOf<O> {}
    impl<H: Sealed> Sealed for &mut H {}
}
