//! Time on the loop's clock: moments, sleeping, and intervals.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::alarm::Alarm;
use crate::engine::current::{self, with_current_loop};
use crate::engine::instant::Instant;
use crate::engine::leaf::{self, Told};
use crate::engine::turn::Engine;
use crate::engine::wheel::TimerKey;
use crate::error::NoRunningLoop;
use crate::task::running_loop;

impl Instant {
    /// How long ago this was, on the running loop's clock.
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

/// Waits until `duration` is over, counted from the first poll.
///
/// Never too early. Zero is [`yield_now`]: the others get a turn. A duration that reaches beyond the last
/// [`Instant`] waits for that one.
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
/// Never too early. A deadline that has passed is [`yield_now`].
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
    /// The deadline had passed: one turn for the others.
    Yielding(YieldNow),
    Over,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.state {
            SleepState::Yielding(turn) => return Pin::new(turn).poll(cx),
            SleepState::Over => return Poll::Ready(()),
            _ => {}
        }
        if leaf::interrupted(&self.told, cx, || "a sleep".to_owned()) {
            return Poll::Pending;
        }
        let (deadline, engine) = match &mut self.state {
            SleepState::Armed(timer) => {
                if !timer.has_fired() {
                    timer.rewake(cx);
                    leaf::waits();
                    return Poll::Pending;
                }
                self.state = SleepState::Over;
                return Poll::Ready(());
            }
            SleepState::For(duration) if !duration.is_zero() => {
                let engine = running_loop();
                engine.begin_limits(); // those around it, before it reads the clock: they are to be up first
                let deadline = engine.now() + *duration;
                engine.waits();
                let alarm = engine.alarm_for(cx.waker());
                let timer = engine.arm_within_limits(deadline, alarm);
                self.state = SleepState::Armed(Timer::of(engine, timer));
                return Poll::Pending;
            }
            SleepState::Until(deadline) => {
                let engine = running_loop();
                let is_past = *deadline <= engine.now();
                (if is_past { Instant::START } else { *deadline }, engine)
            }
            _ => (Instant::START, running_loop()),
        };
        if deadline == Instant::START {
            let mut turn = yield_now();
            let poll = Pin::new(&mut turn).poll(cx);
            self.state = SleepState::Yielding(turn);
            return poll;
        }
        engine.waits();
        engine.begin_limits();
        let alarm = engine.alarm_for(cx.waker());
        let timer = engine.arm_within_limits(deadline, alarm);
        self.state = SleepState::Armed(Timer::of(engine, timer));
        Poll::Pending
    }
}

/// A timer in the loop's wheel; dropping it disarms it.
pub(crate) struct Timer {
    engine: Rc<Engine>,
    /// `None` only while it is being dropped.
    key: Option<TimerKey>,
}

impl Timer {
    pub(crate) fn arm(engine: Rc<Engine>, deadline: Instant, alarm: Alarm) -> Timer {
        let key = Some(engine.arm(deadline, alarm));
        Timer { engine, key }
    }

    /// One that is armed already.
    pub(crate) fn of(engine: Rc<Engine>, key: TimerKey) -> Timer {
        Timer { engine, key: Some(key) }
    }

    pub(crate) fn has_fired(&self) -> bool {
        self.key.as_ref().is_some_and(|key| self.engine.has_fired(key))
    }

    pub(crate) fn rewake(&self, cx: &Context<'_>) {
        if let Some(key) = &self.key {
            self.engine.rewake(key, cx.waker());
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.engine.disarm(key);
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").field("has_fired", &self.has_fired()).finish()
    }
}

/// Lets everybody else who is ready have a turn.
///
/// # Cancellation
/// Nothing is lost.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{create_task, yield_now};
///
/// let task = create_task(async {});
/// assert!(!task.is_done());
/// yield_now().await;
/// assert!(task.is_done());
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.sleep(0)`.
pub fn yield_now() -> YieldNow {
    YieldNow { place: 0, told: Told::default() }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct YieldNow {
    /// Its place in the ready queue, or zero before the first poll. A wake-up may come earlier than that, for some other reason.
    place: u64,
    told: Told,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // All that is usual in one look at the loop.
        let place = self.place;
        let seen = with_current_loop(|engine| {
            if !engine.is_quiet() {
                return None;
            }
            if place == 0 {
                self.place = engine.next_place();
            } else if engine.has_passed(place) {
                return Some(Poll::Ready(()));
            }
            engine.waits();
            Some(Poll::Pending)
        });
        match seen {
            Some(Some(Poll::Ready(()))) => return Poll::Ready(()),
            Some(Some(Poll::Pending)) => {}
            Some(None) | None => return self.poll_unusual(cx),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl YieldNow {
    /// While a cancel is being delivered, or under another executor.
    #[cold]
    fn poll_unusual(&mut self, cx: &Context<'_>) -> Poll<()> {
        if leaf::interrupted(&self.told, cx, || "its next turn".to_owned()) {
            return Poll::Pending;
        }
        let place = self.place;
        if place == 0 {
            self.place = with_current_loop(Engine::next_place).unwrap_or(1);
        } else if with_current_loop(|engine| engine.has_passed(place)).unwrap_or(true) {
            return Poll::Ready(()); // under another executor once around, whatever that is there
        }
        leaf::waits();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Ticks every `period`, counted from the first tick that is awaited.
///
/// The first tick is one period away. Ticks do not drift: each is a whole number of periods after the start. Who
/// comes late gets the tick that is due at once, and those that were missed wholly are left out. With a period of
/// zero every tick is [`yield_now`].
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{interval, now};
///
/// let start = now();
/// let mut ticks = interval(Duration::from_millis(100));
/// for _ in 0..3 {
///     ticks.tick().await;
/// }
/// assert_eq!(now() - start, Duration::from_millis(300));
/// # });
/// ```
///
/// # In asyncio
/// There is none; one writes a loop around `sleep`, which drifts.
pub fn interval(period: Duration) -> Interval {
    Interval { period, next: None }
}

/// Ticks; made by [`interval`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Option<Instant>,
}

impl Interval {
    /// Waits for the next tick and returns the moment for which it was set.
    ///
    /// # Cancellation
    /// Nothing is lost: the same tick comes again.
    ///
    /// # Panics
    /// When polled without a running loop.
    pub async fn tick(&mut self) -> Instant {
        let due = match self.next {
            Some(due) => due,
            None => *self.next.insert(now() + self.period),
        };
        sleep_until(due).await;
        // The first multiple of the period that is still to come.
        let late = now() - due;
        let missed = late.as_nanos().checked_div(self.period.as_nanos()).unwrap_or(0);
        let passed = self.period.as_nanos().saturating_mul(missed + 1);
        self.next = Some(due + Duration::from_nanos(u64::try_from(passed).unwrap_or(u64::MAX)));
        due
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}
