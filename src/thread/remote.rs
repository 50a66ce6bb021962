//! [`RemoteTask`]: a task on another thread's loop, and the way back of its outcome.
//!
//! The two threads share a [`Remote`]: one locked slot for the outcome. The loop's thread has its [`Sender`], the other thread the
//! [`RemoteTask`]. The future is created on the loop, so it need not be `Send`; only the closure that creates it and the outcome
//! are sent. Neither end leaves the other waiting: a sender that is dropped completes the task with [`LoopGone`]; when the handle
//! is dropped, the outcome is dropped as well, and a panic is reported to the loop.

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

use super::handle::{Call, Handle, IfLost, LoopGone, drop_catching};
use crate::base::id::TaskId;
use crate::base::kind::Plain;
use crate::delivery::{Told, checkpoint};
use crate::error::{Cancelled, Panic, TaskError, TooManyTasks};
use crate::join::{Joiner, Subscriber};
use crate::kept_waker::GuardedWaker;
use crate::kernel::current;
use crate::kernel::record::RecordRef;
use crate::reason::Reason;
use crate::report::Failure;
use crate::report::report;
use crate::spawning::TaskBuilder;
use crate::task::{Task, running_loop};
use crate::trace::Wait;

/// Why a task on another thread's loop gave no value.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The task was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
    /// The task panicked, or the closure that creates its future.
    #[error(transparent)]
    Panicked(Panic),
    /// The loop ended before the task did.
    #[error(transparent)]
    LoopGone(#[from] LoopGone),
    /// The loop had no room for the task.
    #[error(transparent)]
    TooManyTasks(#[from] TooManyTasks),
}

/// The part of one task that both threads share.
pub(super) struct Remote<T> {
    state: Mutex<State<T>>,
    spawned_at: &'static Location<'static>,
}

struct State<T> {
    /// From the task's end until the handle takes it.
    outcome: Option<Result<T, RemoteError>>,
    is_done: bool,
    /// The handle was dropped, and will not take the outcome.
    is_abandoned: bool,
    /// The task's id, once it has been spawned.
    task: Option<TaskId>,
    /// The waker of the task that awaits the handle.
    waiter: Option<Arc<GuardedWaker>>,
    /// The thread in [`RemoteTask::wait`]. It parks with std: `parking_lot` keeps waiting threads in a list of the whole process. A
    /// forked process would inherit that list, with the stack of a thread that it does not have.
    sleeper: Option<Thread>,
}

impl<T> Remote<T> {
    pub(super) fn new(spawned_at: &'static Location<'static>) -> Arc<Remote<T>> {
        let state = State {
            outcome: None,
            is_done: false,
            is_abandoned: false,
            task: None,
            waiter: None,
            sleeper: None,
        };
        Arc::new(Remote { state: Mutex::new(state), spawned_at })
    }

    pub(super) fn sender(self: &Arc<Self>) -> Sender<T> {
        Sender { remote: self.clone() }
    }

    /// Stores the outcome, once, and wakes what waits for it. Returns an unclaimed panic.
    fn complete(&self, outcome: Result<T, RemoteError>) -> Option<Panic> {
        let mut state = self.state.lock();
        if state.is_done {
            return None;
        }
        state.is_done = true;
        if state.is_abandoned {
            drop(state); // before the outcome: its destructor may run anything
            return unclaimed_panic(outcome);
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

/// Drops an unclaimed outcome; returns its panic, or that of its destructor. No lock may be held.
fn unclaimed_panic<T>(outcome: Result<T, RemoteError>) -> Option<Panic> {
    match outcome {
        Err(RemoteError::Panicked(panic)) => Some(panic),
        outcome => drop_catching(outcome),
    }
}

/// The loop's end of a [`Remote`]. If it is dropped early, the task has lost its loop.
pub(super) struct Sender<T> {
    remote: Arc<Remote<T>>,
}

impl<T: Send + 'static> Sender<T> {
    /// Spawns the task. Called on the loop.
    pub(super) fn begin<F: Future<Output = T> + 'static>(self, make: impl FnOnce() -> F) {
        let spawned_at = self.remote.spawned_at;
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(future) => {
                let builder = TaskBuilder::new().eager_start(false); // its end is to be reported: see below
                let task = builder.try_spawn_on(&running_loop(), Plain, future, spawned_at);
                let task: Task<T> = match task {
                    Ok(task) => task,
                    Err(full) => return self.complete(Err(full.into())),
                };
                let record = task.record().clone();
                self.remote.state.lock().task = Some(record.id);
                let on_end = OnEnd { held: Cell::new(Some((task, self))) };
                let subscriber = Joiner::Subscriber(Rc::new(on_end), 0);
                record.cold().joiners.borrow_mut().join(subscriber);
            }
            Err(payload) => self.complete(Err(RemoteError::Panicked(Panic::new(payload)))),
        }
    }

    fn complete(&self, outcome: Result<T, RemoteError>) {
        if let Some(panic) = self.remote.complete(outcome) {
            report(Failure::Panicked(panic), self.remote.spawned_at);
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.remote.complete(Err(LoopGone.into()));
    }
}

/// Sends the outcome when the task ends. Until then it holds the task's only handle.
struct OnEnd<T> {
    held: Cell<Option<(Task<T>, Sender<T>)>>,
}

impl<T: Send + 'static> Subscriber for OnEnd<T> {
    fn task_ended(self: Rc<Self>, _: usize, record: &RecordRef) {
        let Some((task, sender)) = self.held.take() else { return };
        let outcome = match task.take().expect("the task has ended, and this is its only handle") {
            Ok(value) => Ok(value),
            Err(TaskError::Panicked(panic)) => Err(RemoteError::Panicked(panic)),
            Err(TaskError::Cancelled(_)) if record.owner.is_closed() => Err(LoopGone.into()),
            Err(TaskError::Cancelled(cancelled)) => Err(RemoteError::Cancelled(cancelled)),
            Err(TaskError::Failed(never)) => match never {},
            Err(TaskError::Grouped) => unreachable!("it is in no group"),
        };
        sender.complete(outcome);
    }
}

/// The handle of a task on another thread's loop. It can be awaited anywhere, or [waited for](RemoteTask::wait) on a thread.
///
/// Dropping it detaches the task.
///
/// # Cancellation
/// Cancelling the wait does not cancel the task; [`cancel`](RemoteTask::cancel) does.
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

    /// Requests that the task stop. True if it has not ended and its loop is not gone.
    #[track_caller]
    pub fn cancel(&self) -> bool {
        if self.is_done() {
            return false;
        }
        // Calls of one queue run in order, so the task has been spawned when this call runs.
        let (remote, at) = (self.remote.clone(), Location::caller());
        let cancel = move || {
            let task = remote.state.lock().task;
            let record =
                current::running().zip(task).and_then(|(engine, task)| engine.tasks.get(task));
            if let Some(record) = record {
                record.cancel(&Reason::at(at));
            }
        };
        let call = Call::new(cancel, IfLost::Nothing, self.remote.spawned_at);
        self.handle.call_queue.push(call).is_ok()
    }

    /// Whether the task has ended.
    pub fn is_done(&self) -> bool {
        crate::cells::look_at_ends();
        self.remote.state.lock().is_done
    }

    /// Blocks this thread until the task has ended.
    ///
    /// # Errors
    /// [`RemoteError`].
    ///
    /// # Panics
    /// In a running loop, and on the thread of the task's own loop unless the task has ended: it would block that loop, perhaps for
    /// ever. Await the task there instead. Also if the outcome was taken before, by awaiting `&mut` it.
    #[track_caller]
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
            assert!(!state.is_done, "{TAKEN}");
            assert!(
                !self.handle.call_queue.is_of_this_thread(),
                "`RemoteTask::wait` would block the thread of the task's own loop: turn that, or await the task"
            );
            state.sleeper = Some(thread::current());
            drop(state);
            thread::park(); // it may return early: check again
            state = self.remote.state.lock();
        }
    }
}

impl<T> Future for RemoteTask<T> {
    type Output = Result<T, RemoteError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if checkpoint::interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        let waker = GuardedWaker::of(cx.waker()); // a real clone, because another thread wakes it
        let mut state = self.remote.state.lock();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        assert!(!state.is_done, "{TAKEN}");
        let old = state.waiter.replace(waker);
        drop(state);
        drop(old); // after the lock: it may run anything
        checkpoint::waits();
        checkpoint::tell_wait(Wait::Other { what: "a task of another loop" });
        Poll::Pending
    }
}

const TAKEN: &str = "the outcome of a `RemoteTask` was taken before, by an await of `&mut` it: await it once, and keep the outcome";

impl<T> Drop for RemoteTask<T> {
    fn drop(&mut self) {
        let mut state = self.remote.state.lock();
        state.is_abandoned = true;
        let (outcome, waiter) = (state.outcome.take(), state.waiter.take());
        drop(state);
        drop(waiter); // after the lock: it may run anything
        if let Some(panic) = outcome.and_then(unclaimed_panic) {
            self.handle.call_queue.report(panic, self.remote.spawned_at);
        }
    }
}

impl<T> fmt::Debug for RemoteTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.remote.state.lock().is_done;
        f.debug_struct("RemoteTask").field("is_done", &is_done).finish_non_exhaustive()
    }
}
