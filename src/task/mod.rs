//! Tasks: made, held, awaited, asked.
//!
//! A [`Task`] is a handle to a future that the loop runs by itself. Dropping the handle detaches the task; it
//! never stops it. Awaiting the handle gives the outcome, and passes a cancel of the awaiting task on.

mod builder;
mod handle;
mod join;
mod reference;
mod shared;

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use crate::engine::current;
use crate::engine::leaf;
use crate::engine::turn::Engine;
use crate::error::{NoCurrentTask, NoRunningLoop};

pub use builder::TaskBuilder;
pub use handle::{Task, TaskHandle, TaskOf};
pub use reference::TaskRef;
pub use shared::{SharedTask, SharedTaskOf};

/// Hands a future to the running loop, which will run it beside everything else.
///
/// The future may be `!Send`: it never leaves this thread. Its first poll is in the loop's next turn. Whatever it returns is
/// the task's value, an `Err` too: a future that can fail belongs to [`try_create_task`], or nobody will hear of its error
/// when the handle is dropped.
///
/// # Panics
/// Without a running loop, and if too many tasks are alive on it (see
/// [`EventLoopBuilder::max_tasks`](crate::EventLoopBuilder::max_tasks)); [`TaskBuilder::create_task_if_running`] returns an
/// error instead.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{create_task, sleep};
///
/// let task = create_task(async {
///     sleep(Duration::from_secs(1)).await;
///     42
/// });
/// assert_eq!(task.await, Ok(42));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.create_task(coro)`. A future that returns a `Result` whose error is the *task's* failure belongs to
/// [`try_create_task`]: Rust cannot see from here that an output is an error, and an error of which nobody
/// heard would be lost.
#[doc(alias = "spawn")]
#[doc(alias = "spawn_local")]
#[track_caller]
pub fn create_task<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
{
    TaskBuilder::new().create_task(future)
}

/// Hands a future that may fail to the running loop: its error is the task's failure.
///
/// A failure that nobody takes is reported to the loop's exception handler, once.
///
/// # Panics
/// Without a running loop, and if too many tasks are alive on it, as [`create_task`].
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{TaskError, try_create_task};
///
/// let task = try_create_task(async { "no number".parse::<u32>() });
/// assert!(matches!(task.await, Err(TaskError::Failed(_))));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.create_task(coro)`, for a coroutine that raises.
#[doc(alias = "spawn")]
#[track_caller]
pub fn try_create_task<F, T, E>(future: F) -> Task<T, E>
where
    F: Future<Output = Result<T, E>> + 'static,
    T: 'static,
    E: fmt::Debug + 'static,
{
    TaskBuilder::new().try_create_task(future)
}

/// The task that is running.
///
/// # Panics
/// In a callback or without a running loop; [`try_current_task`] returns an error instead.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// assert_eq!(loopwheel::current_task().name(), "main");
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.current_task()`.
#[track_caller]
pub fn current_task() -> TaskRef {
    match try_current_task() {
        Ok(task) => task,
        Err(error) => panic!("{error}"),
    }
}

/// The task that is running, if one is.
///
/// # Errors
/// In a callback or without a running loop.
pub fn try_current_task() -> Result<TaskRef, NoCurrentTask> {
    leaf::current().as_ref().and_then(TaskRef::of_task).ok_or(NoCurrentTask)
}

/// All tasks of the running loop that are not over, oldest first.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// let task = loopwheel::create_task(loopwheel::yield_now());
/// assert_eq!(loopwheel::all_tasks().len(), 2); // main and this one
/// task.await.unwrap();
/// assert_eq!(loopwheel::all_tasks().len(), 1);
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.all_tasks()`; a set there.
#[track_caller]
pub fn all_tasks() -> Vec<TaskRef> {
    running_loop().tasks().into_iter().map(TaskRef::new).collect()
}

/// The loop of this thread, or a panic with the one sentence.
#[track_caller]
pub(crate) fn running_loop() -> Rc<Engine> {
    match current::running() {
        Some(engine) => engine,
        None => panic!("{NoRunningLoop}"),
    }
}
