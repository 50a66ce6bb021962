//! [`EventLoop::drive`]: the loop as a future of another executor.
//!
//! A driver like [`run`](crate::run), with the same rests between two turns; where `run` puts its thread to sleep, this
//! one returns `Pending`: the wake hook is the other executor's waker, and the deadline is a timer of the other's.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::engine::current;
use crate::engine::foreign::GuardedWaker;
use crate::engine::instant::Instant;
use crate::engine::life::MOST_ROUNDS;
use crate::engine::record::Plain;
use crate::error::{RunError, TaskError};
use crate::event_loop::{EventLoop, Rest, all_done};
use crate::task::{TaskBuilder, TaskRef};

impl EventLoop {
    /// Runs `main` and then cancels what is left and waits for it, as [`try_run`](EventLoop::try_run) does, but as a future
    /// that any executor can await. `sleep` makes a timer of that executor's; the loop's own are served through it.
    ///
    /// Each poll is one turn of everybody who is ready, so the other executor's tasks have theirs in between. What the tasks
    /// await may be of the other executor too (its sockets, its channels). The loop's wake hook, if it has one, is replaced.
    ///
    /// A loop that waits for nothing that it knows of is no deadlock here, for the other executor may yet wake it. Time is
    /// that of the loop's own clock: where the other executor's can be paused, as tokio's in tests, give the loop
    /// [`Clock::host`](crate::Clock::host) over that. `main` must be `'static`, and the future is not `Send`: it is for the
    /// other's `block_on` or for its local tasks.
    ///
    /// # Cancellation
    /// Dropping the future drops the loop with all its tasks, hard: destructors run, clean-up that awaits does not.
    ///
    /// # Errors
    /// [`RunError::Cancelled`] and [`RunError::Panicked`], of `main`; [`RunError::AlreadyRunning`] if it is polled by a task of a loop of this crate: such a loop needs no
    /// second one inside it.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use async_io::Timer;
    /// use loopwheel::{EventLoop, sleep, wait_for};
    ///
    /// let main = async {
    ///     let too_slow = sleep(Duration::from_secs(3600));
    ///     wait_for(too_slow, Duration::from_millis(1)).await.is_err()
    /// };
    /// let timed_out = async_io::block_on(EventLoop::new().drive(main, Timer::after));
    /// assert_eq!(timed_out, Ok(true));
    /// ```
    ///
    /// # In asyncio
    /// There, a loop of another kind takes the place of the event loop as a whole.
    #[track_caller]
    pub fn drive<F, S>(
        self,
        main: F,
        sleep: impl FnMut(Duration) -> S,
    ) -> impl Future<Output = Result<F::Output, RunError>>
    where
        F: Future + 'static,
        S: Future,
    {
        let main_task = TaskBuilder::new().name("main");
        let main = main_task.spawn_on(self.engine(), Plain, main, Location::caller());
        let mut driver = Driver { event_loop: self, waker: None, sleep, timer: None };
        async move {
            driver.turn_until(|| main.is_done()).await?;
            let engine = driver.event_loop.engine().clone();
            for _ in 0..MOST_ROUNDS {
                let Some(left) = driver.cancel_everybody() else { break };
                driver.turn_until(all_done(&left)).await?;
            }
            engine.enter(|| engine.give_up_clean_up());
            driver.turn_until(|| engine.work_out.is_empty()).await?;
            main.take().expect("it is over, and nobody else has its handle").map_err(|error| {
                match error {
                    TaskError::Cancelled(cancelled) => RunError::Cancelled(cancelled),
                    TaskError::Panicked(panic) => RunError::Panicked(panic),
                    TaskError::Failed(never) => match never {},
                    TaskError::Grouped => unreachable!("main is in no group"),
                }
            })
        }
    }
}

/// Turns a loop when it is polled.
struct Driver<M, S> {
    event_loop: EventLoop,
    /// Who is called when a letter comes.
    waker: Option<Arc<GuardedWaker>>,
    sleep: M,
    /// The other executor's timer, and what it is set to.
    timer: Option<(Instant, Pin<Box<S>>)>,
}

impl<M, S> Driver<M, S>
where
    M: FnMut(Duration) -> S,
    S: Future,
{
    fn cancel_everybody(&self) -> Option<Vec<TaskRef>> {
        self.event_loop.engine().enter(|| self.event_loop.cancel_everybody())
    }

    async fn turn_until(&mut self, mut done: impl FnMut() -> bool) -> Result<(), RunError> {
        poll_fn(|cx| self.turn(cx, &mut done)).await
    }

    fn turn(
        &mut self,
        cx: &mut Context<'_>,
        mut done: impl FnMut() -> bool,
    ) -> Poll<Result<(), RunError>> {
        if current::running().is_some() {
            return Poll::Ready(Err(RunError::AlreadyRunning));
        }
        self.keep(cx.waker());
        let engine = self.event_loop.engine();
        let rest = engine.enter(|| {
            engine.arm_hook();
            engine.look_at_once();
            let next = engine.turn(usize::MAX);
            (!done()).then(|| self.event_loop.rest(next))
        });
        let is_time = match rest {
            None => return Poll::Ready(Ok(())),
            Some(Rest::No) => true,
            Some(Rest::UntilLetter) => false,
            Some(Rest::Until(deadline)) => self.is_over(deadline, cx),
        };
        if is_time {
            cx.waker().wake_by_ref(); // after the others: a turn is one poll
        }
        Poll::Pending
    }

    /// From here on this is who is called.
    fn keep(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            let called = waker.clone();
            self.waker = Some(GuardedWaker::of(waker));
            self.event_loop.engine().set_hook(Arc::new(move || called.wake_by_ref()));
        }
    }

    /// Whether the deadline has come; if not, the other executor's timer is set to it.
    fn is_over(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        if self.timer.as_ref().is_none_or(|timer| timer.0 != deadline) {
            let until_then = deadline - self.event_loop.now();
            self.timer = Some((deadline, Box::pin((self.sleep)(until_then))));
        }
        let timer = self.timer.as_mut().map(|timer| timer.1.as_mut().poll(cx));
        let is_over = timer.is_some_and(|timer| timer.is_ready());
        if is_over {
            self.timer = None;
        }
        is_over
    }
}
