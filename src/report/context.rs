//! **The context of a report**: what the exception handler is given.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::error::{Panic, TooManyCallbacks};
use crate::kernel::record::RecordRef;
use crate::task::TaskRef;

/// A failure that the loop reports to its exception handler, because nothing else can take it.
///
/// # In asyncio
/// The `context` of `loop.set_exception_handler`.
#[derive(Debug)]
#[non_exhaustive]
pub struct ExceptionContext {
    /// What happened.
    pub failure: Failure,
    /// The task in which it happened; `None` for a callback, or foreign code that belongs to no task.
    pub task: Option<TaskRef>,
    /// Where the task was created or the callback was scheduled. For foreign code that belongs to neither (a waker, a clock): where
    /// the crate called it.
    pub spawned_at: &'static Location<'static>,
    /// What failed, in words, if it is not a task.
    pub(crate) what: &'static str,
}

/// What happened, in an [`ExceptionContext`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Failure {
    /// A task ended with this error (as `Debug` prints it), and no handle is left that could take it.
    Failed(String),
    /// A task panicked, and no handle is left that could take the panic; or a callback, a destructor or other foreign code
    /// panicked.
    Panicked(Panic),
    /// A call from another thread was lost: the loop ended before it was called, or had no room for it.
    LostCall,
    /// A run had ended, and the clean-up of the tasks that were left created other tasks, again and again. This task was dropped
    /// without clean-up.
    EndlessCleanUp {
        /// How often the remaining tasks had been cancelled before.
        rounds: u32,
    },
    /// The loop was dropped, and dropping this task or callback created another like it, again and again. It was forgotten: its
    /// destructors did not run.
    EndlessEnd {
        /// How often the remaining tasks and callbacks had been dropped before.
        rounds: u32,
    },
    /// A callback was dropped and will not be called, because the loop had no room for it.
    TooManyCallbacks(TooManyCallbacks),
    /// One poll blocked the loop for this long. Only with [`debug`](crate::EventLoopBuilder::debug).
    SlowPoll(Duration),
}

const CALLBACK: &str = "callback";

impl ExceptionContext {
    pub(crate) fn of(record: &RecordRef, failure: Failure) -> ExceptionContext {
        let task = TaskRef::of_task(record);
        ExceptionContext { failure, task, spawned_at: record.spawned_at, what: CALLBACK }
    }

    /// The context of a failure that belongs to no task.
    pub(crate) fn of_no_task(
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
            Failure::Failed(error) => write!(f, "failed and no code took its error: {error}"),
            Failure::Panicked(panic) => {
                write!(f, "panicked and no code took the panic: {}", panic.message())
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
