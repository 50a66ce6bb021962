//! [`EventLoop::drive`]: the loop as a future of another executor.
//!
//! A program may have an executor already, for its sockets. The naive answer is a second thread for the loop; then nothing that
//! is not `Send` can be shared between the two. `drive` is a driver like [`run`](crate::run()), with the same decisions between two
//! turns. But where `run` parks its thread, it returns `Pending`: the loop's wake hook wakes the other executor's waker, and the
//! next deadline is a timer of that executor. It cannot notice a deadlock: the other executor may always wake the loop.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::base::instant::Instant;
use crate::base::kind::Plain;
use crate::close::Shutdown;
use crate::error::{RunError, TaskError};
use crate::kept_waker::GuardedWaker;
use crate::kernel::current;
use crate::parking::NextStep;
use crate::run::EventLoop;
use crate::spawning::TaskBuilder;

impl EventLoop {
    /// Runs `main`, then cancels the remaining tasks and waits for them, as [`try_run`](EventLoop::try_run) does; but as a future
    /// that any executor can await. `sleep` creates a timer of that executor, which is set to the loop's next deadline.
    ///
    /// Each poll is one turn: it polls all ready tasks once, so the other executor's tasks run in between. The loop's tasks may
    /// also await futures of the other executor (its sockets, its channels). The loop's wake hook, if it has one, is replaced.
    ///
    /// A loop in which nothing can go on is no deadlock here, because the other executor may still wake it. The time is that of the
    /// loop's own clock. If the other executor's clock can be paused, like tokio's in tests, give the loop a
    /// [`Clock::host`](crate::Clock::host) that reads that clock. `main` must be `'static`, and the future is not `Send`: await it
    /// in the other executor's `block_on`, or in one of its local tasks.
    ///
    /// # Cancellation
    /// Dropping the future drops the loop with all its tasks, hard: destructors run, clean-up that awaits does not.
    ///
    /// # Errors
    /// [`RunError::Cancelled`] and [`RunError::Panicked`], of `main`; [`RunError::AlreadyRunning`] if a task of a loop of this
    /// crate polls it: inside such a loop, spawn a task instead.
    ///
    /// # Panics
    /// If too many tasks are alive on the loop.
    ///
    /// # Examples
    /// ```
    /// # // A stand-in: `docs/embedding.md` has the same with the real one.
    /// # mod async_io {
    /// #     pub use futures::executor::block_on;
    /// #     pub struct Timer;
    /// #     impl Timer { pub async fn after(_: std::time::Duration) {} }
    /// # }
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
        let called_at = Location::caller();
        let main = main_task.spawn_on(self.engine(), Plain, main, called_at);
        let mut driver = Driver { event_loop: self, waker: None, sleep, timer: None };
        async move {
            driver.turn_until(|| main.is_done()).await?;
            let engine = driver.event_loop.engine().clone();
            let mut shutdown = Shutdown::new(called_at);
            engine.enter(|| shutdown.advance(&engine)); // the first round of cancels
            driver.turn_until(|| shutdown.advance(&engine)).await?;
            main.take().expect("it has ended, and this is its only handle").map_err(|error| {
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
    /// The other executor's waker, which the loop's wake hook wakes.
    waker: Option<Arc<GuardedWaker>>,
    sleep: M,
    /// The other executor's timer, and its deadline.
    timer: Option<(Instant, Pin<Box<S>>)>,
}

impl<M, S> Driver<M, S>
where
    M: FnMut(Duration) -> S,
    S: Future,
{
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
        self.keep_waker(cx.waker());
        let engine = self.event_loop.engine();
        // `None` when `done`: a turn that has ended the run does not park.
        let next_step = engine.enter(|| {
            engine.mailbox.arm(); // before the mailbox is checked: what comes later calls the hook
            engine.check_in_next_turn();
            let next = engine.turn(usize::MAX);
            (!done()).then(|| engine.next_step(next))
        });
        let turns_again = match next_step {
            None => return Poll::Ready(Ok(())),
            Some(NextStep::TurnAgain) => true,
            Some(NextStep::ParkUntilWoken) => false,
            // The other executor waits by itself: see `Clock::host`.
            Some(NextStep::WaitBeforeJump(_, deadline)) => engine.jump_to(deadline),
            Some(NextStep::ParkUntil(deadline)) => self.has_passed(deadline, cx),
        };
        if turns_again {
            cx.waker().wake_by_ref(); // not in this poll: the other executor's tasks come first
        }
        Poll::Pending
    }

    /// Makes the wake hook wake this waker from now on.
    fn keep_waker(&mut self, waker: &Waker) {
        if !self.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            let to_wake = waker.clone();
            self.waker = Some(GuardedWaker::of(waker));
            self.event_loop.engine().set_on_wake(Arc::new(move || to_wake.wake_by_ref()));
        }
    }

    /// Whether the deadline has passed. If not, the other executor's timer is set to it.
    fn has_passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        if self.timer.as_ref().is_none_or(|timer| timer.0 != deadline) {
            let until_then = deadline - self.event_loop.now();
            self.timer = Some((deadline, Box::pin((self.sleep)(until_then))));
        }
        let timer = self.timer.as_mut().map(|timer| timer.1.as_mut().poll(cx));
        let has_passed = timer.is_some_and(|timer| timer.is_ready());
        if has_passed {
            self.timer = None;
        }
        has_passed
    }
}
