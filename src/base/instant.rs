//! **Instants**: moments on a loop's clock.
//!
//! std's `Instant` would do, but only the system can create one. A loop's clock may be virtual, so here an instant is a number.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A moment on a loop's clock: nanoseconds since the clock's start.
///
/// Arithmetic saturates: a sum beyond the last moment, 584 years after the start, is [`Instant::MAX`], and nothing is before
/// [`Instant::START`]. [`now`](crate::now) is the time on the running loop's clock.
///
/// ```
/// use std::time::Duration;
/// use loopwheel::Instant;
///
/// let later = Instant::START + Duration::from_millis(1500);
/// assert_eq!(later - Instant::START, Duration::from_millis(1500));
/// assert_eq!(Instant::START - later, Duration::ZERO);
/// assert_eq!(later + Duration::MAX, Instant::MAX);
/// assert_eq!(later - Duration::from_secs(2), Instant::START);
/// ```
///
/// # In asyncio
/// The seconds of `loop.time()`, a `float` there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant {
    nanos: u64,
}

impl Instant {
    /// The clock's zero.
    pub const START: Instant = Instant { nanos: 0 };
    /// The last moment that an instant can hold.
    pub const MAX: Instant = Instant { nanos: u64::MAX };

    /// The moment this many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Instant {
        Instant { nanos }
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// The time from `earlier` to this moment; zero if `earlier` is the later one. The same as `self - earlier`.
    pub fn duration_since(self, earlier: Instant) -> Duration {
        self - earlier
    }

    /// Seconds since the start.
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant { nanos: self.nanos.saturating_add(nanos) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    fn sub(self, duration: Duration) -> Instant {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Instant { nanos: self.nanos.saturating_sub(nanos) }
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({:?})", Duration::from_nanos(self.nanos))
    }
}

/// Seconds, with as many digits as asked for: `{:.2}` gives `1.50 s`.
impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_secs_f64(), f)?;
        f.write_str(" s")
    }
}
