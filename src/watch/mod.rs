//! **Watching a loop**: what a program does not notice of itself.
//!
//! A loop that does nothing, or too much of one thing, raises no error. A poll that blocks delays all other tasks; a loop that only
//! another thread could wake may wait for ever; and on virtual time, tasks that wake each other without end keep the time from
//! passing. A thread that looks at the loop from outside would notice all this, and would need locks around the loop. Here the
//! loop looks at itself, at places where it does something rare anyway: in a loop of polls of its own ([`slow`]), before it parks
//! ([`quiet`]), and at every 64th check ([`livelock`]). What it finds is reported to the exception handler, once, and the loop
//! goes on.
//!
//! It does not notice a task that never returns from its poll: nothing on the loop's thread can.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | what is watched; the debug mode |
//! | `slow` | polls that hold up the loop |
//! | `quiet` | a loop that only the outside can wake, and nothing does |
//! | `livelock` | a million polls in which virtual time stands still |
//!
//! It stands on `base`, the kernel, `trace`, `mailbox`, `clock`, `object`, `time`, `task`, `report`, `to_thread` and `dump`.

mod livelock;
mod quiet;
mod slow;

use std::cell::{Cell, RefCell};
use std::env;
use std::rc::Rc;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::base::unusual::Unusual;
use crate::engine::Engine;
use crate::task::running_loop;
use crate::trace::Observer;
use livelock::{Livelock, StandsStill};
use quiet::Quiet;
use slow::Slow;

/// The default of asyncio's `slow_callback_duration`.
const SLOW_POLL: Duration = Duration::from_millis(100);

/// In the debug mode.
const STALL_AFTER: Duration = Duration::from_secs(5);

/// If it is set, to anything but an empty text or `0`, new loops are in the debug mode.
const VARIABLE: &str = "LOOPWHEEL_DEBUG";

/// What a builder says about watching.
#[derive(Clone, Copy, Default)]
pub(crate) struct WatchSettings {
    pub(crate) debug: Option<bool>,
    pub(crate) slow_poll: Option<Duration>,
    pub(crate) stall_after: Option<Duration>,
}

/// The part of a loop that belongs to this ring.
pub(crate) struct Watch {
    is_debugging: Cell<bool>,
    slow: Slow,
    stands_still: Cell<StandsStill>,
    livelock: RefCell<Livelock>,
    /// The builder's `stall_after`, which the debug mode does not change.
    stall_after_of_builder: Option<Duration>,
    stall_after: Cell<Option<Duration>>,
    quiet: Cell<Option<Quiet>>,
    /// The loop parks no longer than until this moment, because the end of a run has to look at its tasks.
    pub(crate) look_at: Cell<Option<Instant>>,
}

impl Watch {
    pub(crate) fn new(settings: WatchSettings) -> Watch {
        let is_on = |value: std::ffi::OsString| !value.is_empty() && value != "0";
        let debug = settings.debug.unwrap_or_else(|| env::var_os(VARIABLE).is_some_and(is_on));
        let slow_poll = settings.slow_poll.or(debug.then_some(SLOW_POLL));
        let stall_after = settings.stall_after.or(debug.then_some(STALL_AFTER));
        Watch {
            is_debugging: Cell::new(debug),
            slow: Slow::new(slow_poll),
            stands_still: Cell::default(),
            livelock: RefCell::default(),
            stall_after_of_builder: settings.stall_after,
            stall_after: Cell::new(stall_after),
            quiet: Cell::new(None),
            look_at: Cell::new(None),
        }
    }
}

impl Engine {
    pub(crate) fn is_debugging(&self) -> bool {
        self.watch.is_debugging.get()
    }

    /// Switches the debug mode on or off.
    pub(crate) fn set_debug(&self, debug: bool) {
        let watch = &self.watch;
        self.watch.is_debugging.set(debug);
        self.watch_objects();
        watch.slow.limit.set(debug.then_some(SLOW_POLL));
        watch.stall_after.set(watch.stall_after_of_builder.or(debug.then_some(STALL_AFTER)));
        self.choose_loop_of_polls();
    }

    /// Forgets the tasks that were noted for reports. The loop is being closed.
    pub(crate) fn forget_watched(&self) {
        let (slow, livelock) = (self.watch.slow.take_noted(), self.watch.livelock.take());
        drop((slow, livelock)); // after the borrows: these may be the last references
    }

    /// The holders of objects are noted in the debug mode, and while the loop is traced.
    pub(crate) fn watch_objects(&self) {
        self.objects.watch(self.watch.is_debugging.get() || self.is_traced());
    }

    /// While polls are watched a turn uses another loop of polls, which reads the clock.
    pub(crate) fn choose_loop_of_polls(&self) {
        let is_recording = self.watch.livelock.borrow().is_recording();
        let is_watched = self.watch.slow.limit.get().is_some() || is_recording;
        self.unusual.set(Unusual::TIMES_POLLS, is_watched);
    }
}

/// Switches the debug mode of the running loop on or off: see [`EventLoopBuilder::debug`](crate::EventLoopBuilder::debug).
///
/// Without a change to the program, `LOOPWHEEL_DEBUG=1` in its environment does the same for every loop.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// loopwheel::set_debug(true); // polls of over 100 ms are reported from here on
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.get_running_loop().set_debug(True)`, and `PYTHONASYNCIODEBUG=1`.
#[track_caller]
pub fn set_debug(debug: bool) {
    running_loop().set_debug(debug);
}

/// From its next turn on, tells this observer of everything that the running loop does, in place of the one before; see
/// [`trace`](crate::trace). [`trace::stop`](crate::trace::stop) ends that.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{set_trace, trace::Event, yield_now};
///
/// set_trace(|event: &Event| println!("{:?}", event.what));
/// yield_now().await;
/// loopwheel::trace::stop();
/// # });
/// ```
#[track_caller]
pub fn set_trace(observer: impl Observer + 'static) {
    running_loop().set_trace(Some(Rc::new(observer)));
}
