//! [`EventLoopBuilder`]: settings of a loop.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::clock::Clock;
use crate::engine::hook::WakeHook;
use crate::engine::registry::Registration;
use crate::engine::slots::MAX_TASKS;
use crate::engine::turn::{Engine, ExceptionHandler};
use crate::engine::waker::MAX_LOOPS;
use crate::error::{ExceptionContext, TooManyLoops};
use crate::event_loop::EventLoop;
use crate::thread::{PoolSettings, Reservation};

/// asyncio's `slow_callback_duration`.
pub(crate) const SLOW_CALLBACK: Duration = Duration::from_millis(100);

/// Settings of a loop that is about to be made. Made by [`EventLoop::builder`].
#[derive(Default)]
#[must_use = "a builder makes nothing before `build`"]
pub struct EventLoopBuilder {
    clock: Option<Clock>,
    name: Option<String>,
    exception_handler: Option<ExceptionHandler>,
    slow_callback_duration: Option<Duration>,
    pool: PoolSettings,
    wake_hook: Option<WakeHook>,
    max_tasks: Option<usize>,
    reservation: Option<Reservation>,
}

impl EventLoopBuilder {
    /// Where the loop's time comes from; [`Clock::monotonic`] if not said.
    pub fn clock(mut self, clock: impl Into<Clock>) -> EventLoopBuilder {
        self.clock = Some(clock.into());
        self
    }

    /// The loop's name, for its reports.
    pub fn name(mut self, name: impl Into<String>) -> EventLoopBuilder {
        self.name = Some(name.into());
        self
    }

    /// Who is told of failures that nobody took; if not said they are written to stderr.
    ///
    /// # In asyncio
    /// `loop.set_exception_handler`.
    pub fn exception_handler(
        mut self,
        handler: impl Fn(&ExceptionContext) + 'static,
    ) -> EventLoopBuilder {
        self.exception_handler = Some(Rc::new(handler));
        self
    }

    /// Whether the exception handler is told of polls that hold up the loop for more than 100 ms.
    ///
    /// # In asyncio
    /// `loop.set_debug`.
    pub fn debug(self, debug: bool) -> EventLoopBuilder {
        EventLoopBuilder { slow_callback_duration: debug.then_some(SLOW_CALLBACK), ..self }
    }

    /// The same as [`debug`](EventLoopBuilder::debug), with another limit.
    ///
    /// # In asyncio
    /// `loop.slow_callback_duration`.
    pub fn slow_callback_duration(self, limit: Duration) -> EventLoopBuilder {
        EventLoopBuilder { slow_callback_duration: Some(limit), ..self }
    }

    /// How many tasks may be alive on the loop at one time; if not said, as many as a waker can tell apart: 16,515,072 on a
    /// 64-bit machine (and 64,512 on a smaller one), which is also the most that can be said.
    ///
    /// Whoever creates one more gets [`TooManyTasks`](crate::TooManyTasks), as a panic or as an error. The main task is one of
    /// them, but is never refused for this; callbacks are none. So a program that creates tasks faster than they end says so
    /// before the machine's memory is used up.
    ///
    /// # Examples
    /// ```
    /// use std::future::pending;
    /// use loopwheel::{CreateTaskError, EventLoop, TaskBuilder};
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

    /// Called when something comes for the loop from outside while the host does not turn it: from any thread, at most once
    /// until the next [`turn`](EventLoop::turn). It is to make the host turn the loop soon, and must not turn it itself, nor
    /// panic.
    pub fn wake_hook(mut self, hook: impl Fn() + Send + Sync + 'static) -> EventLoopBuilder {
        self.wake_hook = Some(Arc::new(hook));
        self
    }

    /// The loop is the one that a handle was made for before; see [`Handle::reserve`](crate::Handle::reserve).
    pub fn reservation(mut self, reservation: Reservation) -> EventLoopBuilder {
        self.reservation = Some(reservation);
        self
    }

    /// How many threads [`to_thread`](crate::to_thread()) may use at most; if not said, four more than the machine has
    /// cores, and 32 at most. At least one, whatever is said.
    pub fn threads(mut self, at_most: usize) -> EventLoopBuilder {
        self.pool.max_threads = at_most;
        self
    }

    /// After how long an idle thread of [`to_thread`](crate::to_thread()) ends; if not said, ten seconds.
    pub fn thread_idle_timeout(mut self, timeout: Duration) -> EventLoopBuilder {
        self.pool.idle_timeout = timeout;
        self
    }

    /// What the threads of [`to_thread`](crate::to_thread()) are called; if not said, `loopwheel-worker`.
    ///
    /// # Panics
    /// If the name contains a NUL byte, for an operating system takes no such name.
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

    /// Makes the loop.
    ///
    /// # Panics
    /// If too many loops are alive in this process.
    pub fn build(self) -> EventLoop {
        match self.try_build() {
            Ok(event_loop) => event_loop,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the loop.
    ///
    /// # Errors
    /// If too many loops are alive in this process: a waker has room for so many.
    pub fn try_build(self) -> Result<EventLoop, TooManyLoops> {
        let registration = Registration::new().ok_or(TooManyLoops { limit: MAX_LOOPS })?;
        if let Some(hook) = self.wake_hook {
            registration.set_hook(hook);
        }
        let name: Rc<str> = self.name.unwrap_or_else(|| "loopwheel".to_owned()).into();
        let handler = self.exception_handler.unwrap_or_else(|| {
            let name = name.clone();
            Rc::new(move |context: &ExceptionContext| eprintln!("{name}: {context}"))
        });
        let clock = self.clock.unwrap_or_else(Clock::monotonic);
        let slow = self.slow_callback_duration;
        let max_tasks = self.max_tasks.unwrap_or(MAX_TASKS);
        let engine = Engine::new(registration, clock, name, handler, slow, self.pool, max_tasks);
        let event_loop = EventLoop::of(engine);
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
