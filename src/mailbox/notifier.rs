//! **The notifier**: how a loop learns of a remote wake-up while it sleeps, or while a host drives it.
//!
//! A sender could unpark the thread, or call the host, at every wake-up. That costs a lock and a system call each time, and mostly
//! for a loop that is awake. So the loop *arms* the notifier when it needs to know, and the first sender disarms it:
//!
//! ```text
//! sender     send to the inbox;  was the notifier armed?  → disarm it, and unpark the thread or call the host
//! the loop   arm the notifier;  take from the inbox;  was it empty?  → sleep, or let the host do so
//! ```
//!
//! So a host is called at most once from one turn to the next.
//!
//! **Why the loop does not sleep beside a wake-up.** Either the wake-up is sent first, and the loop finds it; or the notifier is
//! armed first, and the sender notifies. Both sides change `armed` by read-modify-write, so one of the two sees the other. With a
//! plain store here and a plain load there, each could miss the other. `tests/loom.rs` runs this file under every interleaving.
//!
//! A thread sleeps in `park`, which may return for no reason: the loop then takes a turn, and sleeps again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::base::sync::{
    Arc, AtomicBool, Mutex, Ordering, Thread, current as current_thread, park, park_timeout,
};

/// A host's callback: called when a remote wake-up comes for a loop that the host drives.
pub(crate) type WakeCallback = Arc<dyn Fn() + Send + Sync>;

/// How a loop is notified of remote wake-ups.
#[derive(Default)]
pub(crate) struct Notifier {
    /// Set by the loop, cleared by the first sender after that.
    armed: AtomicBool,
    targets: Mutex<Targets>,
}

/// What is notified.
#[derive(Default)]
struct Targets {
    host: Option<WakeCallback>,
    /// The thread that the loop sleeps on. Taken by the sender that unparks it.
    sleeper: Option<Thread>,
}

impl Notifier {
    /// Returns the callback before this one: dropping it may run any code.
    pub(crate) fn set_host(&self, host: WakeCallback) -> Option<WakeCallback> {
        self.targets.lock().host.replace(host)
    }

    /// The loop has been dropped. Returns the host's callback.
    pub(crate) fn clear(&self) -> Option<WakeCallback> {
        std::mem::take(&mut *self.targets.lock()).host
    }

    /// The next wake-up notifies. Called before the inbox is drained: a wake-up that the drain misses finds the notifier armed.
    pub(crate) fn arm(&self) {
        self.armed.swap(true, Ordering::AcqRel);
    }

    /// Sleeps until a wake-up comes or `timeout` has passed (`None`: no time limit), or less. Does not sleep if `has_wake` returns
    /// true.
    pub(crate) fn park(&self, timeout: Option<Duration>, has_wake: impl FnOnce() -> bool) {
        self.targets.lock().sleeper = Some(current_thread());
        // Armed before the inbox is checked. The other way round, a wake-up sent between the two would find the notifier disarmed,
        // and the loop would sleep beside it.
        self.arm();
        if !has_wake() {
            match timeout {
                None => park(),
                Some(timeout) => park_timeout(timeout),
            }
        }
    }

    /// A wake-up was sent. Returns the panic of the host's callback: the code that wakes a task is not to unwind from it.
    pub(crate) fn notify(&self) -> Result<(), Box<dyn Any + Send>> {
        if self.armed.swap(false, Ordering::AcqRel) {
            let (sleeper, host) = {
                let mut targets = self.targets.lock();
                (targets.sleeper.take(), targets.host.clone())
            };
            if let Some(sleeper) = sleeper {
                sleeper.unpark();
            }
            // After the lock: both the call and the drop may run any code.
            if let Some(host) = host {
                return catch_unwind(AssertUnwindSafe(move || host()));
            }
        }
        Ok(())
    }
}
