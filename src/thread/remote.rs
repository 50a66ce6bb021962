//! [`RemoteTask`]: a task of a loop on another thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::{Condvar, Mutex};
use thiserror::Error;

use super::handle::{Gate, IfLost, LoopGone};
use crate::engine::waker::TaskId;
use crate::engine::{here, leaf};
use crate::error::{Cancelled, Panic, TaskError};
use crate::task::{Task, create_task};

/// Why a task on another thread's loop gave no value.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The task was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
    /// The task panicked, or the closure that was to make its future.
    #[error(transparent)]
    Panicked(Panic),
    /// The loop ended before the task did.
    #[error(transparent)]
    LoopGone(#[from] LoopGone),
}

/// What both threads see of one task.
pub(super) struct Remote<T> {
    state: Mutex<State<T>>,
    settled: Condvar,
}

struct State<T> {
    outcome: Option<Result<T, RemoteError>>,
    is_settled: bool,
    /// Where the task is, once it has begun.
    task: Option<TaskId>,
    waiter: Option<Waker>,
}

impl<T> Remote<T> {
    pub(super) fn new() -> Arc<Remote<T>> {
        let state = State { outcome: None, is_settled: false, task: None, waiter: None };
        Arc::new(Remote { state: Mutex::new(state), settled: Condvar::new() })
    }

    pub(super) fn arrival(self: &Arc<Self>) -> Arrival<T> {
        Arrival { remote: self.clone() }
    }

    fn settle(&self, outcome: Result<T, RemoteError>) {
        let mut state = self.state.lock();
        if state.is_settled {
            return;
        }
        state.is_settled = true;
        state.outcome = Some(outcome);
        let waiter = state.waiter.take();
        drop(state);
        self.settled.notify_all();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

/// The loop's end of it. However it is lost, the other end is told.
pub(super) struct Arrival<T> {
    remote: Arc<Remote<T>>,
}

impl<T: Send + 'static> Arrival<T> {
    /// On the loop: makes the task.
    pub(super) fn begin<F: Future<Output = T> + 'static>(self, future: F) {
        let task: Task<T> = create_task(future);
        self.remote.state.lock().task = Some(task.record().home.id_of(task.record()));
        drop(create_task(async move {
            let outcome = task.await.map_err(|error| match error {
                TaskError::Cancelled(cancelled) => RemoteError::Cancelled(cancelled),
                TaskError::Panicked(panic) => RemoteError::Panicked(panic),
                TaskError::Failed(_) | TaskError::Grouped => {
                    unreachable!("it has no error of its own")
                }
            });
            self.remote.settle(outcome);
        }));
    }
}

impl<T> Drop for Arrival<T> {
    fn drop(&mut self) {
        self.remote.settle(Err(LoopGone.into()));
    }
}

/// A task that runs on the loop of another thread. Can be awaited anywhere, or [waited for](RemoteTask::wait).
///
/// Dropping it detaches the task.
///
/// # Cancellation
/// Giving up the wait does not cancel the task; [`cancel`](RemoteTask::cancel) does.
///
/// # Errors
/// [`RemoteError`].
///
/// # In asyncio
/// The `concurrent.futures.Future` of `run_coroutine_threadsafe`.
pub struct RemoteTask<T> {
    remote: Arc<Remote<T>>,
    gate: Arc<Gate>,
}

impl<T: Send + 'static> RemoteTask<T> {
    pub(super) fn new(remote: Arc<Remote<T>>, gate: Arc<Gate>) -> RemoteTask<T> {
        RemoteTask { remote, gate }
    }

    /// Asks the task to stop. True if it is not over and its loop is not gone.
    pub fn cancel(&self) -> bool {
        if self.is_done() {
            return false;
        }
        // The call that makes the task lies before this one, so there is a task when this is made.
        let remote = self.remote.clone();
        let call = move || {
            let task = remote.state.lock().task;
            let record =
                here::running().zip(task).and_then(|(engine, task)| engine.record_of(task));
            if let Some(record) = record {
                record.cancel(None);
            }
        };
        self.gate.leave(Box::new(call), IfLost::Nothing).is_ok()
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        self.remote.state.lock().is_settled
    }

    /// Blocks this thread until the task is over.
    ///
    /// # Errors
    /// [`RemoteError`].
    ///
    /// # Panics
    /// On the thread of a running loop: it would hold up that loop, perhaps for ever. Await it there.
    pub fn wait(self) -> Result<T, RemoteError> {
        assert!(
            here::running().is_none(),
            "`RemoteTask::wait` would block a running loop: await it there"
        );
        let mut state = self.remote.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            self.remote.settled.wait(&mut state);
        }
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, RemoteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if leaf::interrupted(|| "a task of another loop".to_owned()) {
            return Poll::Pending;
        }
        let waker = cx.waker().clone(); // a real clone: it is kept where the outside can wake it
        let mut state = self.remote.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        assert!(!state.is_settled, "the outcome of a `RemoteTask` was taken before");
        let old = state.waiter.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.remote.state.lock().is_settled;
        f.debug_struct("RemoteTask").field("is_done", &is_done).finish_non_exhaustive()
    }
}
