//! **Tasks**: how they are spawned, and the handles to them.
//!
//! A handle could stop its task when it is dropped, as a future does. Then every task would need an owner. As in asyncio, dropping
//! a handle detaches the task and never stops it. To await a handle gives the outcome. A cancel of the awaiting task is forwarded
//! to the awaited one.
//!
//! | file | idea |
//! |---|---|
//! | `builder` | settings of a task, and its spawning |
//! | `handle` | the handle that owns the outcome |
//! | `shared` | a handle that can be cloned |
//! | `reference` | what every task can do, whatever the type of its outcome |
//!
//! It stands on `base`, `error`, the kernel, `task_local` and `join`.

mod builder;
mod handle;
mod reference;
mod shared;

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use crate::engine::Engine;
use crate::error::{NoCurrentTask, NoRunningLoop};
use crate::kernel::current;

pub use builder::TaskBuilder;
pub use handle::{Task, TaskHandle, TaskOf};
pub use reference::TaskRef;
pub(crate) use reference::give_name;
pub use shared::{SharedTask, SharedTaskOf};

/// Spawns a future as a task of the running loop.
///
/// The future may be `!Send`: it never leaves this thread. Its first poll is in the loop's next turn. Its output is the task's
/// value, even if that is an `Err`. Use [`try_create_task`] for a future that can fail; else its error is lost when the handle is
/// dropped.
///
/// # Panics
/// Without a running loop, and if too many tasks are alive on it (see [`max_tasks`](crate::EventLoopBuilder::max_tasks));
/// [`TaskBuilder::create_task_if_running`] returns an error instead.
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
/// `asyncio.create_task(coro)`. For a coroutine that raises: [`try_create_task`]. Rust cannot see here that an output is an error.
#[doc(alias = "spawn")]
#[doc(alias = "spawn_local")]
#[track_caller]
pub fn create_task<F: Future + 'static>(future: F) -> Task<F::Output> {
    TaskBuilder::new().create_task(future)
}

/// Spawns a future that can fail as a task of the running loop: its error is the task's failure.
///
/// A failure that no handle takes is reported once, to the loop's exception handler.
///
/// # Panics
/// As with [`create_task`].
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
pub fn try_create_task<F, T: 'static, E: fmt::Debug + 'static>(future: F) -> Task<T, E>
where
    F: Future<Output = Result<T, E>> + 'static,
{
    TaskBuilder::new().try_create_task(future)
}

/// The task that is running.
///
/// # Panics
/// In a callback, and without a running loop; [`try_current_task`] returns an error instead.
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
    let Ok(task) = try_current_task() else { panic!("{NoCurrentTask}") };
    task
}

/// The task that is running, if one is.
///
/// # Errors
/// In a callback, and without a running loop.
pub fn try_current_task() -> Result<TaskRef, NoCurrentTask> {
    current::task().as_ref().and_then(TaskRef::of_task).ok_or(NoCurrentTask)
}

/// All tasks of the running loop that have not ended, oldest first.
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
/// `asyncio.all_tasks()`, which returns a set.
#[track_caller]
pub fn all_tasks() -> Vec<TaskRef> {
    running_loop().tasks().into_iter().map(TaskRef::new).collect()
}

/// The current loop. Panics if there is none.
#[track_caller]
pub(crate) fn running_loop() -> Rc<Engine> {
    let Some(engine) = current::running() else { panic!("{NoRunningLoop}") };
    engine
}
