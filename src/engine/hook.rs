//! **The hook**: how a loop hears of a letter while it is not looking: it sleeps, or a host drives it.
//!
//! ```text
//! sender     put the letter into the inbox;  was the hook armed?  → disarm it, and wake the thread or call the host
//! the loop   arm the hook;  take a letter out of the inbox;  there was none?  → sleep, or let the host do so
//! ```
//!
//! The hook is armed by the loop and disarmed by the call, so a host is called at most once from one turn to the next. Either
//! the letter comes first, and the loop finds it, or the arming does, and the call is made. For one of the two to be seen both
//! sides change `armed` by read-modify-write: with a plain store here and a plain load there each could miss the other, and
//! the loop would sleep beside a letter (`tests/loom.rs` checks this file).
//!
//! A thread sleeps by `park`, which may end early for no reason: the loop looks around, and sleeps again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::sync::{Arc, AtomicBool, Mutex, Ordering, Thread, current, park, park_timeout};

/// What a host wants to be called when a letter comes for a loop that it drives.
pub(crate) type WakeHook = Arc<dyn Fn() + Send + Sync>;

/// A loop's hook.
#[derive(Default)]
pub(crate) struct Hook {
    armed: AtomicBool,
    listeners: Mutex<Listeners>,
}

/// Who is told.
#[derive(Clone, Default)]
struct Listeners {
    host: Option<WakeHook>,
    /// The thread that the loop has slept on.
    sleeper: Option<Thread>,
}

impl Hook {
    /// Hands back the function before this one: dropping it may run anything.
    pub(crate) fn set_host(&self, host: WakeHook) -> Option<WakeHook> {
        self.listeners.lock().host.replace(host)
    }

    /// The loop is gone. Hands back the host's function.
    pub(crate) fn clear(&self) -> Option<WakeHook> {
        std::mem::take(&mut *self.listeners.lock()).host
    }

    /// A turn begins: what comes from here on is news to the host.
    pub(crate) fn arm(&self) {
        self.armed.swap(true, Ordering::AcqRel);
    }

    /// Sleeps until a letter comes or `timeout` is over, or a little less; `None` is no time limit. Not at all if a letter is
    /// there.
    pub(crate) fn sleep(
        &self,
        timeout: Option<Duration>,
        a_letter_is_there: impl FnOnce() -> bool,
    ) {
        self.listeners.lock().sleeper = Some(current());
        self.arm();
        if !a_letter_is_there() {
            match timeout {
                None => park(),
                Some(timeout) => park_timeout(timeout),
            }
        }
    }

    /// A letter has come. Hands back what the host's function threw: the code that wakes a task has no part in that.
    pub(crate) fn letter_came(&self) -> Result<(), Box<dyn Any + Send>> {
        if self.armed.swap(false, Ordering::AcqRel) {
            let listeners = self.listeners.lock().clone();
            if let Some(sleeper) = listeners.sleeper {
                sleeper.unpark();
            }
            // After the lock, for both the call and the drop may run anything.
            if let Some(host) = listeners.host {
                return catch_unwind(AssertUnwindSafe(move || host()));
            }
        }
        Ok(())
    }
}
