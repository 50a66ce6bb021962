//! **Task sets**: [`TaskSet`], tasks that are created while the results of others are taken.
//!
//! `as_completed` awaits a wait set, whose members are fixed. Here members come and go. To build a new wait set for each would cost
//! O(n) a task. So the set is a subscriber of its own, as a group is: a task that ends reports the key of its entry, which is O(1).
//!
//! ```text
//!   create_task ──▶ members ──the task ends──▶ ended (keys, in the order of the ends) ──next──▶ (key, result)
//! ```
//!
//! The outcome stays in the record of the task until `next` takes it, in the poll in which it is ready: so nothing is lost if
//! `next` is cancelled. A set that is dropped or emptied leaves its [`State`] behind until the last of its tasks has ended, because
//! each has the key of an entry there; a set that goes on begins with a new one.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the set that users hold |
//! | `state` | its tasks, and the order in which they end |
//!
//! It stands on `base`, `cells`, `wait_list`, `reason`, `error`, the kernel, `foreign`, `trace`, `kept_waker`, `delivery`, `join`, `task`,
//! `spawning`, `sync` and `limited`.

mod state;

use std::borrow::Borrow;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::base::kind::{Fallible, Kind, Plain};
use crate::delivery::{Told, checkpoint};
use crate::error::TaskError;
use crate::limited::limited;
use crate::reason::{Cause, Reason};
use crate::spawning::TaskBuilder;
use crate::sync::Semaphore;
use crate::task::{TaskRef, running_loop};
use state::{Member, State};

/// A key, and the result of its task.
#[cfg(feature = "futures")]
type Ended<K, T, E> = (K, Result<T, TaskError<E>>);

/// Tasks whose results are taken in the order in which they end, while more are created.
///
/// Each task is created with a key, which comes back with its result: what the result belongs to. It need not be unique, nor
/// anything but `()`.
///
/// [`as_completed`](crate::as_completed()) does the same for tasks that exist already, and gives their handles. A
/// [`TaskGroup`](crate::TaskGroup) takes no results: it is a block that ends when all its children have, and one that fails cancels
/// the others; in a set a failure is a result like any other.
///
/// # Dropping
/// A set that is dropped cancels its tasks, and does not wait for them. They clean up, also with awaits, as tasks of their own: what
/// they fail with then is reported to the loop's exception handler, and so are the failures that were not taken.
/// [`shutdown`](TaskSet::shutdown) waits for the clean-up; [`detach_all`](TaskSet::detach_all) lets the tasks go on.
///
/// # One kind of task
/// The tasks of a set are those of [`create_task`](TaskSet::create_task), or those of [`try_create_task`](TaskSet::try_create_task):
/// `E` is the error type of all. For both in one set, `set.try_create_task(key, async { Ok(work.await) })`.
///
/// A supervisor, which restarts a task that has failed, is a set and a loop around `next`: `docs/servers/supervisor.rs`.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{TaskSet, sleep};
///
/// let after = async |n| sleep(Duration::from_secs(n)).await;
/// let mut set = TaskSet::new();
/// set.create_task("three", after(3));
/// set.create_task("one", after(1));
/// let mut order = vec![];
/// while let Some((name, result)) = set.next().await {
///     result.unwrap();
///     if name == "one" {
///         set.create_task("one and one", after(1)); // the set grows
///     }
///     order.push(name);
/// }
/// assert_eq!(order, ["one", "one and one", "three"]);
/// # });
/// ```
///
/// # In asyncio
/// There is none; a set of tasks, and `asyncio.wait(tasks, return_when=FIRST_COMPLETED)` in a loop, which is O(n) for each result.
#[doc(alias = "JoinSet")]
#[doc(alias = "JoinMap")]
#[doc(alias = "join_set")]
#[doc(alias = "FuturesUnordered")]
#[doc(alias("supervisor", "restart"))]
pub struct TaskSet<K: 'static, T: 'static, E: 'static = Infallible> {
    state: Rc<State<K, T, E>>,
    limit: Option<Rc<Semaphore>>,
    created_at: &'static Location<'static>,
    told: Told,
}

impl<K: 'static, T: 'static, E: 'static> TaskSet<K, T, E> {
    /// An empty set.
    #[track_caller]
    pub fn new() -> TaskSet<K, T, E> {
        TaskSet::of(None, Location::caller())
    }

    /// An empty set in which at most `running_at_once` tasks run at once; zero counts as one. The others wait their turn, in the
    /// order in which they were created: they are tasks that wait for a semaphore, and can be cancelled as any other.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskSet, now, sleep};
    ///
    /// let mut set = TaskSet::with_limit(2);
    /// for n in 0..4 {
    ///     set.create_task(n, sleep(Duration::from_secs(1)));
    /// }
    /// while set.next().await.is_some() {}
    /// assert_eq!(now().as_secs_f64(), 2.0);
    /// # });
    /// ```
    #[track_caller]
    pub fn with_limit(running_at_once: usize) -> TaskSet<K, T, E> {
        let limit = Some(Rc::new(Semaphore::new(running_at_once.max(1))));
        TaskSet::of(limit, Location::caller())
    }

    fn of(
        limit: Option<Rc<Semaphore>>,
        created_at: &'static Location<'static>,
    ) -> TaskSet<K, T, E> {
        TaskSet { state: Rc::default(), limit, created_at, told: Told::default() }
    }

    /// Waits for the next task that ends, and gives its key and its result. `None` if the set is empty.
    ///
    /// Those that have ended are given in the order of their ends. A set that was empty may grow, and be awaited again.
    ///
    /// # Cancellation
    /// Nothing is lost, and the tasks are not cancelled. It may be a branch of a `select!`.
    ///
    /// # Errors
    /// The result has the [`TaskError`] of a task that failed, was cancelled, or panicked.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskSet, sleep, wait_for};
    ///
    /// let mut set = TaskSet::new();
    /// set.create_task("slow", sleep(Duration::from_secs(60)));
    /// assert!(wait_for(set.next(), Duration::from_secs(1)).await.is_err());
    /// assert_eq!(set.len(), 1); // it runs on
    /// assert_eq!(set.next().await, Some(("slow", Ok(()))));
    /// assert_eq!(set.next().await, None);
    /// # });
    /// ```
    #[doc(alias = "join_next")]
    pub async fn next(&mut self) -> Option<(K, Result<T, TaskError<E>>)> {
        self.next_member().await.map(Member::into_result)
    }

    async fn next_member(&mut self) -> Option<Member<K, T, E>> {
        /// The set wakes no task that has given up waiting.
        struct Waiting<'a, K: 'static, T: 'static, E: 'static>(&'a mut TaskSet<K, T, E>);
        impl<K, T, E> Drop for Waiting<'_, K, T, E> {
            fn drop(&mut self) {
                self.0.state.forget_waiter();
            }
        }
        let waiting = Waiting(self);
        poll_fn(|cx| waiting.0.poll_member(cx)).await
    }

    /// The next task that has ended, if one has. `None` says that none has, or that the set is empty.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::{TaskSet, yield_now};
    ///
    /// let mut set = TaskSet::new();
    /// set.create_task(1, async { "done" });
    /// assert_eq!(set.next_nowait(), None);
    /// yield_now().await;
    /// assert_eq!(set.next_nowait(), Some((1, Ok("done"))));
    /// # });
    /// ```
    #[doc(alias = "try_join_next")]
    pub fn next_nowait(&mut self) -> Option<(K, Result<T, TaskError<E>>)> {
        crate::cells::look_at_ends();
        self.state.take_ended().map(Member::into_result)
    }

    #[cfg(feature = "futures")] // for the stream
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended<K, T, E>>> {
        self.poll_member(cx).map(|member| member.map(Member::into_result))
    }

    fn poll_member(&self, cx: &mut Context<'_>) -> Poll<Option<Member<K, T, E>>> {
        if checkpoint::is_plain() {
            return self.state.poll(cx);
        }
        if checkpoint::is_interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        let polled = self.state.poll(cx);
        if polled.is_pending() {
            self.state.tell_wait();
        }
        polled
    }

    /// How many tasks have not been taken: those that run, and those that have ended.
    pub fn len(&self) -> usize {
        crate::cells::look_at_everything();
        self.state.len()
    }

    /// Whether no task is left to be taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tasks have not ended.
    pub fn running(&self) -> usize {
        crate::cells::look_at_everything();
        self.state.running()
    }

    /// Requests the cancel of the tasks with this key that have not ended, and returns how many those are. Their results come by
    /// [`next`](TaskSet::next), as always.
    ///
    /// It compares the key with that of each task. A program that cancels often keeps what
    /// [`create_task`](TaskSet::create_task) returns.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskSet, sleep};
    ///
    /// let mut set = TaskSet::new();
    /// for name in ["mail", "news"] {
    ///     set.create_task(name.to_owned(), sleep(Duration::from_secs(60)));
    /// }
    /// assert_eq!(set.cancel("mail"), 1);
    /// let (name, result) = set.next().await.unwrap();
    /// assert!(name == "mail" && result.unwrap_err().is_cancelled());
    /// # });
    /// ```
    #[doc(alias = "abort")]
    #[track_caller]
    pub fn cancel<Q: PartialEq + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.state.cancel_where(|it| it.borrow() == key, &Reason::at(Location::caller()))
    }

    /// Requests the cancel of every task that has not ended. Their results come by [`next`](TaskSet::next), as always.
    ///
    /// The set goes on: tasks that are created afterwards are not cancelled.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskSet, sleep};
    ///
    /// let mut set = TaskSet::new();
    /// set.create_task("slow", sleep(Duration::from_secs(60)));
    /// set.cancel_all();
    /// let (name, result) = set.next().await.unwrap();
    /// assert!(name == "slow" && result.unwrap_err().is_cancelled());
    /// # });
    /// ```
    #[doc(alias = "abort_all")]
    #[track_caller]
    pub fn cancel_all(&self) {
        self.state.cancel_where(|_| true, &Reason::at(Location::caller()));
    }

    /// Cancels every task, and waits until all have ended. The set is empty then.
    ///
    /// The results are dropped. Failures are reported to the loop's exception handler, but for cancels.
    ///
    /// # Cancellation
    /// The tasks that have not ended stay in the set, cancelled.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{TaskSet, finally, now, sleep};
    ///
    /// let mut set = TaskSet::new();
    /// let second = Duration::from_secs(1);
    /// set.create_task((), finally(sleep(60 * second), sleep(5 * second)));
    /// sleep(second).await;
    /// set.shutdown().await;
    /// assert_eq!(now().as_secs_f64(), 6.0); // a second, and five of clean-up
    /// # });
    /// ```
    #[track_caller]
    pub fn shutdown(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            self.state.cancel_where(|_| true, &Reason::at(at));
            while let Some(member) = self.next_member().await {
                member.discard();
            }
        }
    }

    /// Empties the set, and lets the tasks go on as if their handles were dropped. A failure of theirs is reported.
    pub fn detach_all(&mut self) {
        for member in self.leave() {
            member.discard();
        }
    }

    /// Takes all members out. Their tasks report their ends to the state that is left behind, which nothing reads any more.
    fn leave(&mut self) -> Vec<Member<K, T, E>> {
        let state = std::mem::take(&mut self.state);
        state.close()
    }

    #[track_caller]
    fn create<F: Future + 'static, N>(
        &mut self,
        key: K,
        kind: N,
        future: F,
        at: &'static Location<'static>,
    ) -> TaskRef
    where
        N: Kind<F::Output, Value = T, Error = E>,
    {
        let (engine, builder) = (running_loop(), TaskBuilder::new());
        let task = match &self.limit {
            None => builder.spawn_on(&engine, kind, future, at),
            Some(limit) => builder.spawn_on(&engine, kind, limited(limit.clone(), future), at),
        };
        let reference = task.to_ref();
        self.state.add(Member::new(key, task));
        reference
    }
}

impl<K: 'static, T: 'static> TaskSet<K, T> {
    /// Creates a task in the set. Its output is its value, even if that is an `Err`.
    ///
    /// The reference that it returns can be used to name the task, or to cancel it alone.
    ///
    /// # Panics
    /// Without a running loop, and if too many tasks are alive on it.
    #[doc(alias = "spawn")]
    #[doc(alias = "spawn_local")]
    #[doc(alias = "push")]
    #[track_caller]
    pub fn create_task(&mut self, key: K, future: impl Future<Output = T> + 'static) -> TaskRef {
        self.create(key, Plain, future, Location::caller())
    }
}

/// Creates a task for each key and future, as [`create_task`](TaskSet::create_task) does.
///
/// # Panics
/// As that does. If the iterator panics, the tasks of the futures that came are in the set.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{TaskSet, sleep};
///
/// let mut set = TaskSet::new();
/// set.extend([3, 1, 2].map(|n| (n, sleep(Duration::from_secs(n)))));
/// assert_eq!(set.next().await, Some((1, Ok(()))));
/// # });
/// ```
impl<K: 'static, F: Future<Output: 'static> + 'static> Extend<(K, F)> for TaskSet<K, F::Output> {
    #[track_caller]
    fn extend<I: IntoIterator<Item = (K, F)>>(&mut self, tasks: I) {
        let at = Location::caller();
        for (key, future) in tasks {
            self.create(key, Plain, future, at);
        }
    }
}

impl<K: 'static, T: 'static, E: fmt::Debug + 'static> TaskSet<K, T, E> {
    /// Creates a task that can fail in the set: its `Err` is [`TaskError::Failed`].
    ///
    /// # Panics
    /// Without a running loop, and if too many tasks are alive on it.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::{TaskError, TaskSet};
    ///
    /// let mut set = TaskSet::new();
    /// set.try_create_task("port", async { "http".parse::<u16>() });
    /// let (name, result) = set.next().await.unwrap();
    /// assert!(name == "port" && matches!(result, Err(TaskError::Failed(_))));
    /// # });
    /// ```
    #[doc(alias = "spawn")]
    #[track_caller]
    pub fn try_create_task(
        &mut self,
        key: K,
        future: impl Future<Output = Result<T, E>> + 'static,
    ) -> TaskRef {
        self.create(key, Fallible, future, Location::caller())
    }
}

impl<K: 'static, T: 'static, E: 'static> Default for TaskSet<K, T, E> {
    #[track_caller]
    fn default() -> TaskSet<K, T, E> {
        TaskSet::new()
    }
}

impl<K: 'static, T: 'static, E: 'static> Drop for TaskSet<K, T, E> {
    fn drop(&mut self) {
        let reason = Reason::own(Cause::SetDropped, Some(self.created_at));
        self.state.cancel_where(|_| true, &reason);
        self.detach_all();
    }
}

impl<K: 'static, T: 'static, E: 'static> fmt::Debug for TaskSet<K, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSet")
            .field("len", &self.len())
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}
