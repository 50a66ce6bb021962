//! [`RemoteTask`]: a task of a loop on another thread.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, Thread};

use parking_lot::Mutex;
use thiserror::Error;

use super::handle::{Call, Handle, IfLost, LoopGone, drop_of_nobody};
use crate::engine::cold::Joiner;
use crate::engine::current;
use crate::engine::foreign::{self, GuardedWaker};
use crate::engine::leaf::{self, Told};
use crate::engine::reason::Reason;
use crate::engine::record::{Plain, RecordRef};
use crate::engine::waker::TaskId;
use crate::engine::watchers::Watcher;
use crate::error::{Cancelled, Failure, Panic, TaskError, TooManyTasks};
use crate::task::{Task, TaskBuilder, running_loop};

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
    /// The loop had no room for the task.
    #[error(transparent)]
    TooManyTasks(#[from] TooManyTasks),
}

/// What both threads see of one task.
pub(super) struct Remote<T> {
    state: Mutex<State<T>>,
    spawned_at: &'static Location<'static>,
}

struct State<T> {
    outcome: Option<Result<T, RemoteError>>,
    is_settled: bool,
    /// Nobody will take the outcome.
    is_abandoned: bool,
    /// Where the task is, once it has begun.
    task: Option<TaskId>,
    waiter: Option<Arc<GuardedWaker>>,
    /// A thread that is parked until the task is settled. (A thread that waits in `parking_lot` stands in a list of the whole
    /// process, which a forked process would keep, with the stack of a thread that it does not have.)
    sleeper: Option<Thread>,
}

impl<T> Remote<T> {
    pub(super) fn new(spawned_at: &'static Location<'static>) -> Arc<Remote<T>> {
        let state = State {
            outcome: None,
            is_settled: false,
            is_abandoned: false,
            task: None,
            waiter: None,
            sleeper: None,
        };
        Arc::new(Remote { state: Mutex::new(state), spawned_at })
    }

    pub(super) fn arrival(self: &Arc<Self>) -> Arrival<T> {
        Arrival { remote: self.clone() }
    }

    /// Hands back a panic that nobody will take.
    fn settle(&self, outcome: Result<T, RemoteError>) -> Option<Panic> {
        let mut state = self.state.lock();
        if state.is_settled {
            return None;
        }
        state.is_settled = true;
        if state.is_abandoned {
            drop(state); // before the outcome: its destructor may run anything
            return panic_of_nobody(outcome);
        }
        state.outcome = Some(outcome);
        let (waiter, sleeper) = (state.waiter.take(), state.sleeper.take());
        drop(state);
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
        if let Some(waiter) = waiter {
            GuardedWaker::wake(waiter);
        }
        None
    }
}

/// Drops an outcome that nobody will take; no lock is held. Hands back the panic that it is, or that its destructor throws.
fn panic_of_nobody<T>(outcome: Result<T, RemoteError>) -> Option<Panic> {
    match outcome {
        Err(RemoteError::Panicked(panic)) => Some(panic),
        outcome => drop_of_nobody(outcome),
    }
}

/// The loop's end of it. However it is lost, the other end is told.
pub(super) struct Arrival<T> {
    remote: Arc<Remote<T>>,
}

impl<T: Send + 'static> Arrival<T> {
    /// On the loop: makes the task.
    pub(super) fn begin<F: Future<Output = T> + 'static>(self, make: impl FnOnce() -> F) {
        let spawned_at = self.remote.spawned_at;
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => {
                let builder = TaskBuilder::new();
                let task = builder.try_spawn_on(&running_loop(), Plain, future, spawned_at);
                let task: Task<T> = match task {
                    Ok(task) => task,
                    Err(full) => return self.settle(Err(full.into())),
                };
                let record = task.record().clone();
                self.remote.state.lock().task = Some(record.id);
                let settler = Settler { held: Cell::new(Some((task, self))) };
                let watcher = Joiner::Watcher(Rc::new(settler), 0);
                record.cold().joiners.borrow_mut().join(watcher);
            }
            Err(payload) => self.settle(Err(RemoteError::Panicked(Panic::new(payload)))),
        }
    }

    fn settle(&self, outcome: Result<T, RemoteError>) {
        if let Some(panic) = self.remote.settle(outcome) {
            foreign::report(Failure::Panicked(panic), self.remote.spawned_at);
        }
    }
}

impl<T> Drop for Arrival<T> {
    fn drop(&mut self) {
        self.remote.settle(Err(LoopGone.into()));
    }
}

/// Waits, on the loop, for the task's end. It holds the task's only handle, until then.
struct Settler<T> {
    held: Cell<Option<(Task<T>, Arrival<T>)>>,
}

impl<T: Send + 'static> Watcher for Settler<T> {
    fn ended(self: Rc<Self>, _: usize, record: &RecordRef) {
        let Some((task, arrival)) = self.held.take() else { return };
        let outcome = match task.take().expect("the task is over, and nobody else has its handle") {
            Ok(value) => Ok(value),
            Err(TaskError::Panicked(panic)) => Err(RemoteError::Panicked(panic)),
            Err(TaskError::Cancelled(_)) if record.home.is_closed() => Err(LoopGone.into()),
            Err(TaskError::Cancelled(cancelled)) => Err(RemoteError::Cancelled(cancelled)),
            Err(TaskError::Failed(never)) => match never {},
            Err(TaskError::Grouped) => unreachable!("it is in no group"),
        };
        arrival.settle(outcome);
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
    handle: Handle,
    told: Told,
}

impl<T: Send + 'static> RemoteTask<T> {
    pub(super) fn new(remote: Arc<Remote<T>>, handle: Handle) -> RemoteTask<T> {
        RemoteTask { remote, handle, told: Told::default() }
    }

    /// Asks the task to stop. True if it is not over and its loop is not gone.
    pub fn cancel(&self) -> bool {
        if self.is_done() {
            return false;
        }
        // The call that makes the task lies before this one, so there is a task when this is made.
        let remote = self.remote.clone();
        let cancel = move || {
            let task = remote.state.lock().task;
            let record =
                current::running().zip(task).and_then(|(engine, task)| engine.record_of(task));
            if let Some(record) = record {
                record.cancel(&Reason::none());
            }
        };
        let call = Call::new(cancel, IfLost::Nothing, self.remote.spawned_at);
        self.handle.gate.leave(call).is_ok()
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
    /// On the thread of the task's own loop, unless the task is over, and on the thread of any running loop: it would hold
    /// that up, perhaps for ever. Await it there. And if its outcome was taken before, by awaiting `&mut` it.
    pub fn wait(self) -> Result<T, RemoteError> {
        assert!(
            current::running().is_none(),
            "`RemoteTask::wait` would block a running loop: await it there"
        );
        let mut state = self.remote.state.lock();
        loop {
            if let Some(outcome) = state.outcome.take() {
                return outcome;
            }
            assert!(!state.is_settled, "{TAKEN}");
            assert!(
                !self.handle.gate.is_of_this_thread(),
                "`RemoteTask::wait` would block the thread of the task's own loop: turn that, or await the task"
            );
            state.sleeper = Some(thread::current());
            drop(state);
            thread::park(); // it may return early
            state = self.remote.state.lock();
        }
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, RemoteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if leaf::interrupted(&self.told, cx, || "a task of another loop".to_owned()) {
            return Poll::Pending;
        }
        let waker = GuardedWaker::of(cx.waker()); // a real clone: it is kept where the outside can wake it
        let mut state = self.remote.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        assert!(!state.is_settled, "{TAKEN}");
        let old = state.waiter.replace(waker);
        drop(state);
        drop(old);
        leaf::waits();
        Poll::Pending
    }
}

const TAKEN: &str = "the outcome of a `RemoteTask` was taken before";

impl<T> Drop for RemoteTask<T> {
    fn drop(&mut self) {
        let mut state = self.remote.state.lock();
        state.is_abandoned = true;
        let (outcome, waiter) = (state.outcome.take(), state.waiter.take());
        drop(state);
        drop(waiter); // after the lock: it may run anything
        if let Some(panic) = outcome.and_then(panic_of_nobody) {
            self.handle.gate.report(panic, self.remote.spawned_at);
        }
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.remote.state.lock().is_settled;
        f.debug_struct("RemoteTask").field("is_done", &is_done).finish_non_exhaustive()
    }
}
