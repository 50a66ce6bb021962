//! [`TaskBuilder`]: settings of a task.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use super::{Task, TaskOf, running_loop};
use crate::engine::current;
use crate::engine::record::{Fallible, Kind, Plain};
use crate::engine::slots::Vacancy;
use crate::engine::turn::Engine;
use crate::error::{CreateTaskError, NoRunningLoop, TooManyTasks};

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
#[must_use = "a builder makes nothing before `create_task`"]
pub struct TaskBuilder {
    name: Option<Rc<str>>,
}

impl TaskBuilder {
    /// No settings yet.
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
    pub fn try_create_task<F, T, E>(self, future: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: fmt::Debug + 'static,
    {
        self.spawn_on(&running_loop(), Fallible, future, Location::caller())
    }

    /// Like [`create_task`](TaskBuilder::create_task), with an error in place of the panic.
    ///
    /// # Errors
    /// Without a running loop, and if too many tasks are alive on it; the future is dropped.
    #[track_caller]
    pub fn create_task_if_running<F>(self, future: F) -> Result<Task<F::Output>, CreateTaskError>
    where
        F: Future + 'static,
    {
        let engine = current::running().ok_or(NoRunningLoop)?;
        Ok(self.try_spawn_on(&engine, Plain, future, Location::caller())?)
    }

    #[track_caller]
    pub(crate) fn spawn_on<F, K>(
        self,
        engine: &Rc<Engine>,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> Task<K::Value, K::Error>
    where
        F: Future + 'static,
        K: Kind<F::Output, Value: 'static>,
    {
        let vacancy = match engine.room_for_task() {
            Ok(vacancy) => vacancy,
            Err(full) => {
                drop(future); // before the panic: it may panic too
                panic!("{full}")
            }
        };
        self.spawn_at(vacancy, engine, kind, future, spawned_at)
    }

    /// The same with an error in place of the panic; the future is dropped then.
    #[inline]
    pub(crate) fn try_spawn_on<F, K>(
        self,
        engine: &Rc<Engine>,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> Result<Task<K::Value, K::Error>, TooManyTasks>
    where
        F: Future + 'static,
        K: Kind<F::Output, Value: 'static>,
    {
        let vacancy = engine.room_for_task()?;
        Ok(self.spawn_at(vacancy, engine, kind, future, spawned_at))
    }

    #[inline]
    fn spawn_at<F, K>(
        self,
        vacancy: Vacancy,
        engine: &Rc<Engine>,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> Task<K::Value, K::Error>
    where
        F: Future + 'static,
        K: Kind<F::Output, Value: 'static>,
    {
        let record = engine.spawn(vacancy, kind, future, spawned_at);
        if let Some(name) = self.name {
            record.cold().name.replace(Some(name));
        }
        TaskOf::new(record)
    }
}
