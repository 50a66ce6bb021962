//! Everything that can go wrong, on one page.
//!
//! Errors are small, can be sent to another thread, and say what to do next.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use crate::engine::foreign::{Payload, discard};
use crate::engine::reason::Reason;
use crate::engine::record::RecordRef;
use crate::engine::report::text_of;
use crate::task::TaskRef;

/// How a task ended, if not with a value.
///
/// `E` is the error of a task that was made with [`try_create_task`](crate::try_create_task). A task of
/// [`create_task`](crate::create_task) has none of its own: there `E` is [`Infallible`].
///
/// # In asyncio
/// The exception that `await task` raises.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
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
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<TaskError>() == 16);

/// A cancellation, caught.
///
/// Whoever holds it decides: [`reraise`](Cancelled::reraise) lets it go on, dropping it swallows it.
///
/// # In asyncio
/// `CancelledError`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Error)]
#[error("cancelled{}", .reason.text().map(|reason| format!(": {reason}")).unwrap_or_default())]
pub struct Cancelled {
    /// One word, as all that a [`TaskError`] may hold: it is part of what every await of a task gives.
    pub(crate) reason: Reason,
}

impl Cancelled {
    /// Why: what was [said](crate::Task::cancel_with_reason) when the task was cancelled.
    ///
    /// A cancel of the crate's own (a time limit is up, a sibling in the group failed, the run is over) says what happened and in
    /// which task. That task is named by its number, as `Task-2`, even if it was given a name; the main task is `Task-1`.
    ///
    /// If several cancels are requested before one is delivered, the first gives the reason.
    pub fn reason(&self) -> Option<&str> {
        self.reason.text()
    }
}

/// What a task panicked with.
#[derive(Clone)]
pub struct Panic(Arc<Thrown>);

struct Thrown {
    message: String,
    /// Until somebody takes it. It may throw again when it is dropped, wherever that is; nobody there is to blame.
    payload: Mutex<Option<Payload>>,
}

impl Drop for Thrown {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.get_mut().take() {
            discard(payload);
        }
    }
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Panic {
        let message = text_of(&*payload).to_owned();
        Panic(Arc::new(Thrown { message, payload: Mutex::new(Some(payload)) }))
    }

    /// The text of the panic.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What was thrown, for whoever comes first: a clone of this error shares it.
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.0.payload.lock().take()
    }

    /// Goes on panicking here, with what the task threw.
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

/// Two are equal if they are clones of one panic.
impl PartialEq for Panic {
    fn eq(&self, other: &Panic) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The time was up before the work was done.
///
/// # In asyncio
/// `TimeoutError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("timed out")]
pub struct TimedOut;

/// So that `?` takes it among errors of sockets and files, as in asyncio, where `TimeoutError` is an `OSError`.
impl From<TimedOut> for io::Error {
    fn from(timed_out: TimedOut) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, timed_out)
    }
}

/// The outcome of a task was asked for before there was one.
///
/// # In asyncio
/// `InvalidStateError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The task is not over.
    #[error("the task is not over yet: await it, or ask `is_done` first")]
    Pending,
    /// The outcome has been taken already: an awaited `Task` gives it away once.
    #[error(
        "the outcome of the task was taken before: use `Task::shared` to look at it more than once"
    )]
    Taken,
}

/// A deadline that has been passed or left cannot be moved any more.
///
/// # In asyncio
/// The `RuntimeError` of `Timeout.reschedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this time limit is over ({}): it can only be moved while its body runs", if *.expired { "it expired" } else { "its body has ended" })]
#[non_exhaustive]
pub struct DeadlineOver {
    /// Whether it was over because its time was up.
    pub expired: bool,
}

/// There is no loop on this thread that could do what was asked for.
///
/// # In asyncio
/// `RuntimeError: no running event loop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "no event loop is running on this thread: call this from inside `loopwheel::run`, \
     or use the method of the same name on `EventLoop`"
)]
pub struct NoRunningLoop;

/// There is no current task.
///
/// # In asyncio
/// `current_task()` is `None`, or raises `RuntimeError` without a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "no task is running here: `current_task` has an answer only inside a task, not in a callback or outside a loop"
)]
pub struct NoCurrentTask;

/// A loop could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many event loops are alive in this process: drop one first (at most {limit})")]
#[non_exhaustive]
pub struct TooManyLoops {
    /// How many may be alive at one time.
    pub limit: usize,
}

/// A task could not be created: as many as may be are alive on the loop.
///
/// The future that was to be a task has been dropped; nothing else has changed, and the loop goes on. There is room again when
/// a task has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "too many tasks are alive on this event loop (at most {limit}): await some before you create more, let a fixed number of \
     tasks take the work from a `Queue`, raise `EventLoopBuilder::max_tasks`, or use another loop"
)]
#[non_exhaustive]
pub struct TooManyTasks {
    /// How many may be alive at one time.
    pub limit: usize,
}

/// A callback could not be scheduled: the loop has no room for any more tasks and callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "too many callbacks and tasks wait on this event loop (at most {limit}): let some be called before you schedule more, or \
     use another loop"
)]
#[non_exhaustive]
pub struct TooManyCallbacks {
    /// How many tasks and callbacks there may be at one time.
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

/// Why a run gave no value.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Main was cancelled, and let the cancellation go on.
    #[error("the main task was cancelled{}", .0.reason().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Cancelled(Cancelled),
    /// Main panicked.
    #[error("the main task panicked: {}", .0.message())]
    Panicked(Panic),
    /// The loop could never have gone on.
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
    /// There is no room on the loop even for the main task; see [`TooManyTasks`].
    #[error(transparent)]
    TooManyTasks(#[from] TooManyTasks),
}

/// Nothing was ready, no timer was set, and nothing outside could have woken the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlock {
    pub(crate) waits: Vec<Stuck>,
    pub(crate) clock_is_held: bool,
}

/// One task of a [`Deadlock`], and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stuck {
    /// The task's name.
    pub task: String,
    /// Where it was created.
    pub spawned_at: &'static Location<'static>,
    /// What it said it waits for; empty if a foreign future did not say.
    pub waits_for: Vec<String>,
}

impl Deadlock {
    /// Who waits for what, oldest task first.
    pub fn waits(&self) -> &[Stuck] {
        &self.waits
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.clock_is_held {
            write!(f, "deadlock: nothing is ready and the virtual clock is held")?;
        } else {
            write!(
                f,
                "deadlock: nothing is ready, no timer is set, and nothing can wake the loop"
            )?;
        }
        for wait in &self.waits {
            let what = match wait.waits_for.as_slice() {
                [] => "something that no one will wake it for".to_owned(),
                several => several.join(" and "),
            };
            write!(
                f,
                "\n  task '{}' (spawned at {}) waits for {what}",
                wait.task, wait.spawned_at
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Deadlock {}

/// What the loop's exception handler is told: something went wrong and nobody else will hear of it.
///
/// # In asyncio
/// The `context` of `loop.set_exception_handler`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExceptionContext {
    /// What happened.
    pub failure: Failure,
    /// The task it happened in; `None` for a callback.
    pub task: Option<TaskRef>,
    /// Where the task was created, or the callback scheduled. Of foreign code that belongs to neither (a waker, a clock), where
    /// the crate called it.
    pub spawned_at: &'static Location<'static>,
    /// What it happened to, if not a task.
    pub(crate) what: &'static str,
}

/// What happened, in an [`ExceptionContext`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Failure {
    /// A task ended with this error (as `Debug` prints it), and nobody can take it any more.
    Failed(String),
    /// A task or callback panicked and nobody can take it any more, or a destructor panicked.
    Panicked(Panic),
    /// A call of another thread was lost: the loop ended before it was made, or had no room for it.
    LostCall,
    /// A run has ended, and the clean-up of each task that was left made another, again and again. This one was dropped hard.
    EndlessCleanUp {
        /// How often what was left had been cancelled before.
        rounds: u32,
    },
    /// The loop has ended, and dropping this task or callback made another like it, again and again. It was forgotten: its
    /// destructors did not run.
    EndlessEnd {
        /// How often what was left had been dropped before.
        rounds: u32,
    },
    /// A callback was dropped and will not be called, for the loop had no room for it.
    TooManyCallbacks(TooManyCallbacks),
    /// One poll held up the loop for so long. Only with [`debug`](crate::EventLoopBuilder::debug).
    SlowPoll(Duration),
}

const CALLBACK: &str = "callback";

impl ExceptionContext {
    pub(crate) fn of(record: &RecordRef, failure: Failure) -> ExceptionContext {
        let task = TaskRef::of_task(record);
        ExceptionContext { failure, task, spawned_at: record.spawned_at, what: CALLBACK }
    }

    /// Of something that belongs to no task.
    pub(crate) fn of_nobody(
        failure: Failure,
        spawned_at: &'static Location<'static>,
    ) -> ExceptionContext {
        ExceptionContext { failure, task: None, spawned_at, what: CALLBACK }
    }
}

impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => write!(f, "task '{}' (spawned at {})", task.name(), self.spawned_at)?,
            None if self.what == CALLBACK => {
                write!(f, "{CALLBACK} (scheduled at {})", self.spawned_at)?;
            }
            None => f.write_str(self.what)?,
        }
        write!(f, " {}", self.failure)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(error) => write!(f, "failed and nobody took its error: {error}"),
            Failure::Panicked(panic) => {
                write!(f, "panicked and nobody took it: {}", panic.message())
            }
            Failure::LostCall => f.write_str(
                "of another thread came too late: the loop has ended, or has no room for it",
            ),
            Failure::TooManyCallbacks(full) => write!(f, "was dropped: {full}"),
            Failure::EndlessCleanUp { rounds } => write!(
                f,
                "was left after {rounds} rounds of cancelling what the run had left, for the clean-up of each task makes \
                 another: it was dropped hard; let clean-up end without spawning"
            ),
            Failure::EndlessEnd { rounds } => write!(
                f,
                "was left after {rounds} rounds of dropping what the loop held, for its destructor makes another like it: \
                 it was forgotten, and its destructors did not run"
            ),
            Failure::SlowPoll(took) => write!(f, "held up the loop for {took:?} in one poll"),
        }
    }
}
