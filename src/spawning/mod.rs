//! **Spawning**: how a task is created, by a function or by a builder with settings.
//!
//! Each way of creating tasks (the functions here, a group, a gathering, another thread) could insert its record into the loop
//! itself. Here they all end in one function, [`TaskBuilder::try_spawn_on`], which says no if there is no room. The plain functions
//! are that with the running loop, and panic. [`try_claim`] is that without settings and without a join.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the functions, and the builder |
//! | `claim` | a handle without a join, for many tasks that are awaited as one |
//!
//! It stands on `base`, `error`, the kernel, `task` and `eager`.

mod claim;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::kind::{Fallible, Kind, Plain};
use crate::engine::Engine;
use crate::error::{CreateTaskError, NoRunningLoop, TooManyTasks};
use crate::kernel::current;
use crate::task::{Task, TaskOf};
pub(crate) use claim::{Claim, TaskClaim};

/// Settings of a task that is about to be created.
///
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::TaskBuilder;
///
/// let task = TaskBuilder::new().name("fetch-1").create_task(async { 1 });
/// assert_eq!(task.name(), "fetch-1");
/// # });
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder creates nothing before `create_task`"]
pub struct TaskBuilder {
    name: Option<Arc<str>>,
    /// `None`: as the loop was told.
    eager_start: Option<bool>,
}

impl TaskBuilder {
    /// A builder without settings.
    pub fn new() -> TaskBuilder {
        TaskBuilder::default()
    }

    /// The task's name; without one it is `Task-1`, `Task-2`, …
    pub fn name(mut self, name: impl Into<String>) -> TaskBuilder {
        self.name = Some(name.into().into());
        self
    }

    /// Whether the task is polled at once, inside the call that creates it, and not in the next turn. Without this call it is as
    /// the loop was told: [`EventLoopBuilder::eager_start`](crate::EventLoopBuilder::eager_start).
    ///
    /// A task that does not wait in its first poll has ended when the call returns, and an await of it returns at once: a cached
    /// answer, for instance, costs no turn. One that waits goes on as any other. So the order of what happens changes: its first
    /// part runs *before* what follows the call, and what the caller has borrowed (a `RefCell`) must be given back before.
    ///
    /// In that poll the [current task](crate::current_task()) is the new one. Its panic or error is its outcome, and it has a copy of
    /// the [task-locals](crate::TaskLocal) of its creator. Its done-callbacks run in the next turn, and a group reacts to its failure
    /// then.
    ///
    /// It begins in the next turn all the same if it is created outside of a task or callback of its loop; in a destructor that runs
    /// after a poll; in a poll that only finds out what is to be cancelled; and if 32 such polls are nested already, because each takes
    /// its part of the stack.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::TaskBuilder;
    ///
    /// let task = TaskBuilder::new().eager_start(true).create_task(async { 42 });
    /// assert!(task.is_done());
    /// assert_eq!(task.await, Ok(42)); // without a turn in between
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `asyncio.create_task(coro, eager_start=True)`. There nothing limits how deep such tasks nest but the recursion limit.
    #[doc(alias = "eager_task_factory")]
    #[doc(alias = "create_eager_task_factory")]
    pub fn eager_start(mut self, at_once: bool) -> TaskBuilder {
        self.eager_start = Some(at_once);
        self
    }

    /// See [`create_task`](crate::create_task()).
    ///
    /// # Panics
    /// Without a running loop, and if too many tasks are alive on it.
    #[track_caller]
    pub fn create_task<F: Future + 'static>(self, future: F) -> Task<F::Output> {
        self.spawn_on_running(Plain, future, Location::caller())
    }

    /// See [`try_create_task`](crate::try_create_task()).
    ///
    /// # Panics
    /// Without a running loop, and if too many tasks are alive on it.
    #[track_caller]
    pub fn try_create_task<F, T: 'static, E: fmt::Debug + 'static>(self, future: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
    {
        self.spawn_on_running(Fallible, future, Location::caller())
    }

    /// Like [`create_task`](TaskBuilder::create_task), with an error in place of the panic.
    ///
    /// # Errors
    /// Without a running loop, and if too many tasks are alive on it; the future is dropped.
    #[track_caller]
    pub fn create_task_if_running<F: Future + 'static>(
        self,
        future: F,
    ) -> Result<Task<F::Output>, CreateTaskError> {
        let engine = current::running().ok_or(NoRunningLoop)?;
        Ok(self.try_spawn_on(&engine, Plain, future, Location::caller())?)
    }

    #[track_caller]
    fn spawn_on_running<F: Future + 'static, K: Kind<F::Output, Value: 'static>>(
        self,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> Task<K::Value, K::Error> {
        let spawned =
            current::with_running(|engine| self.try_spawn_on(engine, kind, future, spawned_at));
        match spawned {
            Some(Ok(task)) => task,
            Some(Err(full)) => panic!("{full}"),
            None => panic!("{NoRunningLoop}"),
        }
    }

    /// With a panic if too many tasks are alive. The future is dropped before, because its destructor may panic too.
    #[track_caller]
    pub(crate) fn spawn_on<F: Future + 'static, K: Kind<F::Output, Value: 'static>>(
        self,
        engine: &Rc<Engine>,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> Task<K::Value, K::Error> {
        match self.try_spawn_on(engine, kind, future, spawned_at) {
            Ok(task) => task,
            Err(full) => panic!("{full}"),
        }
    }

    /// The same with an error in place of the panic.
    #[inline]
    pub(crate) fn try_spawn_on<F: Future + 'static, K: Kind<F::Output, Value: 'static>>(
        self,
        engine: &Rc<Engine>,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> Result<Task<K::Value, K::Error>, TooManyTasks> {
        let free_slot = engine.reserve_for_task()?;
        let record = match (self.name, self.eager_start) {
            (None, None) => engine.spawn(free_slot, kind, future, spawned_at),
            settings => engine.spawn_with(free_slot, kind, future, spawned_at, settings),
        };
        Ok(TaskOf::new(record))
    }
}

/// Spawns a task without settings, for what awaits many as one.
#[inline]
pub(crate) fn try_claim<F: Future + 'static, K: Kind<F::Output, Value: 'static>>(
    engine: &Rc<Engine>,
    kind: K,
    future: F,
    spawned_at: &'static Location<'static>,
) -> Result<TaskClaim<K::Value, K::Error>, TooManyTasks> {
    let free_slot = engine.reserve_for_task()?;
    Ok(Claim::new(engine.spawn(free_slot, kind, future, spawned_at)))
}

/// Spawns a future as a task of the running loop.
///
/// The future may be `!Send`, as it never leaves this thread. It must be `'static`, so it owns what it uses: `async move`, with a clone
/// of an `Rc` for what is shared. Its first poll is in the loop's next turn. Its output is the task's
/// value, even if that is an `Err`. Use [`try_create_task`] for a future that can fail; else its error is lost when the handle is
/// dropped.
///
/// A task whose handle is dropped goes on until it ends, or the run does: [`run`](crate::run()) cancels what is left.
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
#[doc(alias = "ensure_future")]
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
