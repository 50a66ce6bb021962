//! [`TaskGroup`]: tasks that end together.
//!
//! A scope owns its children. It ends when all of them have ended, and however it ends, none of them lives on: not when
//! a child fails (the others and the body are cancelled), not when the task around it is cancelled, and not when the
//! scope's future is dropped in the middle (then they are dropped too, hard).
//!
//! The rules are those of `CPython`'s `taskgroups.py`, in the same order; where the body is cancelled because a child
//! failed, the group takes back the one request that it made, as a time limit does.

mod frame;
mod state;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::rc::Rc;

use thiserror::Error;

use crate::cancel::Ending;
use crate::engine::current::with_current_loop;
use crate::engine::foreign;
use crate::engine::frame::Held;
use crate::engine::leaf;
use crate::engine::reason::{Own, Reason};
use crate::engine::record::Fallible;
use crate::engine::turn::Engine;
use crate::error::Cancelled;
use crate::exception_group::{ExceptionGroup, Raised};
use crate::task::{Task, TaskBuilder, running_loop};
use frame::{Aborts, InTurn};
use state::{Owned, State};

/// Tasks that end together. Made by [`scope`](TaskGroup::scope); a clone is the same group, for children that spawn.
///
/// # In asyncio
/// `asyncio.TaskGroup`.
pub struct TaskGroup<E = Infallible> {
    state: Rc<State<E>>,
}

/// A child was spawned into a group that takes none any more.
///
/// # In asyncio
/// `RuntimeError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupClosed {
    /// The group is cancelling its children.
    #[error("the task group is shutting down: a child failed or the group was cancelled")]
    ShuttingDown,
    /// The scope has ended.
    #[error("the task group is over: spawn inside its scope")]
    Over,
}

/// Settings of a group that is about to be made.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder makes nothing before `scope`"]
pub struct TaskGroupBuilder {
    limit: Option<usize>,
}

impl TaskGroupBuilder {
    /// No settings yet.
    pub fn new() -> TaskGroupBuilder {
        TaskGroupBuilder::default()
    }

    /// At most so many children run at once; the others begin when one of them ends, in the order of spawning.
    pub fn limit(mut self, running_at_once: usize) -> TaskGroupBuilder {
        self.limit = Some(running_at_once.max(1));
        self
    }

    /// See [`TaskGroup::scope`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Errors
    /// As there.
    pub async fn scope<E, R, X>(
        self,
        body: impl AsyncFnOnce(&TaskGroup<E>) -> Result<R, X>,
    ) -> Result<R, ExceptionGroup<E>>
    where
        E: fmt::Debug + 'static,
        X: Into<Raised<E>>,
    {
        let group = TaskGroup::new(self.limit);
        let _owned = Owned(&group.state);
        let ended = Held::new(body(&group), Aborts::new(&group.state)).await;
        group.exit(ended).await
    }
}

impl<E: fmt::Debug + 'static> TaskGroup<E> {
    fn new(limit: Option<usize>) -> TaskGroup<E> {
        let parent = leaf::current().expect("a task group can only be opened in a task");
        let state = State::new(parent, limit);
        TaskGroup { state: Rc::new(state) }
    }

    /// Runs `body`, waits for every task that was spawned into the group, and gives what `body` returned.
    ///
    /// If a child fails, the other children and the body are cancelled; if the body fails, the children are. All errors
    /// come out, in one [`ExceptionGroup`].
    ///
    /// # Cancellation
    /// The children are cancelled and waited for; then the cancel goes on, unless a child failed: errors come first. If the
    /// scope is dropped hard, its children's futures are dropped before `drop` returns; one that is being polled at that
    /// moment, at the end of its poll.
    ///
    /// # Errors
    /// The errors of the children and of the body. A child's panic is one of them; a panic of the body goes on as a panic
    /// when the children have ended.
    ///
    /// # Panics
    /// When polled outside a task.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskGroup, sleep};
    ///
    /// let sum = TaskGroup::scope(async |group| {
    ///     let one = group.create_task(async { Ok::<_, String>(1) });
    ///     let two = group.create_task(async {
    ///         sleep(Duration::from_secs(1)).await;
    ///         Ok(2)
    ///     });
    ///     Ok::<_, String>(one.await.unwrap() + two.await.unwrap())
    /// });
    /// assert_eq!(sum.await.unwrap(), 3);
    ///
    /// let failed = TaskGroup::scope(async |group| {
    ///     group.create_task(async { Err::<(), _>("broken") });
    ///     sleep(Duration::from_secs(60)).await; // is cancelled
    ///     Ok::<_, &str>(())
    /// });
    /// assert_eq!(failed.await.unwrap_err().iter().collect::<Vec<_>>(), [&"broken"]);
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `async with asyncio.TaskGroup() as group`.
    #[doc(alias = "nursery")]
    pub async fn scope<R, X>(
        body: impl AsyncFnOnce(&TaskGroup<E>) -> Result<R, X>,
    ) -> Result<R, ExceptionGroup<E>>
    where
        X: Into<Raised<E>>,
    {
        TaskGroupBuilder::default().scope(body).await
    }

    /// Spawns a child. Its failure is the group's; its value is had through the handle, which gives
    /// [`TaskError::Grouped`](crate::TaskError::Grouped) for a child that failed. (The body does not see that, for it is cancelled
    /// first: whoever awaits the handle outside the body does.)
    ///
    /// Children and body must agree on `E`; where the compiler cannot see it, `Ok::<_, E>(…)` or
    /// `TaskGroup::<E>::scope` says it, and `Err::<(), _>(…)` the type of a child without a value.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop. If the group takes no more children; [`try_create_task`](TaskGroup::try_create_task) returns an error instead.
    #[track_caller]
    pub fn create_task<T, F>(&self, future: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        match self.spawn(TaskBuilder::new(), future, Location::caller()) {
            Ok(task) => task,
            Err(closed) => panic!("{closed}"),
        }
    }

    /// Spawns a child.
    ///
    /// # Errors
    /// If the group is shutting down or over; the future is dropped.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop.
    #[track_caller]
    pub fn try_create_task<T, F>(&self, future: F) -> Result<Task<T, E>, GroupClosed>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        self.spawn(TaskBuilder::new(), future, Location::caller())
    }

    /// Spawns a child with a name.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop. If the group takes no more children; [`try_create_named`](TaskGroup::try_create_named) returns an error instead.
    #[track_caller]
    pub fn create_named<T, F>(&self, name: impl Into<String>, future: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        match self.spawn(TaskBuilder::new().name(name), future, Location::caller()) {
            Ok(task) => task,
            Err(closed) => panic!("{closed}"),
        }
    }

    /// Spawns a child with a name.
    ///
    /// # Errors
    /// If the group is shutting down or over; the future is dropped.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop.
    #[track_caller]
    pub fn try_create_named<T, F>(
        &self,
        name: impl Into<String>,
        future: F,
    ) -> Result<Task<T, E>, GroupClosed>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
    {
        self.spawn(TaskBuilder::new().name(name), future, Location::caller())
    }

    /// Spawns a child that fails with a group of errors, because it opens a scope of its own: the groups nest.
    ///
    /// # Panics
    /// If the group takes no more children, and if too many tasks are alive on the loop.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::TaskGroup;
    ///
    /// let failed = TaskGroup::scope(async |group| {
    ///     group.create_subgroup(TaskGroup::scope(async |inner| {
    ///         inner.create_task(async { Err::<(), _>("deep inside") });
    ///         Ok::<_, &str>(())
    ///     }));
    ///     Ok::<_, &str>(())
    /// });
    /// let errors = failed.await.unwrap_err();
    /// assert_eq!(errors.iter().collect::<Vec<_>>(), [&"deep inside"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn create_subgroup<T, F>(&self, future: F) -> Task<T, ExceptionGroup<E>>
    where
        F: Future<Output = Result<T, ExceptionGroup<E>>> + 'static,
        T: 'static,
    {
        match self.spawn(TaskBuilder::new(), future, Location::caller()) {
            Ok(task) => task,
            Err(closed) => panic!("{closed}"),
        }
    }

    #[track_caller]
    fn spawn<T, X, F>(
        &self,
        builder: TaskBuilder,
        future: F,
        at: &'static Location<'static>,
    ) -> Result<Task<T, X>, GroupClosed>
    where
        F: Future<Output = Result<T, X>> + 'static,
        T: 'static,
        X: Into<Raised<E>> + fmt::Debug + 'static,
    {
        let state = &self.state;
        if state.over.get() || state.exiting.get() && state.running.get() == 0 {
            return Err(GroupClosed::Over);
        }
        if state.aborting.get() {
            return Err(GroupClosed::ShuttingDown);
        }
        let engine = running_loop();
        let task = match &state.limit {
            None => builder.spawn_on(&engine, Fallible, future, at),
            Some(limit) => {
                let limit = limit.clone();
                let limited = async move {
                    let _permit = limit.acquire().await;
                    Held::new(future, InTurn).await
                };
                builder.spawn_on(&engine, Fallible, limited, at)
            }
        };
        state.adopt::<X>(task.record());
        Ok(task)
    }

    /// Ends the group quietly: cancels its children, and its body if that is still running.
    ///
    /// The scope then fails with an [empty](ExceptionGroup::is_empty) group of errors if the body was interrupted, and
    /// gives the body's value if it was not.
    ///
    /// # In asyncio
    /// `TaskGroup.cancel()` of Python 3.15.
    #[doc(alias = "cancel_scope")]
    pub fn cancel(&self) {
        self.state.quiet.set(true);
        let reason = Reason::own(Own::GroupCancelled, self.state.parent().number);
        self.state.abort(&reason);
        self.state.cancel_body(&reason);
    }

    /// How many children have not ended.
    pub fn running(&self) -> usize {
        self.state.running.get()
    }

    /// What `__aexit__` does.
    async fn exit<R, X>(&self, ended: Result<Result<R, X>, Ending>) -> Result<R, ExceptionGroup<E>>
    where
        X: Into<Raised<E>>,
    {
        let state = &*self.state;
        state.exiting.set(true);
        let body_ended = || Reason::own(Own::BodyEnded, state.parent().number);
        let mut cancelled = match &ended {
            Err(Ending::Cancelled(cancelled)) => Some(cancelled.clone()),
            _ => None,
        };
        if !matches!(ended, Ok(Ok(_))) && !state.aborting.get() {
            state.abort(&body_ended());
        }
        while state.running.get() > 0 {
            let wait = Held::new(state.all_done.wait(), Aborts::new(&self.state));
            if let Err(Ending::Cancelled(again)) = wait.await {
                if !state.aborting.get() {
                    cancelled = Some(again);
                    state.abort(&body_ended());
                } else if state.quiet.get() {
                    cancelled.get_or_insert(again); // whose it was is found out below
                }
            }
        }
        if state.take_request_back() {
            cancelled = None; // it was the group's own
        }
        state.over.set(true);
        self.conclude(ended, cancelled).await
    }

    async fn conclude<R, X>(
        &self,
        ended: Result<Result<R, X>, Ending>,
        cancelled: Option<Cancelled>,
    ) -> Result<R, ExceptionGroup<E>>
    where
        X: Into<Raised<E>>,
    {
        let state = &*self.state;
        let (value, error) = match ended {
            Ok(Ok(value)) => (Some(value), None),
            Ok(Err(error)) => (None, Some(error.into())),
            Err(Ending::Cancelled(_)) => (None, None),
            Err(Ending::Panicked(payload)) => resume_unwind(payload), // the children's errors are reported
        };
        let mut errors = state.take_errors();
        if let Some(cancelled) = cancelled
            && errors.is_empty()
        {
            cancelled.reraise().await;
        }
        errors.extend(error);
        match value {
            Some(value) if errors.is_empty() => return Ok(value),
            Some(value) => _ = foreign::call_for(&state.parent(), || drop(value)),
            None => {}
        }
        let parent = state.parent();
        if parent.requests_but_of_scopes_beside() > 0 && !errors.is_empty() {
            // It is being cancelled from outside as well: that is raised again, where this code awaits next.
            if with_current_loop(Engine::interrupt_next) == Some(true) {
                leaf::set_reason(Reason::none());
            } else {
                parent.uncancel();
                parent.cancel(&Reason::none());
            }
        }
        Err(ExceptionGroup::from_members("unhandled errors in a TaskGroup", errors))
    }
}

impl<E> Clone for TaskGroup<E> {
    fn clone(&self) -> TaskGroup<E> {
        TaskGroup { state: self.state.clone() }
    }
}

impl<E> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("running", &self.state.running.get())
            .field("is_shutting_down", &self.state.aborting.get())
            .finish_non_exhaustive()
    }
}
