//! **Sleeping**: waiting for a time on the loop's clock, or for one turn.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the clock's time, and the sleep |
//! | `timer` | a timer that is unset when it is dropped |
//! | `yield_now` | one turn for all other tasks |
//! | `interval` | ticks that do not drift |
//!
//! It stands on `base`, `error`, the kernel, `trace`, `delivery`, `time` and `task`.

mod interval;
mod timer;
mod yield_now;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::instant::Instant;
use crate::delivery::{Told, checkpoint};
use crate::error::NoRunningLoop;
use crate::kernel::current;
use crate::task::{loop_that_polls, running_loop};
use crate::trace::Wait;

pub use interval::{Interval, interval, interval_at};
pub(crate) use timer::Timer;
pub use yield_now::{YieldNow, yield_now};

impl Instant {
    /// The time that has passed since this instant, on the running loop's clock.
    ///
    /// # Panics
    /// Without a running loop.
    #[track_caller]
    pub fn elapsed(self) -> Duration {
        now() - self
    }
}

/// The time on the running loop's clock.
///
/// # Panics
/// Without a running loop; [`try_now`] returns an error instead.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep};
///
/// let start = now();
/// sleep(Duration::from_secs(2)).await;
/// assert_eq!(now() - start, Duration::from_secs(2));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.get_running_loop().time()`.
#[doc(alias = "Instant::now")]
#[track_caller]
pub fn now() -> Instant {
    running_loop().now()
}

/// The time on the running loop's clock, if a loop is running.
///
/// # Errors
/// Without a running loop.
pub fn try_now() -> Result<Instant, NoRunningLoop> {
    current::running().map(|engine| engine.now()).ok_or(NoRunningLoop)
}

/// Waits until `duration` has passed since the first poll.
///
/// It never ends too early. Zero is a [`yield_now`](crate::yield_now()): the other tasks get a turn. A duration that reaches beyond the last
/// [`Instant`] ends at that one.
///
/// # Cancellation
/// Nothing is lost.
///
/// # Panics
/// When polled without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// loopwheel::sleep(std::time::Duration::from_millis(100)).await;
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.sleep(seconds)`.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { state: SleepState::For(duration), told: Told::default() }
}

/// Waits until the loop's clock shows `deadline`.
///
/// It never ends too early. A deadline that has passed is a [`yield_now`](crate::yield_now()).
///
/// # Cancellation
/// Nothing is lost.
///
/// # Panics
/// When polled without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep_until};
///
/// sleep_until(now() + Duration::from_secs(1)).await;
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.sleep(deadline - loop.time())`.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { state: SleepState::Until(deadline), told: Told::default() }
}

/// The future of [`sleep`] and [`sleep_until`].
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct Sleep {
    state: SleepState,
    told: Told,
}

#[derive(Debug)]
enum SleepState {
    /// Not polled yet.
    For(Duration),
    Until(Instant),
    Armed(Timer),
    /// The deadline had passed in the first poll.
    Yielding(YieldNow),
    Done,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            SleepState::Yielding(turn) => {
                let polled = Pin::new(turn).poll(cx);
                if polled.is_ready() {
                    self.state = SleepState::Done;
                }
                return polled;
            }
            SleepState::Done => return Poll::Ready(()),
            _ => {}
        }
        if checkpoint::is_plain() { self.poll_on(cx) } else { self.poll_slow_path(cx) }
    }
}

impl Sleep {
    #[cfg(feature = "futures")]
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, SleepState::Done)
    }

    /// While a cancel is being delivered, or an observer is told.
    #[cold]
    #[inline(never)]
    fn poll_slow_path(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if checkpoint::is_interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        self.poll_and_tell(cx)
    }

    #[cold]
    #[inline(never)]
    fn poll_and_tell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let was_set = matches!(self.state, SleepState::Armed(_));
        let polled = self.poll_on(cx);
        if let SleepState::Armed(timer) = &self.state {
            if !was_set {
                timer.note(false);
            }
            checkpoint::tell_wait(Wait::Sleep { until: timer.deadline() });
        }
        polled
    }

    #[allow(clippy::inline_always)] // into the usual path too
    #[inline(always)]
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, engine) = match &mut self.state {
            SleepState::Armed(timer) => {
                if !timer.has_fired() {
                    timer.set_waker(cx);
                    checkpoint::waits();
                    return Poll::Pending;
                }
                self.state = SleepState::Done;
                return Poll::Ready(());
            }
            // The usual case, with a path of its own: ten instructions fewer than by way of the code below.
            SleepState::For(duration) if !duration.is_zero() => {
                let engine = loop_that_polls("a sleep");
                engine.begin_limits(); // before the clock is read: a limit of the same duration around this sleep ends first
                let deadline = engine.now() + *duration;
                engine.waits();
                let action = engine.action_for(cx.waker());
                let timer = engine.set_timer(deadline, action);
                self.state = SleepState::Armed(Timer::of(engine, timer));
                return Poll::Pending;
            }
            SleepState::Until(deadline) => {
                let engine = loop_that_polls("a sleep");
                let is_past = *deadline <= engine.now();
                (if is_past { Instant::START } else { *deadline }, engine)
            }
            _ => (Instant::START, loop_that_polls("a sleep")),
        };
        if deadline == Instant::START {
            // The deadline has passed already: the sleep takes one turn, as in asyncio.
            let mut turn = yield_now();
            let poll = Pin::new(&mut turn).poll(cx);
            self.state = SleepState::Yielding(turn);
            return poll;
        }
        engine.waits();
        engine.begin_limits();
        let action = engine.action_for(cx.waker());
        let timer = engine.set_timer(deadline, action);
        self.state = SleepState::Armed(Timer::of(engine, timer));
        Poll::Pending
    }
}
