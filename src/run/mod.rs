//! **Running a loop**: [`EventLoop`], and all that happens outside a turn.
//!
//! A turn never blocks, and does not know when the program has ended. Something has to call it again and again, sleep in between,
//! notice a deadlock, and clean up after `main`. The naive answer is one `loop` inside `run`. But a host, another executor and
//! virtual time take the same decisions. So each decision is one function here, which every driver calls.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | `run`, and `EventLoop` |
//! | `builder` | the settings of a loop |
//! | `driver` | turns, and sleeps in between |
//!
//! It stands on `base`, `reason`, `error`, the kernel, `mailbox`, `trace`, `clock`, `object`, `time`, `task`, `spawning`, `report`,
//! `callback`, `thread`, `thread_channel`, `to_thread`, `dump`, `watch`, `close` and `parking`.

mod builder;
mod driver;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::base::kind::{Fallible, Plain};
use crate::callback::{self, CallbackHandle};
use crate::close::Shutdown;
use crate::dump::{Dump, Stats};
use crate::engine::Engine;
use crate::error::{Cancelled, RunError, TaskError};
use crate::kernel::current;
use crate::kernel::record::{Flag, Typed};
use crate::reason::{Cause, Reason};
use crate::report::{ExceptionContext, Failure};
use crate::spawning::TaskBuilder;
use crate::task::{Task, TaskRef, give_name};
use crate::thread::Handle;
use crate::thread_channel::{self, LoopReceiver, ThreadSender};
use crate::trace::Observer;

pub use builder::EventLoopBuilder;
#[cfg(feature = "async-io")]
pub(crate) use driver::AfterAWhile;
pub(crate) use driver::WaitIn;

/// An event loop: runs futures on the thread that created it.
///
/// Most programs only need [`run`](crate::run()). An `EventLoop` keeps its clock, its settings and the [task-locals](crate::TaskLocal) of the
/// main future over several runs. It can be given tasks and callbacks before it runs.
///
/// Dropping it drops every remaining task hard: destructors run, clean-up that awaits does not.
///
/// # Examples
/// ```
/// use loopwheel::EventLoop;
///
/// let mut event_loop = EventLoop::new();
/// let task = event_loop.create_task(async { 20 + 1 });
/// let answer = event_loop.run(async { task.await.unwrap() * 2 });
/// assert_eq!(answer, 42);
/// ```
///
/// # In asyncio
/// `asyncio.Runner`, and the loop inside it.
pub struct EventLoop {
    engine: Rc<Engine>,
    /// Where its runs wait; `None` is on this thread.
    wait_in: Option<WaitIn>,
}

impl EventLoop {
    /// Creates a loop on the monotonic clock.
    ///
    /// # Panics
    /// If too many loops are alive in this process. [`EventLoopBuilder::try_build`] returns an error instead.
    #[track_caller]
    pub fn new() -> EventLoop {
        EventLoop::builder().build()
    }

    /// A builder for a loop with settings.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }

    /// Runs `main`, then cancels the remaining tasks and waits for them.
    ///
    /// # Panics
    /// As the function [`run`](crate::run()).
    #[track_caller]
    pub fn run<F: Future>(&mut self, main: F) -> F::Output {
        unwrap(self.try_run(main))
    }

    /// Like [`run`](EventLoop::run), with errors in place of the panics.
    ///
    /// # Errors
    /// [`RunError`]. If `main` panicked, and the clean-up of another task is then stuck in a deadlock, the deadlock is returned,
    /// and the panic goes to the exception handler.
    #[track_caller]
    pub fn try_run<F: Future>(&mut self, main: F) -> Result<F::Output, RunError> {
        use RunError::{AlreadyRunning, Deadlock, TooManyTasks};
        let outcome = self.try_run_until_complete(main);
        if matches!(outcome, Err(AlreadyRunning | TooManyTasks(_) | Deadlock(_))) {
            return outcome; // nothing has run, or nothing can go on: the other tasks stay as they are
        }
        if let Err(deadlock) = self.cancel_all() {
            // Only one error can be returned, so the panic of `main` is reported.
            if let Err(RunError::Panicked(panic)) = outcome {
                let failure = Failure::Panicked(panic);
                let context = ExceptionContext::of_no_task(failure, Location::caller());
                let context = ExceptionContext { what: "the main task", ..context };
                self.engine.enter(|| self.engine.report(&context));
            }
            return Err(deadlock);
        }
        outcome
    }

    /// Runs `main`, and leaves the other tasks as they are: they go on in the next run.
    ///
    /// # Panics
    /// As the function [`run`](crate::run()).
    ///
    /// # In asyncio
    /// `runner.run(main())`, which leaves them too.
    #[track_caller]
    pub fn run_until_complete<F: Future>(&mut self, main: F) -> F::Output {
        unwrap(self.try_run_until_complete(main))
    }

    /// Like [`run_until_complete`](EventLoop::run_until_complete), with errors in place of the panics.
    ///
    /// # Errors
    /// [`RunError`].
    #[track_caller]
    pub fn try_run_until_complete<F: Future>(&mut self, main: F) -> Result<F::Output, RunError> {
        self.run_main(main, Location::caller(), || false)
    }

    /// The same, until `gives_up` says so after a turn: then `main` is dropped, and counts as cancelled.
    pub(crate) fn run_main<F: Future>(
        &mut self,
        main: F,
        called_at: &'static Location<'static>,
        gives_up: impl Fn() -> bool,
    ) -> Result<F::Output, RunError> {
        if current::running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        let run_over = Reason::own(Cause::RunOver, Some(called_at));
        self.engine.enter(|| {
            self.engine.spawn_main(main, called_at, |main| {
                give_name(main, "main".into());
                main.set_reason(run_over); // for a deadlock, which drops it
                self.turn_until(|| main.has(Flag::DONE) || gives_up())?;
                outcome_of_main(main)
            })?
        })
    }

    /// Cancels every task and waits until all have ended, and those that they spawn meanwhile, for a thousand rounds: what is left then
    /// is reported to the exception handler, and dropped hard. (On [`Clock::host`](crate::Clock::host) a sleep may never end: see there.)
    ///
    /// # Errors
    /// [`RunError::Deadlock`] if a task swallows the cancel and waits for what can never come; [`RunError::AlreadyRunning`].
    ///
    /// # In asyncio
    /// `runner.close()`.
    #[track_caller]
    pub fn cancel_all(&mut self) -> Result<(), RunError> {
        self.cancel_all_unless(|| false)
    }

    /// The same, until `gives_up` says so after a turn: then what is left stays as it is.
    #[track_caller]
    pub(crate) fn cancel_all_unless(
        &mut self,
        gives_up: impl Fn() -> bool,
    ) -> Result<(), RunError> {
        if current::running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        let mut shutdown = Shutdown::new(Location::caller());
        self.engine.enter(|| {
            shutdown.advance(&self.engine); // the first round of cancels
            let ended = self.turn_until(|| shutdown.advance(&self.engine) || gives_up());
            self.engine.watch.look_at.set(None); // also after a deadlock: the next run has its own end
            ended
        })
    }

    /// See [`create_task`](crate::create_task). The task begins when the loop runs.
    #[track_caller]
    pub fn create_task<F: Future + 'static>(&self, future: F) -> Task<F::Output> {
        TaskBuilder::new().spawn_on(&self.engine, Plain, future, Location::caller())
    }

    /// See [`try_create_task`](crate::try_create_task). The task begins when the loop runs.
    #[track_caller]
    pub fn try_create_task<F, T, E>(&self, future: F) -> Task<T, E>
    where
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: fmt::Debug + 'static,
    {
        TaskBuilder::new().spawn_on(&self.engine, Fallible, future, Location::caller())
    }

    /// See [`call_soon`](crate::call_soon).
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> CallbackHandle {
        callback::soon(&self.engine, callback, Location::caller())
    }

    /// See [`call_later`](crate::call_later).
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> CallbackHandle {
        self.call_at(self.now() + delay, callback)
    }

    /// See [`call_at`](crate::call_at).
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> CallbackHandle {
        callback::at(&self.engine, when, callback, Location::caller())
    }

    pub(crate) fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle::to(&self.engine)
    }

    /// See [`thread_channel`](crate::thread_channel()).
    #[track_caller]
    pub fn thread_channel<T: Send + 'static>(
        &self,
        capacity: usize,
    ) -> (ThreadSender<T>, LoopReceiver<T>) {
        thread_channel::channel_to(&self.engine, capacity)
    }

    /// See [`all_tasks`](crate::all_tasks).
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.engine.tasks().into_iter().map(TaskRef::new).collect()
    }

    /// See [`dump`](crate::dump()).
    pub fn dump(&self) -> Dump {
        self.engine.dump()
    }

    /// See [`stats`](crate::stats()).
    pub fn stats(&self) -> Stats {
        self.engine.stats()
    }

    /// The time on the loop's clock.
    pub fn now(&self) -> Instant {
        self.engine.now()
    }

    /// The loop's name.
    pub fn name(&self) -> &str {
        self.engine.name()
    }

    /// See [`EventLoopBuilder::exception_handler`].
    pub fn set_exception_handler(&self, handler: impl Fn(&ExceptionContext) + 'static) {
        self.engine.set_exception_handler(Rc::new(handler));
    }

    /// From now on tells this observer of everything that the loop does, in place of the one before; from its next turn on, if the
    /// loop is running. See [`EventLoopBuilder::trace`].
    pub fn set_trace(&self, observer: impl Observer + 'static) {
        self.engine.set_trace(Some(Rc::new(observer)));
    }

    /// Ends the tracing now.
    pub fn stop_trace(&self) {
        self.engine.set_trace(None);
    }

    /// See [`EventLoopBuilder::debug`]. Holders are noted of objects that are first used from now on.
    pub fn set_debug(&self, debug: bool) {
        self.engine.set_debug(debug);
    }
}

fn outcome_of_main<T>(main: &Typed<Result<T, TaskError>>) -> Result<T, RunError> {
    if let Some(Ok(output)) = main.take() {
        return Ok(output);
    }
    main.set(Flag::SEEN);
    match main.cold().panic.take() {
        Some(panic) => Err(RunError::Panicked(panic)),
        None => Err(RunError::Cancelled(Cancelled { reason: main.reason() })),
    }
}

impl Default for EventLoop {
    fn default() -> EventLoop {
        EventLoop::new()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.engine.enter(|| self.engine.close());
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

/// The output, or a panic that says why there is none.
#[track_caller]
pub(crate) fn unwrap<T>(ended: Result<T, RunError>) -> T {
    match ended {
        Ok(output) => output,
        Err(RunError::Panicked(panic)) => panic.resume(),
        Err(error) => panic!("{error}"),
    }
}
