//! Tasks: made, held, awaited, asked.
//!
//! A [`Task`] is a handle to a future that the loop runs by itself. Dropping the handle detaches the task; it
//! never stops it. Awaiting the handle gives the outcome, and passes a cancel of the awaiting task on.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::engine::extras::Joiner;
use crate::engine::leaf;
use crate::engine::record::{Fallible, Kind, Plain, RecordRef, Typed};
use crate::engine::state::Flag;
use crate::engine::turn::{self, Engine};
use crate::engine::waitlist::WaitKey;
use crate::engine::waker::TaskId;
use crate::error::{NoCurrentTask, NoRunningLoop, ResultError, TaskError};

/// Hands a future to the running loop, which will run it beside everything else.
///
/// The future may be `!Send`: it never leaves this thread. Its first poll is in the loop's next turn.
///
/// # Panics
/// Without a running loop; [`TaskBuilder::create_task_if_running`] returns an error instead.
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
/// Without a running loop.
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
    match turn::here() {
        Some(engine) => engine,
        None => panic!("{NoRunningLoop}"),
    }
}

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

    /// See [`create_task`].
    ///
    /// # Panics
    /// Without a running loop.
    #[track_caller]
    pub fn create_task<F: Future + 'static>(self, future: F) -> Task<F::Output> {
        self.spawn_on(&running_loop(), Plain, future, Location::caller())
    }

    /// See [`try_create_task`].
    ///
    /// # Panics
    /// Without a running loop.
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
    /// Without a running loop; the future is dropped.
    #[track_caller]
    pub fn create_task_if_running<F>(self, future: F) -> Result<Task<F::Output>, NoRunningLoop>
    where
        F: Future + 'static,
    {
        let engine = turn::here().ok_or(NoRunningLoop)?;
        Ok(self.spawn_on(&engine, Plain, future, Location::caller()))
    }

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
        let record = engine.spawn(kind, future, spawned_at);
        if let Some(name) = self.name {
            record.with_extras(|extras| extras.name = Some(name));
        }
        TaskOf { record, place: Cell::new(Place::Nowhere) }
    }
}

/// A handle to a task: awaiting it gives the task's outcome.
///
/// Dropping it *detaches* the task: the loop goes on running it. If a detached task fails, the loop's exception
/// handler is told.
///
/// # Cancellation
/// A task that is cancelled while it awaits another passes the cancel on, and unwinds when the other one has
/// finished its clean-up (or goes on, if that one swallows it). [`shield`](crate::shield()) prevents this. When the
/// awaited task is cancelled by somebody else, the await gives `Err(TaskError::Cancelled)`, a value.
///
/// # Errors
/// [`TaskError`]: it failed, was cancelled, or panicked. `task.await.unwrap()` is right where none of these is expected:
/// then it panics with what happened.
///
/// Awaiting by value uses the handle up; `(&mut task).await` keeps it, for its name and its state.
///
/// # Panics
/// If a task awaits itself, or a handle whose outcome was taken with [`result`](Task::result).
///
/// # In asyncio
/// `asyncio.Task`. There it can be awaited many times; here that is a [`SharedTask`].
pub type Task<T, E = Infallible> = TaskOf<Result<T, TaskError<E>>>;

/// A handle to a task by what awaiting it gives. One writes [`Task<T, E>`](Task), which is
/// `TaskOf<Result<T, TaskError<E>>>`.
pub struct TaskOf<O> {
    record: Typed<O>,
    place: Cell<Place>,
}

/// Where a handle that is being awaited stands among those who wait for the task.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Nowhere,
    /// In the task's header: only one of our own tasks can.
    First(TaskId),
    Listed(WaitKey),
}

impl<T, E> Task<T, E> {
    /// Makes a handle that can be cloned and awaited from several places, each getting a clone of the outcome.
    pub fn shared(self) -> SharedTask<T, E>
    where
        T: Clone,
        E: Clone,
    {
        self.leave();
        let task = Rc::new(self);
        SharedTaskOf { task, clone_outcome: Task::clone_outcome, place: Cell::new(Place::Nowhere) }
    }

    fn clone_outcome(&self) -> Option<Result<T, TaskError<E>>>
    where
        T: Clone,
        E: Clone,
    {
        self.record.set(Flag::SEEN);
        let outcome = self.record.peek(Result::clone);
        let outcome = outcome.map(|outcome| outcome.map_err(TaskError::Failed));
        outcome.or_else(|| self.record.ending().map(Err))
    }
}

impl<O> TaskOf<O> {
    /// The outcome, if the task is over: taken, without awaiting.
    ///
    /// # Errors
    /// [`ResultError`] if it is not over, or the outcome is gone.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::{ResultError, create_task, yield_now};
    ///
    /// let mut task = create_task(async { 5 });
    /// assert_eq!(task.result(), Err(ResultError::Pending));
    /// yield_now().await;
    /// assert_eq!(task.result(), Ok(Ok(5)));
    /// assert_eq!(task.result(), Err(ResultError::Taken));
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `task.result()` and `task.exception()` in one.
    pub fn result(&mut self) -> Result<O, ResultError> {
        if !self.is_done() {
            return Err(ResultError::Pending);
        }
        self.take().ok_or(ResultError::Taken)
    }

    pub(crate) fn record(&self) -> &RecordRef {
        &self.record
    }

    /// Whether it is over and nothing is left to be had.
    #[cfg(feature = "futures")]
    pub(crate) fn is_taken(&self) -> bool {
        self.record.has(Flag::DONE)
            && !self.record.has(Flag::HOLDS_OUTCOME)
            && self.record.ending::<Infallible>().is_none()
    }

    pub(crate) fn take(&self) -> Option<O> {
        let outcome = self.record.take()?;
        self.record.set(Flag::SEEN);
        Some(outcome)
    }

    /// An untyped reference to the task: for cancelling it, its name and its state.
    pub fn to_ref(&self) -> TaskRef {
        TaskRef::new((*self.record).clone())
    }

    /// See [`TaskRef::cancel`].
    pub fn cancel(&self) -> bool {
        self.record.cancel(None)
    }

    /// See [`TaskRef::cancel_with_reason`].
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.record.cancel(Some(&reason.into().into()))
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        self.record.has(Flag::DONE)
    }

    /// Whether the task ended by being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.record.has(Flag::CANCELLED)
    }

    /// See [`TaskRef::cancelling`].
    pub fn cancelling(&self) -> usize {
        self.record.cancel_requests.get().into()
    }

    /// The task's name.
    pub fn name(&self) -> String {
        name_of(&self.record)
    }

    /// Gives the task another name.
    pub fn set_name(&self, name: impl Into<String>) {
        self.record.with_extras(|extras| extras.name = Some(name.into().into()));
    }

    /// See [`TaskRef::add_done_callback`].
    pub fn add_done_callback(&self, callback: impl FnOnce(TaskRef) + 'static) {
        add_done_callback(&self.record, Box::new(callback));
    }

    fn poll_done(&self, place: &Cell<Place>, cx: &mut Context<'_>) -> Poll<()> {
        if leaf::interrupted(|| format!("task '{}'", self.name())) {
            return Poll::Pending;
        }
        let current = leaf::current();
        if self.is_done() {
            if let Some(current) = current
                && current.is_cancel_forwarded()
            {
                current.clear(Flag::CANCEL_FORWARDED);
                if self.is_cancelled() {
                    // It was cancelled through us: so are we, now that it is done with it.
                    leaf::raise();
                    return Poll::Pending;
                }
            }
            return Poll::Ready(());
        }
        if let Some(current) = current {
            assert!(current != *self.record, "a task cannot await itself: it would wait forever");
            current.starts_awaiting(&self.record);
        }
        wait_for_end(&self.record, place, cx);
        Poll::Pending
    }

    /// Stops waiting for the end.
    fn leave(&self) {
        stop_waiting(&self.record, &self.place);
    }
}

impl<O> Future for TaskOf<O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        match self.poll_done(&self.place, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => match self.take() {
                Some(outcome) => Poll::Ready(outcome),
                None => panic!("a `Task` was awaited although {}", ResultError::Taken),
            },
        }
    }
}

impl<O> Drop for TaskOf<O> {
    fn drop(&mut self) {
        self.leave();
        self.record.clear(Flag::HANDLE);
        if self.record.has(Flag::DONE) {
            self.record.home.nobody_takes(&self.record);
        }
    }
}

impl<O> Unpin for TaskOf<O> {}

impl<O> fmt::Debug for TaskOf<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("Task", &self.record, f)
    }
}

/// A handle that can be cloned: every clone can be awaited, and gets a clone of the outcome.
///
/// Made by [`Task::shared`]. When the last clone is dropped the task is detached, as with [`Task`].
///
/// # Cancellation
/// As with [`Task`]: awaiting it passes a cancel on to the task, however many await it.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::create_task;
///
/// let answer = create_task(async { 42 }).shared();
/// let other = answer.clone();
/// assert_eq!(answer.await, Ok(42));
/// assert_eq!(other.await, Ok(42));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Task`, which can be awaited from several places.
pub type SharedTask<T, E = Infallible> = SharedTaskOf<Result<T, TaskError<E>>>;

/// A shared handle by what awaiting it gives. One writes [`SharedTask<T, E>`](SharedTask).
pub struct SharedTaskOf<O> {
    task: Rc<TaskOf<O>>,
    /// Known where the handle was made: that the outcome can be cloned.
    clone_outcome: fn(&TaskOf<O>) -> Option<O>,
    place: Cell<Place>,
}

impl<O> SharedTaskOf<O> {
    pub(crate) fn record(&self) -> &RecordRef {
        self.task.record()
    }

    /// An untyped reference to the task: for cancelling it, its name and its state.
    pub fn to_ref(&self) -> TaskRef {
        self.task.to_ref()
    }

    /// See [`TaskRef::cancel`].
    pub fn cancel(&self) -> bool {
        self.task.cancel()
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        self.task.is_done()
    }

    /// Whether the task ended by being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.task.is_cancelled()
    }

    /// The task's name.
    pub fn name(&self) -> String {
        self.task.name()
    }
}

impl<O> SharedTaskOf<O> {
    /// A clone of the outcome, if the task is over.
    ///
    /// # Errors
    /// [`ResultError::Pending`] if it is not.
    pub fn result(&self) -> Result<O, ResultError> {
        if !self.is_done() {
            return Err(ResultError::Pending);
        }
        (self.clone_outcome)(&self.task).ok_or(ResultError::Taken)
    }
}

impl<O> Future for SharedTaskOf<O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        match self.task.poll_done(&self.place, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                Poll::Ready(self.result().expect("a shared outcome is never taken, only cloned"))
            }
        }
    }
}

impl<O> Clone for SharedTaskOf<O> {
    fn clone(&self) -> SharedTaskOf<O> {
        SharedTaskOf { task: self.task.clone(), place: Cell::new(Place::Nowhere), ..*self }
    }
}

impl<O> Drop for SharedTaskOf<O> {
    fn drop(&mut self) {
        stop_waiting(&self.task.record, &self.place);
    }
}

impl<O> Unpin for SharedTaskOf<O> {}

impl<O> fmt::Debug for SharedTaskOf<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("SharedTask", &self.task.record, f)
    }
}

/// An untyped reference to a task: what can be asked of any task, whatever its outcome.
///
/// It keeps neither the task running nor its outcome; cloning it is cheap.
///
/// # In asyncio
/// `asyncio.Task`, without `await` and `result`.
#[derive(Clone, PartialEq)]
pub struct TaskRef {
    record: RecordRef,
}

impl TaskRef {
    pub(crate) fn new(record: RecordRef) -> TaskRef {
        TaskRef { record }
    }

    pub(crate) fn record(&self) -> &RecordRef {
        &self.record
    }

    /// `None` for a callback of the loop, which is no task.
    pub(crate) fn of_task(record: &RecordRef) -> Option<TaskRef> {
        (!record.has(Flag::CALLBACK)).then(|| TaskRef::new(record.clone()))
    }

    /// Asks the task to stop: it is cancelled where it waits, or at its next await.
    ///
    /// True if the request was counted, false if the task is over. A task may clean up, and may even swallow the
    /// cancel; so await it to know. One that has not begun never begins.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{create_task, sleep};
    ///
    /// let task = create_task(sleep(Duration::from_secs(60)));
    /// assert!(task.cancel());
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `task.cancel()`.
    pub fn cancel(&self) -> bool {
        self.record.cancel(None)
    }

    /// Like [`cancel`](TaskRef::cancel), with a reason that the error will show.
    ///
    /// # In asyncio
    /// `task.cancel(msg)`.
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.record.cancel(Some(&reason.into().into()))
    }

    /// How many requests to cancel there have been, less those taken back.
    ///
    /// # In asyncio
    /// `task.cancelling()`.
    pub fn cancelling(&self) -> usize {
        self.record.cancel_requests.get().into()
    }

    /// Takes one request back and returns how many are left.
    ///
    /// For whoever asked for the cancel and has caught it, as a time limit does. When none is left, a cancel that
    /// has not been delivered yet is forgotten.
    ///
    /// # In asyncio
    /// `task.uncancel()`.
    pub fn uncancel(&self) -> usize {
        self.record.uncancel().into()
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        self.record.has(Flag::DONE)
    }

    /// Whether the task ended by being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.record.has(Flag::CANCELLED)
    }

    /// Whether the task ended with an error or a panic.
    pub fn is_failed(&self) -> bool {
        self.record.has_either(Flag::FAILED, Flag::PANICKED)
    }

    /// The task's name.
    pub fn name(&self) -> String {
        name_of(&self.record)
    }

    /// Gives the task another name.
    pub fn set_name(&self, name: impl Into<String>) {
        self.record.with_extras(|extras| extras.name = Some(name.into().into()));
    }

    /// Where the task was created.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.record.spawned_at
    }

    /// Calls `callback` in the turn after the task has ended; at once in the next turn if it is over.
    ///
    /// Callbacks and those who await the task go on in the order in which they came. After the loop is gone nobody
    /// is left to call `callback`: it is dropped.
    ///
    /// # Panics
    /// In `callback` go to the loop's exception handler.
    ///
    /// # In asyncio
    /// `task.add_done_callback(callback)`.
    pub fn add_done_callback(&self, callback: impl FnOnce(TaskRef) + 'static) {
        add_done_callback(&self.record, Box::new(callback));
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("TaskRef", &self.record, f)
    }
}

/// A handle to a task that can be awaited: [`Task`], [`SharedTask`], or `&mut` either. Sealed.
pub trait TaskHandle: Future + Unpin + sealed::Sealed {
    /// An untyped reference to the task.
    fn to_ref(&self) -> TaskRef;
}

impl<O> TaskHandle for TaskOf<O> {
    fn to_ref(&self) -> TaskRef {
        TaskOf::to_ref(self)
    }
}

impl<O> TaskHandle for SharedTaskOf<O> {
    fn to_ref(&self) -> TaskRef {
        SharedTaskOf::to_ref(self)
    }
}

impl<H: TaskHandle> TaskHandle for &mut H {
    fn to_ref(&self) -> TaskRef {
        (**self).to_ref()
    }
}

mod sealed {
    #[allow(unreachable_pub)] // sealed: to be seen in bounds, and not to be named
    pub trait Sealed {}
    impl<O> Sealed for super::TaskOf<O> {}
    impl<O> Sealed for super::SharedTaskOf<O> {}
    impl<H: Sealed> Sealed for &mut H {}
}

fn name_of(record: &RecordRef) -> String {
    let given = record.if_extras(|extras| extras.name.as_deref().map(str::to_owned)).flatten();
    given.unwrap_or_else(|| format!("Task-{}", record.number))
}

fn describe(what: &str, record: &RecordRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let state = if !record.has(Flag::DONE) {
        "pending"
    } else if record.has(Flag::CANCELLED) {
        "cancelled"
    } else if record.has_either(Flag::FAILED, Flag::PANICKED) {
        "failed"
    } else {
        "done"
    };
    f.debug_struct(what)
        .field("name", &name_of(record))
        .field("state", &format_args!("{state}"))
        .field("spawned_at", &format_args!("{}", record.spawned_at))
        .finish()
}

fn add_done_callback(record: &RecordRef, callback: Box<dyn FnOnce(TaskRef)>) {
    if record.home.is_closed() {
        drop(callback); // the loop is gone: nobody is left to call it
    } else if record.has(Flag::DONE) {
        let task = TaskRef::new(record.clone());
        record.home.spawn_callback(async move { callback(task) }, record.spawned_at);
    } else {
        record.with_extras(|extras| extras.joiners.join(Joiner::Callback(callback)));
    }
}

/// Puts the waker of `cx` among those who are told of the end, where it is not there already.
fn wait_for_end(record: &RecordRef, place: &Cell<Place>, cx: &Context<'_>) {
    let waker = cx.waker();
    let ours = TaskId::of(waker);
    match place.get() {
        Place::First(id) if ours == Some(id) => return,
        Place::First(_) => {
            record.first_joiner.set(None);
        }
        Place::Listed(key) => {
            let is_there = record.if_extras(|extras| match extras.joiners.get_mut(key) {
                Some(Joiner::Waker(there)) => there.will_wake(waker),
                _ => true,
            });
            if is_there == Some(false) {
                let waker = Joiner::Waker(TaskId::keep(waker));
                let old = record.if_extras(|extras| {
                    extras.joiners.get_mut(key).map(|there| mem::replace(there, waker))
                });
                drop(old); // out here: it may run anything
            }
            return;
        }
        Place::Nowhere => {}
    }
    let nobody = record.first_joiner.get().is_none()
        && record.if_extras(|extras| extras.joiners.is_empty()).unwrap_or(true);
    match ours {
        // The order is that of coming: the place in the header is only for the very first.
        Some(id) if nobody => {
            record.first_joiner.set(Some(id));
            place.set(Place::First(id));
        }
        _ => {
            let waker = Joiner::Waker(TaskId::keep(waker));
            let key = record.with_extras(|extras| extras.joiners.join(waker));
            place.set(Place::Listed(key));
        }
    }
}

fn stop_waiting(record: &RecordRef, place: &Cell<Place>) {
    let place = place.replace(Place::Nowhere);
    if place == Place::Nowhere {
        return;
    }
    if let Some(current) = leaf::current() {
        current.stops_awaiting(record);
    }
    if record.has(Flag::DONE) {
        return; // it has told everybody, and its list is empty
    }
    match place {
        Place::First(_) => record.first_joiner.set(None),
        Place::Listed(key) => {
            let left = record.if_extras(|extras| extras.joiners.leave(key));
            drop(left);
        }
        Place::Nowhere => {}
    }
}
