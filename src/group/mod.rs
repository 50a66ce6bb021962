//! **Task groups**: [`TaskGroup`], tasks that end together.
//!
//! Code that spawns tasks could join them one by one. But if the first join fails, or is cancelled or dropped, the other tasks run
//! on and their errors are lost. So a scope owns its children: it ends when all of them have ended. If a child fails, the others
//! and the body are cancelled; if the body fails or the scope is cancelled, the children are. The scope waits for their clean-up;
//! only a scope that is dropped cannot, and drops its children hard. The rules and their order are those of `CPython`'s
//! `taskgroups.py`. The cancel request that a group makes of its own task is taken back at the end, as that of a time limit is.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the scope: its body, its children, and how it ends |
//! | `builder` | its settings, and the future of the scope |
//! | `frame` | the future around the body, in which the group's cancel is delivered |
//!
//! The children and their errors are in a ring of their own, `group/state`.
//!
//! It stands on `base`, `cells`, `reason`, `error`, the kernel, `foreign`, `delivery`, `scope`, `task`, `spawning`, `catch`,
//! `exception_group`, `limited` and `group/state`.

mod builder;
mod frame;
mod state;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::rc::Rc;

use thiserror::Error;

use crate::base::kind::{Fallible, Kind};
use crate::catch::{Ending, Held};
use crate::delivery::checkpoint;
use crate::engine::Engine;
use crate::error::Cancelled;
use crate::exception_group::{
    BodyOutput, ChildOf, ChildOutput, ExceptionGroup, IntoRaised, Raised,
};
use crate::foreign;
use crate::kernel::current::with_current_loop;
use crate::limited::limited;
use crate::reason::{Cause, Reason};
use crate::spawning::TaskBuilder;
use crate::task::{Task, running_loop};
pub use builder::TaskGroupBuilder;
use frame::BodyFrame;
use state::{Phase, State};

/// Tasks that end together. [`scope`](TaskGroup::scope) creates it. A clone is the same group, so that children can spawn as well.
///
/// # In asyncio
/// `asyncio.TaskGroup`.
pub struct TaskGroup<E = Infallible> {
    state: Rc<State<E>>,
}

/// A child was spawned into a group that no longer takes any.
///
/// # In asyncio
/// `RuntimeError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GroupClosed {
    /// The group is cancelling its children.
    #[error(
        "the task group is shutting down, because a child failed or the group was cancelled: spawn into it before that, or use \
         `create_task_if_open`, which returns this as an error"
    )]
    ShuttingDown,
    /// The scope has ended.
    #[error(
        "the task group is over: spawn inside the body of its scope, or in one of its children"
    )]
    Over,
}

impl<E: fmt::Debug + 'static> TaskGroup<E> {
    /// Runs `body`, waits for every task that was spawned into the group, and returns what `body` returned.
    ///
    /// If a child fails, the other children and the body are cancelled; if the body fails, the children are. All errors are
    /// returned in one [`ExceptionGroup`]. A child whose failure concerns no other, such as one connection of a server, handles its
    /// error itself and returns `()`; but a panic of it ends the group, too, unless the group
    /// [isolates failures](TaskGroupBuilder::isolate_failures). To run all to the end and have each result there is
    /// [`return_exceptions`](crate::Gather::return_exceptions).
    ///
    /// Where the compiler cannot infer `E` ("type annotations needed"), because body and children return nothing, write
    /// `TaskGroup::<std::convert::Infallible>::scope`.
    ///
    /// # Cancellation
    /// The children are cancelled and waited for. Then the cancel goes on, unless a child failed: errors take precedence. A scope that
    /// is *dropped* cannot wait, for example as the loser of a `select!`: its children's futures are dropped before `drop` returns,
    /// and their clean-up that awaits does not run. (A child that is being polled at that moment is dropped at the end of its poll.)
    /// So to stop a server, have its body end, or cancel it, rather than drop it.
    ///
    /// # Errors
    /// The errors of the children and of the body. A child's panic is one of them. A panic of the body goes on as a panic when the
    /// children have ended.
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
    /// });
    /// assert_eq!(failed.await.unwrap_err().iter().collect::<Vec<_>>(), [&"broken"]);
    ///
    /// use loopwheel::try_create_task;
    /// let serve = async |client: u32| if client == 0 { panic!("a bug") } else { Err::<(), _>("connection reset") };
    /// let served = TaskGroup::<std::convert::Infallible>::scope(async |group| {
    ///     for client in 0..2 {
    ///         group.create_task(async move {
    ///             if let Err(error) = try_create_task(serve(client)).await {
    ///                 eprintln!("client {client}: {error}"); // the panic of one, the error of the other
    ///             }
    ///         });
    ///     }
    /// });
    /// assert!(served.await.is_ok());
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `async with asyncio.TaskGroup() as group`.
    #[doc(alias = "nursery")]
    #[doc(alias = "JoinSet")]
    #[doc(alias = "start_soon")]
    #[track_caller]
    pub fn scope<B: BodyOutput<E>>(
        body: impl AsyncFnOnce(&TaskGroup<E>) -> B,
    ) -> impl Future<Output = Result<B::Value, ExceptionGroup<E>>> {
        TaskGroupBuilder::default().scope(body)
    }

    /// Spawns a child. Its value goes to its handle, its error to the group. If a child fails, the body is cancelled before it could
    /// see that, so `child.await.unwrap()` is right there, unless the program cancels this child alone. Code outside the body that
    /// awaits the handle gets [`TaskError::Grouped`](crate::TaskError::Grouped).
    ///
    /// A child returns a `Result`, or nothing. Children and body agree on `E`. Where the compiler cannot infer it, because all of them
    /// return nothing, write `TaskGroup::<std::convert::Infallible>::scope`. A body that returns a value writes `Ok::<_, MyError>(value)`, even
    /// then; a child without a value writes `Err::<(), _>(…)`.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop. If the group takes no more children;
    /// [`create_task_if_open`](TaskGroup::create_task_if_open) returns an error instead.
    ///
    /// # Examples
    /// Children are `'static`: they share what they need by an `Rc`. With `?` on errors of several types, the group's error is an enum
    /// or a box.
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::{cell::Cell, error::Error, rc::Rc};
    /// use loopwheel::TaskGroup;
    ///
    /// let sum = Rc::new(Cell::new(0));
    /// let scope = TaskGroup::<Box<dyn Error>>::scope(async |group| {
    ///     for text in ["1", "2", "three"] {
    ///         let sum = sum.clone();
    ///         group.create_task(async move {
    ///             sum.set(sum.get() + text.parse::<u32>()?);
    ///             Ok(())
    ///         });
    ///     }
    /// });
    /// assert_eq!(scope.await.unwrap_err().iter().count(), 1);
    /// assert_eq!(sum.get(), 3);
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `group.create_task(coro)`.
    #[doc(alias = "spawn")]
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> Task<<F::Output as ChildOutput<E>>::Value, E>
    where
        F: Future<Output: ChildOutput<E, Value: 'static>> + 'static,
    {
        or_panic(self.create(TaskBuilder::new(), ChildOf::KIND, future, Location::caller()))
    }

    /// Spawns a child.
    ///
    /// # Errors
    /// If the group is shutting down or has ended; the future is dropped.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop.
    #[track_caller]
    pub fn create_task_if_open<F>(
        &self,
        future: F,
    ) -> Result<Task<<F::Output as ChildOutput<E>>::Value, E>, GroupClosed>
    where
        F: Future<Output: ChildOutput<E, Value: 'static>> + 'static,
    {
        self.create(TaskBuilder::new(), ChildOf::KIND, future, Location::caller())
    }

    /// Spawns a child with a name.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop. If the group takes no more children;
    /// [`create_named_if_open`](TaskGroup::create_named_if_open) returns an error instead.
    #[track_caller]
    pub fn create_named<F>(
        &self,
        name: impl Into<String>,
        future: F,
    ) -> Task<<F::Output as ChildOutput<E>>::Value, E>
    where
        F: Future<Output: ChildOutput<E, Value: 'static>> + 'static,
    {
        let builder = TaskBuilder::new().name(name);
        or_panic(self.create(builder, ChildOf::KIND, future, Location::caller()))
    }

    /// Spawns a child with a name.
    ///
    /// # Errors
    /// If the group is shutting down or has ended; the future is dropped.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop.
    #[track_caller]
    pub fn create_named_if_open<F>(
        &self,
        name: impl Into<String>,
        future: F,
    ) -> Result<Task<<F::Output as ChildOutput<E>>::Value, E>, GroupClosed>
    where
        F: Future<Output: ChildOutput<E, Value: 'static>> + 'static,
    {
        self.create(TaskBuilder::new().name(name), ChildOf::KIND, future, Location::caller())
    }

    /// Spawns a child that opens a scope of its own, and so fails with a group of errors: the groups nest.
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
    ///     }));
    /// });
    /// let errors = failed.await.unwrap_err();
    /// assert_eq!(errors.iter().collect::<Vec<_>>(), [&"deep inside"]);
    /// # });
    /// ```
    #[track_caller]
    pub fn create_subgroup<T: 'static, F>(&self, future: F) -> Task<T, ExceptionGroup<E>>
    where
        F: Future<Output = Result<T, ExceptionGroup<E>>> + 'static,
    {
        or_panic(self.create(TaskBuilder::new(), Fallible, future, Location::caller()))
    }

    #[track_caller]
    fn create<F: Future + 'static, K>(
        &self,
        builder: TaskBuilder,
        kind: K,
        future: F,
        at: &'static Location<'static>,
    ) -> Result<Task<K::Value, K::Error>, GroupClosed>
    where
        K: Kind<F::Output, Value: 'static, Error: IntoRaised<E>>,
    {
        let state = &self.state;
        let (phase, running) = (state.phase.get(), state.running.get());
        if phase == Phase::Ended || phase == Phase::Waiting && running == 0 {
            return Err(GroupClosed::Over);
        }
        if state.aborting.get() {
            return Err(GroupClosed::ShuttingDown);
        }
        let engine = running_loop();
        let builder = match state.eager_start {
            None => builder,
            Some(at_once) => builder.eager_start(at_once),
        };
        let task = match &state.limit {
            None => builder.spawn_on(&engine, kind, future, at),
            Some(limit) => builder.spawn_on(&engine, kind, limited(limit.clone(), future), at),
        };
        state.add_child(task.typed_record());
        Ok(task)
    }

    /// Ends the group without an error: cancels its children, and its body if that is still running.
    ///
    /// The scope then fails with an [empty](ExceptionGroup::is_empty) group of errors if the body was interrupted, and returns the
    /// body's value if it was not.
    ///
    /// # In asyncio
    /// `TaskGroup.cancel()` of Python 3.15.
    #[doc(alias = "cancel_scope")]
    #[track_caller]
    pub fn cancel(&self) {
        self.state.quiet.set(true);
        let cause = Cause::GroupCancelled(self.state.parent().who());
        let reason = Reason::own(cause, Some(Location::caller()));
        self.state.abort(&reason);
        self.state.cancel_body(&reason);
    }

    /// How many children have not ended.
    pub fn running(&self) -> usize {
        crate::cells::look_at_everything();
        self.state.running.get()
    }

    /// The body has ended: waits for the children, then ends the scope. The `__aexit__` of asyncio.
    async fn exit<R>(
        &self,
        ended: Result<Result<R, Raised<E>>, Ending>,
    ) -> Result<R, ExceptionGroup<E>> {
        let state = &*self.state;
        state.phase.set(Phase::Waiting);
        let body_ended = || state.reason(Cause::BodyEnded);
        let mut cancelled = match &ended {
            Err(Ending::Cancelled(cancelled)) => Some(cancelled.clone()),
            _ => None,
        };
        if !matches!(ended, Ok(Ok(_))) && !state.aborting.get() {
            state.abort(&body_ended());
        }
        // A cancel interrupts the wait, but may not end it: it is kept, and raised when the children have ended.
        while state.running.get() > 0 {
            let wait = Held::new(state.all_done.wait(), BodyFrame::new(&self.state));
            match wait.await {
                Err(Ending::Panicked(payload)) => resume_unwind(payload), // of a foreign waker: the scope is dropped hard
                Err(Ending::Cancelled(again)) if !state.aborting.get() => {
                    cancelled = Some(again);
                    state.abort(&body_ended());
                }
                Err(Ending::Cancelled(again)) if state.quiet.get() => {
                    cancelled.get_or_insert(again); // perhaps the group's own: decided below
                }
                Ok(()) | Err(Ending::Cancelled(_)) => {}
            }
        }
        if state.take_request_back() {
            cancelled = None; // it was the group's own
        }
        state.phase.set(Phase::Ended);
        self.value_or_raise(ended, cancelled).await
    }

    /// No child is left: returns the body's value, or raises what there is to raise. Errors take precedence over a cancel.
    async fn value_or_raise<R>(
        &self,
        ended: Result<Result<R, Raised<E>>, Ending>,
        cancelled: Option<Cancelled>,
    ) -> Result<R, ExceptionGroup<E>> {
        let state = &*self.state;
        let (value, error) = match ended {
            Ok(Ok(value)) => (Some(value), None),
            Ok(Err(error)) => (None, Some(error)),
            Err(Ending::Cancelled(_)) => (None, None),
            Err(Ending::Panicked(payload)) => resume_unwind(payload), // the guard reports the children's errors
        };
        let mut errors = state.take_errors();
        match cancelled {
            Some(cancelled) if errors.is_empty() => cancelled.reraise().await,
            _ => {}
        }
        errors.extend(error);
        match value {
            Some(value) if errors.is_empty() => return Ok(value),
            Some(value) => _ = foreign::call_for(&state.parent(), || drop(value)),
            None => {}
        }
        // The task is being cancelled from outside as well. The errors are returned now, so the cancel is raised at the next await.
        let parent = state.parent();
        if parent.requests_but_of_scopes_beside() > 0 && !errors.is_empty() {
            let reason = parent.reason().hushed(); // in asyncio this cancel has no message
            if with_current_loop(Engine::interrupt_next) == Some(true) {
                checkpoint::set_reason(reason);
            } else {
                parent.uncancel();
                parent.cancel(&reason);
            }
        }
        let message = match errors[..] {
            [] => "the task group was cancelled, and its body was interrupted",
            _ => "unhandled errors in a TaskGroup",
        };
        Err(ExceptionGroup::from_members(message, errors))
    }
}

#[track_caller]
fn or_panic<T>(spawned: Result<T, GroupClosed>) -> T {
    match spawned {
        Ok(task) => task,
        Err(closed) => panic!("{closed}"), // not in a closure: the panic would not have the caller's line
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
