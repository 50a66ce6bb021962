//! [`EventLoopBuilder`]: settings of a loop.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::{EventLoop, WaitIn};
use crate::base::id::MAX_LOOPS;
use crate::base::room::MAX_TASKS;
use crate::base::unusual::Unusual;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::error::TooManyLoops;
use crate::mailbox::{Registration, WakeCallback};
use crate::parking::{Parker, Parking};
use crate::report::{ExceptionContext, ExceptionHandler, Reporting};
use crate::thread::Reservation;
use crate::time::Time;
use crate::to_thread::{Blocking, PoolSettings};
use crate::trace::Observer;
use crate::watch::{Watch, WatchSettings};

/// Settings of a loop. Created by [`EventLoop::builder`].
#[derive(Default)]
#[must_use = "a builder makes nothing before `build`"]
pub struct EventLoopBuilder {
    pub(crate) clock: Option<Clock>,
    name: Option<String>,
    pub(crate) exception_handler: Option<ExceptionHandler>,
    pub(crate) watch: WatchSettings,
    pool: PoolSettings,
    wake_hook: Option<WakeCallback>,
    parker: Option<Parker>,
    wait_in: Option<WaitIn>,
    max_tasks: Option<usize>,
    eager_start: bool,
    reservation: Option<Reservation>,
    observer: Option<Rc<dyn Observer>>,
}

impl EventLoopBuilder {
    /// The loop's clock. The default is [`Clock::monotonic`].
    pub fn clock(mut self, clock: impl Into<Clock>) -> EventLoopBuilder {
        self.clock = Some(clock.into());
        self
    }

    /// The loop's name, for its reports.
    pub fn name(mut self, name: impl Into<String>) -> EventLoopBuilder {
        self.name = Some(name.into());
        self
    }

    /// Called with failures that no task or handle will see. By default they are written to stderr.
    ///
    /// # In asyncio
    /// `loop.set_exception_handler`.
    pub fn exception_handler(mut self, handler: impl Fn(&ExceptionContext) + 'static) -> Self {
        self.exception_handler = Some(Rc::new(handler));
        self
    }

    /// Whether the loop is in the debug mode. It then reports to the exception handler, as [`Failure`](crate::Failure)s,
    ///
    /// - polls that take longer than 100 ms of real time, as [`slow_callback_duration`](EventLoopBuilder::slow_callback_duration)
    ///   does,
    /// - that it has been quiet for 5 seconds, as [`stall_after`](EventLoopBuilder::stall_after) does.
    ///
    /// It also notes the holders of locks and permits that are first used from then on, so that a dump can name them.
    ///
    /// Without this call, a loop is in the debug mode if the environment has a variable `LOOPWHEEL_DEBUG` that is neither empty nor
    /// `0`. [`set_debug`](crate::set_debug()) changes it later.
    ///
    /// # In asyncio
    /// `loop.set_debug`, and `PYTHONASYNCIODEBUG=1`.
    pub fn debug(mut self, debug: bool) -> EventLoopBuilder {
        self.watch.debug = Some(debug);
        self.watch.slow_poll = None;
        self
    }

    /// Polls that take longer than this are reported, as [`Failure::SlowPoll`](crate::Failure::SlowPoll). Real time counts,
    /// whatever clock the loop has.
    ///
    /// # In asyncio
    /// `loop.slow_callback_duration`.
    pub fn slow_callback_duration(mut self, limit: Duration) -> EventLoopBuilder {
        self.watch.slow_poll = Some(limit);
        self
    }

    /// If only a [`Handle`](crate::Handle), or a waker that foreign code holds, could still wake the loop, and nothing has for this
    /// long, that is reported once, as [`Failure::Stalled`](crate::Failure::Stalled), with what each task waits for. Then the loop
    /// waits on. It is reported again only after it has been woken. The default is not to; in the [debug mode](Self::debug) it
    /// is 5 seconds.
    ///
    /// Real time counts, whatever clock the loop has. A loop with a timer, or with work of [`to_thread`](crate::to_thread()), is
    /// not stalled: that will wake it. One that nothing at all can wake is a [`Deadlock`](crate::Deadlock). This works where the
    /// loop itself waits: in [`run`](crate::run()) and its like. A host that calls [`turn`](EventLoop::turn), or another executor
    /// that polls [`drive`](EventLoop::drive), waits by itself.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use std::time::Duration;
    /// use loopwheel::{EventLoop, Failure, Handle, sync::Event};
    ///
    /// let event = Rc::new(Event::new());
    /// let to_set = event.clone();
    /// let builder = EventLoop::builder().stall_after(Duration::from_millis(10));
    /// let builder = builder.exception_handler(move |context| {
    ///     println!("{context}"); // … 1 task is left: 'main' (Task-1), waiting … └─ event 1
    ///     assert!(matches!(context.failure, Failure::Stalled { .. }));
    ///     to_set.set();
    /// });
    /// builder.build().run(async {
    ///     let _handle = Handle::current(); // another thread might use one to wake this loop
    ///     event.wait().await;
    /// });
    /// ```
    ///
    /// # In asyncio
    /// There is none: such a program hangs.
    pub fn stall_after(mut self, quiet: Duration) -> EventLoopBuilder {
        self.watch.stall_after = Some(quiet);
        self
    }

    /// How many tasks may be alive on the loop at one time. The default is also the maximum, which is what a waker's id has room
    /// for: 16,515,072 on a 64-bit machine, 64,512 on a smaller one.
    ///
    /// Creating one more fails with [`TooManyTasks`](crate::errors::TooManyTasks), as a panic or as an error, before the machine runs out
    /// of memory. The main task counts, but is never refused because of this limit. Callbacks do not count.
    ///
    /// # Examples
    /// ```
    /// use std::future::pending;
    /// use loopwheel::errors::CreateTaskError;
    /// use loopwheel::{EventLoop, TaskBuilder};
    ///
    /// let mut event_loop = EventLoop::builder().max_tasks(2).build();
    /// event_loop.run(async {
    ///     let create = || TaskBuilder::new().create_task_if_running(pending::<()>());
    ///     let task = create().unwrap();
    ///     assert!(matches!(create(), Err(CreateTaskError::TooManyTasks(_)))); // main is one, too
    ///     task.cancel();
    ///     assert!(task.await.is_err());
    ///     assert!(create().is_ok());
    /// });
    /// ```
    ///
    /// # In asyncio
    /// There is no limit.
    pub fn max_tasks(mut self, at_most: usize) -> EventLoopBuilder {
        self.max_tasks = Some(at_most);
        self
    }

    /// Whether each task that is spawned in a task or a callback of the loop is polled at once, inside the call that creates it:
    /// see [`TaskBuilder::eager_start`](crate::TaskBuilder::eager_start), which says so for one task. The default is not to. Tasks
    /// that come from outside of the loop (its host, a [`Handle`](crate::Handle), a foreign library) begin in the next turn as always.
    ///
    /// # In asyncio
    /// `loop.set_task_factory(asyncio.eager_task_factory)`.
    #[doc(alias = "eager_task_factory")]
    #[doc(alias = "set_task_factory")]
    pub fn eager_start(mut self, at_once: bool) -> EventLoopBuilder {
        self.eager_start = at_once;
        self
    }

    /// Called, from any thread, when the loop is woken from outside while its host does not turn it: at most once until the next
    /// [`turn`](EventLoop::turn). It should make the host turn the loop soon. It must not turn the loop itself, and must not panic.
    pub fn wake_hook(mut self, notifier: impl Fn() + Send + Sync + 'static) -> EventLoopBuilder {
        self.wake_hook = Some(Arc::new(notifier));
        self
    }

    /// Sleeps in `park` in place of parking the thread: in a poller of sockets. It is given how long it may sleep at most, or `None`,
    /// and may return early. The tasks whose sockets are ready are woken in it, on the loop's thread.
    ///
    /// It is called when no task is ready, and with zero while the loop is busy, after 64 polls and the turn in which they end: then it
    /// must not sleep. A wake-up from another thread calls the [wake hook](EventLoopBuilder::wake_hook), which has to end the sleep
    /// (`mio::Waker::wake`). [`run`](EventLoop::run) and its like call it; a host that turns the loop sleeps by itself. A task whose
    /// `Waker` was cloned counts as one that the parker may wake, so it is no [`Deadlock`](crate::Deadlock).
    /// `docs/embedding/reactor.rs` is a reactor in one file; `loopwheel::io` (feature `async-io`) is one that is made.
    ///
    /// # Panics
    /// On the builder of `loopwheel::io`, whose loops wait in another reactor. A panic of `park` comes out of `run`.
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    /// use loopwheel::{EventLoop, sleep};
    ///
    /// // A poller without sockets: a channel that a wake-up writes to.
    /// let (hook, woken) = channel();
    /// let builder = EventLoop::builder().wake_hook(move || _ = hook.send(()));
    /// let park = move |at_most: Option<Duration>| _ = woken.recv_timeout(at_most.unwrap_or(Duration::MAX));
    /// let mut event_loop = builder.park_with(park).build();
    /// event_loop.run(sleep(Duration::from_millis(1)));
    /// ```
    ///
    /// # In asyncio
    /// `SelectorEventLoop(selector)`.
    #[track_caller]
    pub fn park_with(mut self, park: impl FnMut(Option<Duration>) + 'static) -> EventLoopBuilder {
        assert!(
            self.wait_in.is_none(),
            "a loop of `io::builder` waits in the reactor of async-io, and not in a parker: build one that has a parker with \
             `EventLoop::builder`"
        );
        self.parker = Some(Box::new(park));
        self
    }

    #[cfg(feature = "async-io")]
    pub(crate) fn wait_in(mut self, wait: WaitIn) -> EventLoopBuilder {
        self.wait_in = Some(wait);
        self
    }

    /// The loop takes over this reservation, so the handle of [`Handle::reserve`](crate::Handle::reserve) reaches it.
    pub fn reservation(mut self, reservation: Reservation) -> EventLoopBuilder {
        self.reservation = Some(reservation);
        self
    }

    /// Tells this observer of everything that the loop does, in place of one that was given before: see [`trace`](crate::trace). Two
    /// observers are given as a pair: `.trace((recorder.clone(), counter))`.
    pub fn trace(mut self, observer: impl Observer + 'static) -> EventLoopBuilder {
        self.observer = Some(Rc::new(observer));
        self
    }

    /// How many threads [`to_thread`](crate::to_thread()) may use, at least one. The default is four more than the machine has
    /// cores, but not more than 32.
    pub fn threads(mut self, at_most: usize) -> EventLoopBuilder {
        self.pool.max_threads = at_most;
        self
    }

    /// How long an idle thread of [`to_thread`](crate::to_thread()) is kept. The default is ten seconds.
    pub fn thread_idle_timeout(mut self, timeout: Duration) -> EventLoopBuilder {
        self.pool.idle_timeout = timeout;
        self
    }

    /// The name of the threads of [`to_thread`](crate::to_thread()). The default is `loopwheel-worker`.
    ///
    /// # Panics
    /// If the name contains a NUL byte: operating systems accept no such name.
    #[track_caller]
    pub fn thread_name(mut self, name: impl Into<String>) -> EventLoopBuilder {
        let name = name.into();
        assert!(
            !name.contains('\0'),
            "the name of a thread cannot contain a NUL byte, as {name:?} does: give one without"
        );
        self.pool.thread_name = name;
        self
    }

    /// Creates the loop.
    ///
    /// # Panics
    /// If too many loops are alive in this process.
    #[track_caller]
    pub fn build(self) -> EventLoop {
        match self.try_build() {
            Ok(event_loop) => event_loop,
            Err(error) => panic!("{error}"),
        }
    }

    /// Creates the loop.
    ///
    /// # Errors
    /// If too many loops are alive in this process: a waker's id has room for a limited number.
    pub fn try_build(self) -> Result<EventLoop, TooManyLoops> {
        let registration = Registration::new().ok_or(TooManyLoops { limit: MAX_LOOPS })?;
        if let Some(callback) = self.wake_hook {
            registration.set_on_wake(callback);
        }
        let name: Rc<str> = self.name.unwrap_or_else(|| "loopwheel".to_owned()).into();
        let handler = self.exception_handler.unwrap_or_else(|| {
            let name = name.clone();
            Rc::new(move |context: &ExceptionContext| eprintln!("{name}: {context}"))
        });
        let max_tasks = self.max_tasks.unwrap_or(MAX_TASKS);
        let time = Time::new(self.clock.unwrap_or_else(Clock::monotonic));
        let blocking = Blocking::new(self.pool);
        let (reporting, watch) = (Reporting::new(handler), Watch::new(self.watch));
        let mut engine =
            Engine::new(name, max_tasks, registration, time, blocking, reporting, watch);
        engine.parking = Parking::new(self.parker, self.wait_in.is_some());
        let event_loop = EventLoop { engine: Rc::new(engine), wait_in: self.wait_in };
        event_loop.engine.unusual.set(Unusual::STARTS_EAGERLY, self.eager_start);
        event_loop.engine.choose_loop_of_polls();
        event_loop.engine.watch_objects();
        // The whole test suite is also run with an observer everywhere, which may change nothing: see `.ci/run`.
        #[cfg(loopwheel_traced)]
        let observer = self.observer.or_else(|| Some(Rc::new(|_: &crate::trace::Event<'_>| ())));
        #[cfg(not(loopwheel_traced))]
        let observer = self.observer;
        event_loop.engine.set_trace(observer);
        if let Some(reservation) = self.reservation {
            reservation.redeem(event_loop.engine());
        }
        Ok(event_loop)
    }
}

impl fmt::Debug for EventLoopBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoopBuilder")
            .field("name", &self.name)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
