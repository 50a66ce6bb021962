//! The loop that people hold, and [`run`].
//!
//! What a loop does is one function, [`Engine::turn`]; here are its callers, who decide what happens between two
//! turns: sleep, jump, or give up.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::builder::{EventLoopBuilder, SLOW_CALLBACK};
use crate::callback::{self, CallbackHandle};
use crate::engine::clock::{Source, VirtualClock};
use crate::engine::current;
use crate::engine::instant::Instant;
use crate::engine::life::MOST_ROUNDS;
use crate::engine::reason::{Own, Reason};
use crate::engine::record::{Fallible, Flag, Plain, Typed};
use crate::engine::turn::{Engine, Next};
use crate::error::{Cancelled, Deadlock, ExceptionContext, Failure, RunError, Stuck, TaskError};
use crate::task::{Task, TaskBuilder, TaskRef, running_loop};
use crate::thread::Handle;

/// Runs `main` on a new loop and returns its output.
///
/// `main` may borrow from the caller's stack. When it has returned, every task that is left is cancelled and waited
/// for, so their clean-up has run, the part that awaits too. A task that swallows every cancel keeps the run from ending.
///
/// # Panics
/// If `main` panics, with its panic; if it is cancelled and lets the cancel go on; if a loop is running on this thread
/// already; on a [`Deadlock`]. [`try_run`] returns errors instead.
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

/// Like [`run`], on a [`VirtualClock`]: nothing is waited for in real time. For tests and examples.
///
/// A test notices what main notices: await the tasks that it makes, or their panics are only reported.
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

/// Sets who is told of failures that nobody took, on the running loop.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{create_task, set_exception_handler, yield_now};
///
/// set_exception_handler(|context| println!("caught: {context}"));
/// drop(create_task(async { panic!("nobody asked") }));
/// yield_now().await;
/// # });
/// ```
///
/// # In asyncio
/// `loop.set_exception_handler(handler)`.
#[track_caller]
pub fn set_exception_handler(handler: impl Fn(&ExceptionContext) + 'static) {
    running_loop().set_exception_handler(Rc::new(handler));
}

/// What a driver does between two turns.
#[derive(Debug, PartialEq)]
pub(crate) enum Rest {
    No,
    Until(Instant),
    UntilLetter,
}

/// An event loop: runs futures on the thread that it was made on.
///
/// Most programs only need [`run`]. A loop of one's own keeps its clock and its settings over several runs, and the
/// [task-locals](crate::TaskLocal) of the main future too; it can be given tasks and callbacks before it runs.
///
/// Dropping it drops every task that is left, hard: destructors run, clean-up that awaits does not.
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
    /// A loop on the monotonic clock.
    ///
    /// # Panics
    /// If too many loops are alive in this process; [`EventLoopBuilder::try_build`] returns an error instead.
    pub fn new() -> EventLoop {
        EventLoop::builder().build()
    }

    /// A loop with settings.
    pub fn builder() -> EventLoopBuilder {
        EventLoopBuilder::default()
    }

    /// Runs `main`, then cancels what is left and waits for it.
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
    /// [`RunError`]. If main panicked and the clean-up of another task then waits for what cannot come, the deadlock is
    /// returned, and the panic goes to the exception handler.
    #[track_caller]
    pub fn try_run<F: Future>(&mut self, main: F) -> Result<F::Output, RunError> {
        let ended = self.try_run_until_complete(main);
        if matches!(
            ended,
            Err(RunError::AlreadyRunning | RunError::TooManyTasks(_) | RunError::Deadlock(_))
        ) {
            return ended;
        }
        if let Err(stuck) = self.cancel_all() {
            // That is the end; what main panicked with before is not lost for it.
            if let Err(RunError::Panicked(panic)) = ended {
                let failure = Failure::Panicked(panic);
                let context = ExceptionContext::of_nobody(failure, Location::caller());
                let context = ExceptionContext { what: "the main task", ..context };
                self.engine.enter(|| self.engine.report(&context));
            }
            return Err(stuck);
        }
        ended
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
        self.engine.enter(|| {
            self.engine.spawn_scoped(main, called_at, |main| {
                main.cold().name.replace(Some("main".into()));
                self.turn_until(|| main.has(Flag::DONE))?;
                outcome_of_main(main)
            })?
        })
    }

    /// Cancels every task and waits until they are over. What they spawn meanwhile is cancelled too, a thousand times; what is
    /// left then, because each clean-up spawns the next, is reported to the exception handler and dropped hard.
    ///
    /// # Errors
    /// [`RunError::Deadlock`] if one of them swallows the cancel and waits for what cannot come;
    /// [`RunError::AlreadyRunning`].
    ///
    /// # In asyncio
    /// `runner.close()`.
    pub fn cancel_all(&mut self) -> Result<(), RunError> {
        if current::running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        self.engine.enter(|| {
            for _ in 0..MOST_ROUNDS {
                let Some(left) = self.cancel_everybody() else { break };
                self.turn_until(all_done(&left))?;
            }
            self.engine.give_up_clean_up();
            // What is out on other threads cannot be cancelled: it is waited for.
            self.turn_until(|| self.engine.work_out.is_empty())
        })
    }

    /// Cancels every task there is; `None` if there is none.
    pub(crate) fn cancel_everybody(&self) -> Option<Vec<TaskRef>> {
        let tasks = self.all_tasks();
        for task in &tasks {
            task.record().cancel(&Reason::own(Own::RunOver, 0));
        }
        (!tasks.is_empty()).then_some(tasks)
    }

    /// Turns until `done`, and sleeps when there is nothing to do.
    fn turn_until(&self, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        loop {
            let next = self.engine.turn_within(usize::MAX, None);
            if done() {
                return Ok(());
            }
            if next == Next::Ready {
                continue; // the usual case, without more ado
            }
            match self.rest(next) {
                Rest::No => {}
                Rest::Until(deadline) => self.engine.park(Some(deadline - self.engine.now())),
                // Nothing but a letter can help now. Could one come?
                Rest::UntilLetter if self.engine.may_be_woken() => self.engine.park(None),
                Rest::UntilLetter => self.is_stuck(next)?,
            }
        }
    }

    /// What to do between two turns; a virtual clock jumps here.
    pub(crate) fn rest(&self, next: Next) -> Rest {
        if next == Next::Ready || self.engine.has_letters() {
            return Rest::No;
        }
        let Next::At(deadline) = next else { return Rest::UntilLetter };
        if deadline <= self.engine.now() {
            return Rest::No; // while the turn went on its time has come
        }
        match &self.engine.clock().0 {
            Source::Monotonic { .. } | Source::Host(_) => Rest::Until(deadline),
            // Virtual time does not pass while real work is out, or while somebody holds it.
            Source::Virtual(clock) if clock.is_held() || !self.engine.work_out.is_empty() => {
                Rest::UntilLetter
            }
            Source::Virtual(clock) => {
                clock.jump_to(deadline);
                Rest::No
            }
        }
    }

    /// An error, unless somebody can go on after all: there will never be another turn.
    fn is_stuck(&self, next: Next) -> Result<(), RunError> {
        let Some(waits) = self.engine.who_waits_for_what() else { return Ok(()) };
        let waits = waits.into_iter().map(|(record, waits_for)| Stuck {
            task: TaskRef::new(record.clone()).name(),
            spawned_at: record.spawned_at,
            waits_for,
        });
        let clock_is_held = next != Next::Idle;
        Err(RunError::Deadlock(Deadlock { waits: waits.collect(), clock_is_held }))
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
        callback::at(&self.engine, self.now() + delay, callback, Location::caller())
    }

    /// See [`call_at`](crate::call_at).
    #[track_caller]
    pub fn call_at(&self, when: Instant, callback: impl FnOnce() + 'static) -> CallbackHandle {
        callback::at(&self.engine, when, callback, Location::caller())
    }

    pub(crate) fn of(engine: Engine) -> EventLoop {
        EventLoop { engine: Rc::new(engine) }
    }

    pub(crate) fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle::to(&self.engine)
    }

    /// See [`all_tasks`](crate::all_tasks).
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.engine.tasks().into_iter().map(TaskRef::new).collect()
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

    /// See [`EventLoopBuilder::debug`].
    pub fn set_debug(&self, debug: bool) {
        self.engine.set_slow_poll(debug.then_some(SLOW_CALLBACK));
    }
}

/// Whether all of these are over. Each that is over is looked at once, however often this is called.
pub(crate) fn all_done(tasks: &[TaskRef]) -> impl FnMut() -> bool {
    let mut left = tasks.iter().peekable();
    move || {
        while left.next_if(|task| task.is_done()).is_some() {}
        left.peek().is_none()
    }
}

fn outcome_of_main<T>(main: &Typed<Result<T, TaskError>>) -> Result<T, RunError> {
    if let Some(Ok(output)) = main.take() {
        return Ok(output);
    }
    main.set(Flag::SEEN);
    let cold = main.cold();
    match cold.panic.take() {
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
