//! The settings of a group, and the scope that has them.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use super::TaskGroup;
use super::frame::BodyFrame;
use super::state::{ScopeGuard, State};
use crate::catch::Held;
use crate::exception_group::{BodyOutput, ExceptionGroup};
use crate::kernel::current;

/// The settings of a group, before it exists.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder creates nothing before `scope`"]
pub struct TaskGroupBuilder {
    limit: Option<usize>,
    eager_start: Option<bool>,
    isolates_failures: bool,
}

impl TaskGroupBuilder {
    /// No settings yet.
    pub fn new() -> TaskGroupBuilder {
        TaskGroupBuilder::default()
    }

    /// Lets at most `running_at_once` children run at once. The others start as those end, in the order of spawning.
    pub fn limit(mut self, running_at_once: usize) -> TaskGroupBuilder {
        self.limit = Some(running_at_once.max(1));
        self
    }

    /// Whether the children are polled at once, inside the call that spawns them: see
    /// [`TaskBuilder::eager_start`](crate::TaskBuilder::eager_start). A group reacts to the failure of a child in the next turn. If a
    /// child cancels the group, or ends its scope, in that poll, it is cancelled too.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::TaskGroupBuilder;
    ///
    /// let scope = TaskGroupBuilder::new().eager_start(true).scope(async |group| {
    ///     let child = group.create_task(async { Ok(1) });
    ///     assert!(child.is_done());
    ///     Ok::<_, String>(child.await.unwrap())
    /// });
    /// assert_eq!(scope.await.unwrap(), 1);
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `group.create_task(coro, eager_start=True)`, for each child.
    pub fn eager_start(mut self, at_once: bool) -> TaskGroupBuilder {
        self.eager_start = Some(at_once);
        self
    }

    /// A child that fails or panics ends neither the group nor its siblings: the group of a server, with a child for each connection.
    ///
    /// What the child ended with goes to its handle, as that of any task. If there is no handle, a failure goes to the exception
    /// handler. The scope fails only if its body does.
    ///
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::io;
    /// use std::time::Duration;
    /// use loopwheel::{TaskGroupBuilder, now, set_exception_handler, sleep};
    ///
    /// set_exception_handler(|failure| println!("a connection: {failure}"));
    /// let served = TaskGroupBuilder::new().isolate_failures().scope(async |group| {
    ///     group.create_task(async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
    ///     sleep(Duration::from_secs(1)).await; // is not cancelled
    /// });
    /// served.await.unwrap();
    /// assert_eq!(now().as_secs_f64(), 1.0);
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// There is none. (Kotlin has `supervisorScope`.)
    #[doc(alias = "supervisor")]
    #[doc(alias = "supervisorScope")]
    #[doc(alias = "report_failures")]
    pub fn isolate_failures(mut self) -> TaskGroupBuilder {
        self.isolates_failures = true;
        self
    }

    /// See [`TaskGroup::scope`].
    ///
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskGroupBuilder, now, sleep};
    ///
    /// let scope = TaskGroupBuilder::new().limit(2).scope(async |group| {
    ///     let children = [1, 2, 3].map(|n| {
    ///         group.create_task(async move {
    ///             sleep(Duration::from_secs(1)).await;
    ///             Ok(n)
    ///         })
    ///     });
    ///     let mut sum = 0;
    ///     for child in children {
    ///         sum += child.await.unwrap();
    ///     }
    ///     Ok::<_, String>(sum)
    /// });
    /// assert_eq!(scope.await.unwrap(), 6);
    /// assert_eq!(now().as_secs_f64(), 2.0);
    /// # });
    /// ```
    ///
    /// # Cancellation
    /// As [`TaskGroup::scope`].
    ///
    /// # Errors
    /// As [`TaskGroup::scope`].
    #[track_caller]
    pub fn scope<E: fmt::Debug + 'static, B: BodyOutput<E>>(
        self,
        body: impl AsyncFnOnce(&TaskGroup<E>) -> B,
    ) -> impl Future<Output = Result<B::Value, ExceptionGroup<E>>> {
        let opened_at = Location::caller();
        async move {
            let Some(parent) = current::task() else {
                panic!(
                    "the scope of a task group (opened at {opened_at}) was polled outside a task: await it inside \
                     `loopwheel::run`, or in a task of a loop"
                )
            };
            let TaskGroupBuilder { limit, eager_start, isolates_failures } = self;
            let state = State::new(parent, limit, eager_start, isolates_failures, opened_at);
            let group = TaskGroup { state: Rc::new(state) };
            let _guard = ScopeGuard(&group.state);
            let ended = Held::new(body(&group), BodyFrame::new(&group.state)).await;
            group.exit(ended.map(B::into_result)).await
        }
    }
}
