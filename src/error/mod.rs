//! **Errors**: everything that can go wrong, on one page.
//!
//! | what goes wrong | error |
//! |---|---|
//! | a task ends without a value | [`TaskError`], with [`Cancelled`] or [`Panic`] |
//! | the work takes too long | [`TimedOut`] |
//! | an outcome is read too early, or twice | [`ResultError`] |
//! | a time limit is moved after its end | [`DeadlineOver`] |
//! | there is no loop, or no current task | [`NoRunningLoop`], [`NoCurrentTask`] |
//! | there is no room | [`TooManyLoops`], [`TooManyTasks`], [`TooManyCallbacks`]; [`CreateTaskError`] |
//! | a run ends without a value | [`RunError`], with [`Deadlock`] and its [`Stuck`] tasks |
//!
//! An error that only one ring returns is defined in that ring: those of a group, a queue, a lock, another thread. The exception
//! group has a ring of its own.
//!
//! Each error is small, and can be sent to another thread if the task's own error can. Its text says what to do next, if there is
//! something to do.
//!
//! It stands on `base` and `reason`.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use thiserror::Error;

use crate::base::panic::{Payload, swallow, text_of};
use crate::reason::{CancelledBy, Reason};

/// How a task ended, if not with a value.
///
/// `E` is the error of a task that was spawned with [`try_create_task`](crate::try_create_task). A task of
/// [`create_task`](crate::create_task) has no error of its own: there `E` is [`Infallible`].
///
/// # In asyncio
/// The exception that `await task` raises.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
#[doc(alias = "JoinError")]
pub enum TaskError<E = Infallible> {
    /// The task's future returned this error.
    #[error("{0}")]
    Failed(E),
    /// The task was cancelled.
    #[error(transparent)]
    Cancelled(Cancelled),
    /// The task panicked.
    #[error(transparent)]
    Panicked(Panic),
    /// The task failed as a child of a [`TaskGroup`](crate::TaskGroup), and its error is in the group's
    /// [`ExceptionGroup`](crate::ExceptionGroup).
    #[error(
        "the task failed, and its error went to its group: see the error of `TaskGroup::scope`"
    )]
    Grouped,
}

impl<E> TaskError<E> {
    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled(_))
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, TaskError::Panicked(_))
    }

    /// The task's own error, if it returned one.
    pub fn error(&self) -> Option<&E> {
        match self {
            TaskError::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The task's own error, if it returned one.
    pub fn failed(self) -> Option<E> {
        match self {
            TaskError::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The cancellation, if the task was cancelled: to read why, or to [`reraise`](Cancelled::reraise) it.
    pub fn cancelled(self) -> Option<Cancelled> {
        match self {
            TaskError::Cancelled(cancelled) => Some(cancelled),
            _ => None,
        }
    }
}

/// Lets `?` convert the error of a task that reads or writes. Its own error stays as it is. That it was cancelled, or panicked, becomes
/// an error of the kind [`Other`](io::ErrorKind::Other), whose [`get_ref`](io::Error::get_ref) is a `TaskError` (without `<io::Error>`).
///
/// ```
/// # loopwheel::run_virtual(async {
/// use std::io;
/// use loopwheel::{TaskError, create_task, try_create_task};
///
/// async fn length() -> io::Result<usize> {
///     let answer = try_create_task(async { Err::<Vec<u8>, io::Error>(io::ErrorKind::NotFound.into()) });
///     Ok(answer.await?.len())
/// }
/// assert_eq!(length().await.unwrap_err().kind(), io::ErrorKind::NotFound);
///
/// let task = create_task(async {});
/// task.cancel();
/// let error = io::Error::from(task.await.unwrap_err());
/// let inner = error.get_ref().unwrap().downcast_ref::<TaskError>();
/// assert!(inner.unwrap().is_cancelled());
/// # });
/// ```
impl From<TaskError<io::Error>> for io::Error {
    fn from(error: TaskError<io::Error>) -> io::Error {
        let error: TaskError = match error {
            TaskError::Failed(error) => return error,
            TaskError::Cancelled(cancelled) => TaskError::Cancelled(cancelled),
            TaskError::Panicked(panic) => TaskError::Panicked(panic),
            TaskError::Grouped => TaskError::Grouped,
        };
        error.into()
    }
}

/// The same, of a task that has no error of its own.
impl From<TaskError> for io::Error {
    fn from(error: TaskError) -> io::Error {
        io::Error::other(error) // not `Interrupted`: std's readers and writers try that again
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<TaskError>() == 16);

/// A cancellation that was caught.
///
/// Its owner decides: [`reraise`](Cancelled::reraise) lets the cancellation go on, and dropping this value swallows it.
///
/// # In asyncio
/// `CancelledError`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Error)]
#[error("cancelled{}", .reason.text().map(|reason| format!(": {reason}")).unwrap_or_default())]
pub struct Cancelled {
    /// One word. A [`TaskError`] is part of the output of every await of a task, so it is kept small.
    pub(crate) reason: Reason,
}

impl Cancelled {
    /// Why the task was cancelled: the text given to [`cancel_with_reason`](crate::Task::cancel_with_reason), if any.
    ///
    /// A cancel of the crate's own (a time limit is up, a sibling in the group failed, the run has ended) says what happened and,
    /// where a task is the cause, in which task. A plain `cancel` has no reason: [`cancelled_by`](Cancelled::cancelled_by) says
    /// where it was called.
    ///
    /// If several cancels are requested before one is delivered, the first gives the reason.
    pub fn reason(&self) -> Option<&str> {
        self.reason.text()
    }

    /// What cancelled the task, and where. `None` only for a value of [`Cancelled::default`].
    pub fn cancelled_by(&self) -> Option<CancelledBy> {
        CancelledBy::of(self.reason.clone())
    }
}

/// The panic that a task ended with. Clones share the payload.
///
/// It has no location: where the panic happened is not in the payload that a task ends with. The panic hook knows, which prints it
/// at that moment; a program that logs it sets a hook of its own (`std::panic::set_hook`).
#[derive(Clone)]
pub struct Panic(Arc<Shared>);

struct Shared {
    message: String,
    /// Empty once it has been taken. Dropping it may panic again, so it is [swallowed](swallow) and not just dropped.
    payload: Mutex<Option<Payload>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.get_mut().take() {
            swallow(payload);
        }
    }
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panic {
        let message = text_of(&*payload).to_owned();
        Panic(Arc::new(Shared { message, payload: Mutex::new(Some(payload)) }))
    }

    /// The text of the panic; a fixed text if the payload is not a string.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Takes the payload of the panic. `None` if it has been taken before, from this error or from a clone.
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.0.payload.lock().take()
    }

    /// Continues the panic here, with the payload of the task's panic, or with its text if the payload has been taken.
    ///
    /// # Panics
    /// Always.
    pub fn resume(self) -> ! {
        let payload = self.take_payload();
        resume_unwind(payload.unwrap_or_else(|| Box::new(self.message().to_owned())))
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message()).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task panicked: {}", self.message())
    }
}

impl std::error::Error for Panic {}

/// Equal if both are clones of one panic.
impl PartialEq for Panic {
    fn eq(&self, other: &Panic) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The time limit expired before the work was done.
///
/// # In asyncio
/// `TimeoutError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("timed out")]
pub struct TimedOut;

/// Lets `?` convert it where the other errors are those of sockets and files. (In asyncio `TimeoutError` is an `OSError`.)
impl From<TimedOut> for io::Error {
    fn from(timed_out: TimedOut) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, timed_out)
    }
}

/// The outcome of a task cannot be read.
///
/// # In asyncio
/// `InvalidStateError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The task has not ended yet.
    #[error("the task is not over yet: await it, or ask `is_done` first")]
    Pending,
    /// The outcome has been taken: awaiting a `Task` moves it out, once.
    #[error(
        "the outcome of the task was taken before: use `Task::shared` to look at it more than once"
    )]
    Taken,
}

/// A time limit that has expired, or whose body has ended, cannot be moved.
///
/// # In asyncio
/// The `RuntimeError` of `Timeout.reschedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "this time limit is over ({}): it can only be moved while its body runs",
    if *.expired { "it expired" } else { "its body has ended" }
)]
#[non_exhaustive]
pub struct DeadlineOver {
    /// Whether the limit expired. If not, its body has ended.
    pub expired: bool,
}

/// No event loop is running on this thread.
///
/// # In asyncio
/// `RuntimeError: no running event loop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "no event loop is running on this thread: do this in a task, a callback or the main future of a loop, which \
     `loopwheel::run` runs; or use the `EventLoop` itself, which can be given tasks and callbacks before it runs"
)]
pub struct NoRunningLoop;

/// No task is running here. (A callback is not a task.)
///
/// # In asyncio
/// `current_task()` is `None`, or raises `RuntimeError` without a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "no task is running here: `current_task` has an answer only inside a task, not in a callback or outside a loop"
)]
pub struct NoCurrentTask;

/// A loop could not be created: too many loops are alive in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many event loops are alive in this process: drop one first (at most {limit})")]
#[non_exhaustive]
pub struct TooManyLoops {
    /// How many loops may be alive at one time.
    pub limit: usize,
}

/// A task could not be created: too many tasks are alive on the loop.
///
/// The future has been dropped. Nothing else has changed, and the loop goes on. There is room again when a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "too many tasks are alive on this event loop (at most {limit}): await some before you create more, let a fixed number of \
     tasks take the work from a `Queue`, raise `EventLoopBuilder::max_tasks`, or use another loop"
)]
#[non_exhaustive]
pub struct TooManyTasks {
    /// How many tasks may be alive at one time.
    pub limit: usize,
}

/// A callback could not be scheduled: too many tasks and callbacks are alive on the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "too many callbacks and tasks wait on this event loop (at most {limit}): let some be called before you schedule more, or \
     use another loop"
)]
#[non_exhaustive]
pub struct TooManyCallbacks {
    /// How many tasks and callbacks may be alive at one time.
    pub limit: usize,
}

/// Why a task could not be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CreateTaskError {
    /// See [`NoRunningLoop`].
    #[error(transparent)]
    NoRunningLoop(#[from] NoRunningLoop),
    /// See [`TooManyTasks`].
    #[error(transparent)]
    TooManyTasks(#[from] TooManyTasks),
}

/// Why a run ended without a value.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The main task was cancelled, and did not swallow the cancellation.
    #[error("the main task was cancelled{}", .0.reason().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Cancelled(Cancelled),
    /// The main task panicked.
    #[error("the main task panicked: {}", .0.message())]
    Panicked(Panic),
    /// The loop could never go on.
    #[error(transparent)]
    Deadlock(Deadlock),
    /// A loop is running on this thread already.
    #[error(
        "an event loop is already running on this thread: `run` cannot be called inside a task; \
         await the future, or give it to `create_task`"
    )]
    AlreadyRunning,
    /// See [`TooManyLoops`].
    #[error(transparent)]
    TooManyLoops(#[from] TooManyLoops),
    /// The loop has no room for the main task; see [`TooManyTasks`].
    #[error(transparent)]
    TooManyTasks(#[from] TooManyTasks),
}

/// The loop could never go on: no task was ready, no timer was set, and nothing outside could wake the loop.
///
/// A virtual clock that is [held](crate::VirtualClock::hold) never reaches the next timer: then the timers do not count.
///
/// Its text names the tasks that wait for each other, if there is such a cycle, and prints the tasks that were left as an
/// [await tree](crate::dump::Dump::await_tree).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlock {
    pub(crate) waits: Vec<Stuck>,
    /// Its text.
    pub(crate) report: String,
}

/// One task of a [`Deadlock`], and what the task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stuck {
    /// The task's name.
    pub task: String,
    /// Where it was created.
    pub spawned_at: &'static Location<'static>,
    /// What the task waits for, in words, with the holder of a lock. Empty if it waits in a future of another crate, which cannot
    /// say.
    pub waits_for: Vec<String>,
}

impl Deadlock {
    /// The tasks that were left, oldest first, each with what it waits for.
    pub fn waits(&self) -> &[Stuck] {
        &self.waits
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report)
    }
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.waits_for.as_slice() {
            [] => "something that no one will wake it for".to_owned(),
            several => several.join(" and "),
        };
        write!(f, "task '{}' (spawned at {}) waits for {what}", self.task, self.spawned_at)
    }
}

impl std::error::Error for Deadlock {}
