//! **The claim** on a task's outcome: a handle without a join, for what awaits many tasks at once.
//!
//! A [`TaskOf`](crate::task::TaskOf) would do. Each would carry a join that is never polled, and look at it once more when it is dropped.

use std::fmt;

use crate::error::TaskError;
use crate::kernel::record::{Flag, RecordRef, Typed};
use crate::task::give_up;

/// The only handle of a task. Dropping it detaches the task, unless the value was taken.
pub(crate) struct Claim<O>(Typed<O>);

/// As [`Task`](crate::Task) is for `TaskOf`.
pub(crate) type TaskClaim<T, E> = Claim<Result<T, TaskError<E>>>;

impl<O> Claim<O> {
    pub(crate) fn new(record: Typed<O>) -> Claim<O> {
        Claim(record)
    }

    pub(crate) fn record(&self) -> &RecordRef {
        &self.0
    }

    /// The outcome, if the task has ended and it was not taken.
    pub(crate) fn take(&self) -> Option<O> {
        self.0.take().inspect(|_| self.0.set(Flag::SEEN))
    }
}

impl<T, E> TaskClaim<T, E> {
    /// The value, if the task has ended with one that was not taken. Nothing is claimed then any more.
    #[inline]
    pub(crate) fn take_value(&self) -> Option<T> {
        self.0.take_value_and_clear(Flag::HANDLE)
    }
}

/// Most claims are settled: so this is not in line where they are dropped.
#[inline(never)]
fn given_up(record: &RecordRef) {
    give_up(record);
}

impl<O> fmt::Debug for Claim<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claim").field(self.record()).finish()
    }
}

impl<O> Drop for Claim<O> {
    #[inline]
    fn drop(&mut self) {
        if self.0.has(Flag::HANDLE) {
            given_up(&self.0);
        }
    }
}
