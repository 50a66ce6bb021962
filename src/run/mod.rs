//! **Running a loop**: [`run`], [`EventLoop`], and all that happens outside a turn.
//!
//! A turn never blocks, and does not know when the program has ended. Something has to call it again and again, sleep in between,
//! notice a deadlock, and clean up after `main`. The naive answer is one `loop` inside `run`. But a host, another executor and
//! virtual time take the same decisions. So each decision is one function here, which every driver calls.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | `run`, and `EventLoop` |
//! | `builder` | the settings of a loop |
//! | `driver` | what to do between two turns |
//!
//! It stands on `base`, `reason`, `error`, the kernel, `mailbox`, `trace`, `clock`, `object`, `time`, `task`, `spawning`, `report`,
//! `callback`, `thread`, `thread_channel`, `to_thread`, `dump`, `watch` and `close`.

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
use crate::clock::VirtualClock;
use crate::close::Shutdown;
use crate::dump::{Dump, Stats};
use crate::engine::Engine;
use crate::error::{Cancelled, RunError, TaskError};
use crate::kernel::current;
use crate::kernel::record::{Flag, Typed};
use crate::reason::{Cause, Reason};
use crate::report::{ExceptionContext, Failure};
use crate::spawning::TaskBuilder;
use crate::task::{Task, TaskRef, give_name, running_loop};
use crate::thread::Handle;
use crate::thread_channel::{self, LoopReceiver, ThreadSender};
use crate::trace::Observer;

pub use builder::EventLoopBuilder;
pub(crate) use driver::NextStep;

/// An event loop: runs futures on the thread that created it.
///
/// Most programs only need [`run`]. An `EventLoop` keeps its clock, its settings and the [task-locals](crate::TaskLocal) of the
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
    /// As the function [`run`].
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
    /// As the function [`run`].
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
        if current::running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        let called_at = Location::caller();
        let run_over = Reason::own(Cause::RunOver, Some(called_at));
        self.engine.enter(|| {
            self.engine.spawn_main(main, called_at, |main| {
                give_name(main, "main".into());
                main.set_reason(run_over); // for a deadlock, which drops it
                self.turn_until(|| main.has(Flag::DONE))?;
                outcome_of_main(main)
            })?
        })
    }

    /// Cancels every task and waits until all have ended. Tasks that they spawn meanwhile are cancelled too, for a thousand rounds.
    /// Tasks that are left then, because each clean-up spawns the next, are reported to the exception handler and dropped hard.
    ///
    /// # Errors
    /// [`RunError::Deadlock`] if a task swallows the cancel and waits for what can never come; [`RunError::AlreadyRunning`].
    ///
    /// # In asyncio
    /// `runner.close()`.
    #[track_caller]
    pub fn cancel_all(&mut self) -> Result<(), RunError> {
        if current::running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        let mut shutdown = Shutdown::new(Location::caller());
        self.engine.enter(|| {
            shutdown.advance(&self.engine); // the first round of cancels
            let ended = self.turn_until(|| shutdown.advance(&self.engine));
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

/// Runs `main` on a new loop and returns its output.
///
/// `main` may borrow from the caller's stack. When it has returned, every remaining task is cancelled and waited for: its clean-up
/// runs, including the part that awaits. A task that swallows every cancel keeps `run` from returning.
///
/// # Panics
/// If `main` panics, with its panic; if `main` is cancelled and does not catch the cancel; if a loop is already running on this
/// thread; on a [`Deadlock`](crate::Deadlock). [`try_run`] returns errors instead.
///
/// # Examples
/// ```
/// let mut log = vec![];
/// let answer = loopwheel::run(async {
///     log.push("in the loop");
///     42
/// });
/// assert_eq!(answer, 42);
/// assert_eq!(log, ["in the loop"]);
/// ```
///
/// # In asyncio
/// `asyncio.run(main())`.
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    unwrap(try_run(main))
}

/// Like [`run`], with errors in place of the panics.
///
/// # Errors
/// [`RunError`].
///
/// # Examples
/// ```
/// use loopwheel::{RunError, current_task, try_run, yield_now};
///
/// let ended = try_run(async {
///     current_task().cancel();
///     yield_now().await;
/// });
/// assert!(matches!(ended, Err(RunError::Cancelled(_))));
/// ```
#[track_caller]
pub fn try_run<F: Future>(main: F) -> Result<F::Output, RunError> {
    EventLoop::builder().try_build()?.try_run(main)
}

/// Like [`run`], on a [`VirtualClock`]: no sleep takes real time. For tests and examples.
///
/// A test fails only if `main` does. So await the tasks that it creates; otherwise their panics are only reported.
///
/// # Panics
/// As [`run`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use loopwheel::{now, run_virtual, sleep};
///
/// let seconds = run_virtual(async {
///     sleep(Duration::from_secs(3600)).await;
///     now().as_secs_f64()
/// });
/// assert_eq!(seconds, 3600.0);
/// ```
#[track_caller]
pub fn run_virtual<F: Future>(main: F) -> F::Output {
    EventLoop::builder().clock(VirtualClock::new()).build().run(main)
}

#[track_caller]
fn unwrap<T>(ended: Result<T, RunError>) -> T {
    match ended {
        Ok(output) => output,
        Err(RunError::Panicked(panic)) => panic.resume(),
        Err(error) => panic!("{error}"),
    }
}

/// From its next turn on, tells this observer of everything that the running loop does, in place of the one before; see
/// [`trace`](crate::trace). [`trace::stop`](crate::trace::stop) ends that.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{set_trace, trace::Event, yield_now};
///
/// set_trace(|event: &Event| println!("{:?}", event.what));
/// yield_now().await;
/// loopwheel::trace::stop();
/// # });
/// ```
#[track_caller]
pub fn set_trace(observer: impl Observer + 'static) {
    running_loop().set_trace(Some(Rc::new(observer)));
}
