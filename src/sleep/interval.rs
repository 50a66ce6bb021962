//! **Intervals**: ticks at a fixed period.
//!
//! A loop around `sleep` would do, but each of its periods would begin when the work after the last tick is done, and so it drifts.
//! Here every deadline is the one before it plus a whole number of periods.

use std::time::Duration;

use super::{now, sleep_until};
use crate::base::instant::Instant;

/// Ticks every `period`.
///
/// The first tick comes one period after it is awaited, and not at once as tokio's does; [`interval_at`] says when. Ticks do not drift: each is a whole number of periods after the start. If the caller comes
/// late, a tick that is due is returned at once, and ticks that were missed entirely are skipped. With a period of zero every tick
/// is a [`yield_now`](crate::yield_now()).
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
/// There is none; a loop around `sleep` drifts.
pub fn interval(period: Duration) -> Interval {
    Interval { period, next: None }
}

/// Ticks at `start`, and every `period` after it: `interval_at(now(), period)` ticks at once.
///
/// Else it is an [`interval`]: ticks before the first await are skipped, but for the one that is due.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{interval_at, now};
///
/// let start = now();
/// let mut ticks = interval_at(start, Duration::from_millis(100));
/// ticks.tick().await;
/// assert_eq!(now(), start);
/// ticks.tick().await;
/// assert_eq!(now() - start, Duration::from_millis(100));
/// # });
/// ```
///
/// # In asyncio
/// There is none.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    Interval { period, next: Some(start) }
}

/// Ticks at a fixed period; created by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Option<Instant>,
}

impl Interval {
    /// Waits for the next tick, and returns the instant at which it was due.
    ///
    /// # Cancellation
    /// Nothing is lost: the next call waits for the same tick.
    ///
    /// # Panics
    /// When polled without a running loop.
    pub async fn tick(&mut self) -> Instant {
        let due = match self.next {
            Some(due) => due,
            None => *self.next.insert(now() + self.period),
        };
        sleep_until(due).await;
        // The next tick is the first that is not due yet.
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
