//! **The builder** of a task: its name, and the way into the loop for every task that has a handle.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use super::handle::{Task, TaskOf};
use super::reference::give_name;
use super::running_loop;
use crate::base::kind::{Fallible, Kind, Plain};
use crate::engine::Engine;
use crate::error::{CreateTaskError, NoRunningLoop, TooManyTasks};
use crate::kernel::current;

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
    name: Option<Rc<str>>,
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

    /// See [`create_task`](crate::create_task()).
    ///
    /// # Panics
    /// Without a running loop, and if too many tasks are alive on it.
    #[track_caller]
    pub fn create_task<F: Future + 'static>(self, future: F) -> Task<F::Output> {
        self.spawn_on(&running_loop(), Plain, future, Location::caller())
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
        self.spawn_on(&running_loop(), Fallible, future, Location::caller())
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
        let record = engine.spawn(free_slot, kind, future, spawned_at);
        if let Some(name) = self.name {
            give_name(&record, name);
        }
        Ok(TaskOf::new(record))
    }
}
