//! **Tasks**: the handles to them, and what can be asked of them.
//!
//! A handle could stop its task when it is dropped, as a future does. Then every task would need an owner. As in asyncio, dropping
//! a handle detaches the task and never stops it. To await a handle gives the outcome. A cancel of the awaiting task is forwarded
//! to the awaited one.
//!
//! | file | idea |
//! |---|---|
//! | `handle` | the handle that owns the outcome |
//! | `shared` | a handle that can be cloned |
//! | `reference` | what every task can do, whatever the type of its outcome |
//!
//! It stands on `base`, `cells`, `reason`, `error`, the kernel, `task_local`, `cancel` and `join`.

mod handle;
mod reference;
mod shared;

use std::rc::Rc;

use crate::engine::Engine;
use crate::error::{NoCurrentTask, NoRunningLoop};
use crate::kernel::current;

pub use handle::{Task, TaskHandle, TaskOf};
pub use reference::TaskRef;
pub(crate) use reference::give_name;
pub use shared::{SharedTask, SharedTaskOf};

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
    crate::cells::look_at_everything();
    running_loop().tasks().into_iter().map(TaskRef::new).collect()
}

/// The current loop, for a future that is polled. Its caller's line is not the user's, so the message says what was polled.
pub(crate) fn loop_that_polls(future: &str) -> Rc<Engine> {
    match current::running() {
        Some(engine) => engine,
        None => is_polled_elsewhere(future),
    }
}

#[cold]
fn is_polled_elsewhere(future: &str) -> ! {
    panic!(
        "{future} was polled where no event loop of this crate runs: await it inside `loopwheel::run`, or in a task of a loop; \
         under another executor, run the loop by `EventLoop::drive`, and await it in a task there"
    )
}

/// The current loop. Panics if there is none.
#[track_caller]
pub(crate) fn running_loop() -> Rc<Engine> {
    let Some(engine) = current::running() else { panic!("{NoRunningLoop}") };
    engine
}
