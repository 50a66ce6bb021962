//! **The clock**: where the loop's time comes from.
//!
//! A loop that calls `std::time::Instant::now` can only be tested by waiting. So a loop has a clock, and its time is the
//! nanoseconds since that clock's start, as an [`Instant`]. There are three clocks:
//!
//! - *monotonic*: the operating system's steady clock. While no task is ready the loop sleeps.
//! - *virtual*: a number that changes only when the loop has nothing to do: then it jumps to the next deadline. A program that
//!   "takes" an hour ends at once, and runs the same way every time. The crate's own tests and examples use it. It can be moved by
//!   hand, and held: see [`VirtualClock`].
//! - *host*: a function of the host, for frame time, simulated time, or a machine without `std::time`.
//!
//! It stands on `base`, `cells`, the kernel and `foreign`.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant as StdInstant};

use crate::base::instant::Instant;
use crate::cells::look_at_everything;
use crate::foreign;

/// Where a loop's time comes from. Given to [`EventLoopBuilder::clock`](crate::EventLoopBuilder::clock).
pub struct Clock(pub(crate) Source);

pub(crate) enum Source {
    Monotonic { start: StdInstant },
    Virtual(VirtualClock),
    Host(HostClock),
}

/// A host's clock. It is foreign code: it may panic, call itself through the loop, or go backwards.
pub(crate) struct HostClock {
    now: Box<dyn Fn() -> Instant>,
    latest: Cell<Instant>,
    /// Set while `now` is being called, further up this stack.
    is_reading: Cell<bool>,
}

impl HostClock {
    fn read(&self) -> Instant {
        if !self.is_reading.replace(true) {
            let now = foreign::call("the host's clock", &self.now);
            self.is_reading.set(false);
            self.latest.set(self.latest.get().max(now.unwrap_or_default()));
        }
        self.latest.get()
    }
}

impl Source {
    /// In one word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Source::Monotonic { .. } => "monotonic",
            Source::Virtual(_) => "virtual",
            Source::Host(_) => "host",
        }
    }

    /// The time now, if this is the operating system's clock: to read any other is foreign code, or tells nothing new.
    pub(crate) fn real_time(&self) -> Option<Instant> {
        match self {
            Source::Monotonic { start } => Some(Instant::START + start.elapsed()),
            Source::Virtual(_) | Source::Host(_) => None,
        }
    }
}

impl Clock {
    /// The operating system's steady clock. It starts now.
    ///
    /// # Panics
    /// On a target without one: wasm32 without an operating system.
    #[track_caller]
    pub fn monotonic() -> Clock {
        #[allow(clippy::manual_assert)] // an assertion of a constant is no better
        if cfg!(all(target_family = "wasm", target_os = "unknown")) {
            panic!(
                "this target has no clock: give the loop one of the host's (`Clock::host`), or a `VirtualClock`, by \
                 `EventLoopBuilder::clock`"
            );
        }
        Clock(Source::Monotonic { start: StdInstant::now() }) // this clock is the real one
    }

    /// A clock of the host: `now` is called whenever the loop needs the time.
    ///
    /// It should never go backwards. If it does, the latest time that it has returned counts. If it panics, that time counts too,
    /// and the panic is reported to the exception handler. A loop that is asked for the time inside `now` also answers with the
    /// latest time. At [`Instant::MAX`] every deadline is due.
    ///
    /// # A clock that only the host moves
    /// Such a clock, as that of the example, stands still inside [`run`](crate::EventLoop::run),
    /// [`run_until_complete`](crate::EventLoop::run_until_complete) and [`cancel_all`](crate::EventLoop::cancel_all), which return
    /// to the host only at their end: a sleep or a time limit there never ends. So turn the loop. To end
    /// it, cancel [`all_tasks`](crate::EventLoop::all_tasks), and go on turning until
    /// [`live_tasks`](crate::EventLoop::live_tasks) is zero.
    ///
    /// # Examples
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use loopwheel::{Clock, EventLoop, Instant};
    ///
    /// let frame = Rc::new(Cell::new(Instant::START));
    /// let seen_by_the_loop = frame.clone();
    /// let event_loop = EventLoop::builder().clock(Clock::host(move || seen_by_the_loop.get())).build();
    /// frame.set(Instant::START + Duration::from_millis(16));
    /// assert_eq!(event_loop.now(), frame.get());
    /// ```
    pub fn host(now: impl Fn() -> Instant + 'static) -> Clock {
        let (latest, is_reading) = (Cell::default(), Cell::new(false));
        Clock(Source::Host(HostClock { now: Box::new(now), latest, is_reading }))
    }

    pub(crate) fn now(&self) -> Instant {
        match &self.0 {
            Source::Monotonic { start } => Instant::START + start.elapsed(),
            Source::Virtual(clock) => clock.now(),
            Source::Host(clock) => clock.read(),
        }
    }
}

impl From<VirtualClock> for Clock {
    fn from(clock: VirtualClock) -> Clock {
        Clock(Source::Virtual(clock))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.0 {
            Source::Monotonic { .. } => "monotonic",
            Source::Virtual(_) => "virtual",
            Source::Host(_) => "host",
        };
        write!(f, "Clock({source}, {})", self.now())
    }
}

/// Time as a number: it jumps to the next deadline when the loop has nothing else to do.
///
/// A clone is the same clock. So a test can keep one, to read the time, to move it, or to hold it.
///
/// ```
/// use std::time::Duration;
/// use loopwheel::{EventLoop, Instant, VirtualClock, sleep};
///
/// let clock = VirtualClock::new();
/// let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
/// event_loop.run(sleep(Duration::from_secs(3600)));
/// assert_eq!(clock.now(), Instant::START + Duration::from_secs(3600));
/// ```
#[derive(Clone, Default)]
pub struct VirtualClock {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared {
    now: Cell<Instant>,
    holds: Cell<usize>,
    is_impatient: bool,
}

impl VirtualClock {
    /// A new clock, at [`Instant::START`].
    pub fn new() -> VirtualClock {
        VirtualClock::default()
    }

    /// A new clock that never waits for the outside before it jumps: see [sockets](crate::run_virtual#sockets-and-other-threads). For
    /// programs in which only the loop itself wakes tasks, and that have many channels or sets of futures of other crates.
    pub fn impatient() -> VirtualClock {
        VirtualClock { shared: Rc::new(Shared { is_impatient: true, ..Shared::default() }) }
    }

    pub(crate) fn is_impatient(&self) -> bool {
        self.shared.is_impatient
    }

    /// The time on this clock.
    pub fn now(&self) -> Instant {
        self.shared.now.get()
    }

    /// Moves the clock by hand. Timers that become due fire in the loop's next turn.
    pub fn advance(&self, by: Duration) {
        look_at_everything(); // what reads the time need not say so, and most polls do
        self.jump_to(self.now() + by);
    }

    /// Keeps the clock from jumping by itself until the returned guard is dropped. Holds nest.
    ///
    /// While it is held, only [`advance`](VirtualClock::advance) moves it. So a test can inspect what happens between two
    /// deadlines. A loop on a held clock that waits for nothing but time can never go on: `run` reports a deadlock.
    #[must_use = "the clock is held until the guard is dropped"]
    pub fn hold(&self) -> HeldClock {
        look_at_everything();
        self.shared.holds.set(self.shared.holds.get() + 1);
        HeldClock { clock: self.clone() }
    }

    /// Whether a [`hold`](VirtualClock::hold) is in force.
    pub fn is_held(&self) -> bool {
        self.shared.holds.get() > 0
    }

    /// Moves the clock to this moment, unless it is past it.
    pub(crate) fn jump_to(&self, moment: Instant) {
        self.shared.now.set(self.now().max(moment));
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.is_held() { ", held" } else { "" };
        write!(f, "VirtualClock({}{held})", self.now())
    }
}

/// Keeps a [`VirtualClock`] from jumping until it is dropped. Returned by [`VirtualClock::hold`].
#[derive(Debug)]
pub struct HeldClock {
    clock: VirtualClock,
}

impl Drop for HeldClock {
    fn drop(&mut self) {
        look_at_everything();
        self.clock.shared.holds.set(self.clock.shared.holds.get() - 1);
    }
}
