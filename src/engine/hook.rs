//! **The wake hook**: how a letter reaches a loop that does not sleep on its inbox, because a host drives it.
//!
//! ```text
//! sender     put the letter into the inbox;  was the hook armed?  → disarm it and call it
//! the host   turn:  arm the hook;  then take letters out of the inbox
//! ```
//!
//! The hook is armed by a turn and disarmed by the call, so it is called at most once from one turn to the next. Either the
//! letter comes first, and the turn finds it, or the arming does, and the call is made. For one of the two to be seen both
//! sides change `armed` by read-modify-write: with a plain store here and a plain load there each could miss the other, and
//! the host would sleep beside a letter (`tests/loom.rs` checks this file).

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::sync::{Arc, AtomicBool, Mutex, Ordering};

/// What a host wants to be called when a letter comes for a loop that it drives.
pub(crate) type WakeHook = Arc<dyn Fn() + Send + Sync>;

/// A loop's hook, or none.
#[derive(Default)]
pub(crate) struct Hook {
    armed: AtomicBool,
    call: Mutex<Option<WakeHook>>,
}

impl Hook {
    pub(crate) fn set(&self, call: Option<WakeHook>) {
        let old = std::mem::replace(&mut *self.call.lock(), call);
        drop(old); // after the lock: it may run anything
    }

    /// A turn begins: what comes from here on is news to the host.
    pub(crate) fn arm(&self) {
        self.armed.swap(true, Ordering::AcqRel);
    }

    /// A letter has come.
    pub(crate) fn letter_came(&self) {
        if self.armed.swap(false, Ordering::AcqRel) {
            let call = self.call.lock().clone();
            if let Some(call) = call {
                // After the lock, for it may run anything. Who wakes a task has no part in what the host does: its panic
                // ends here.
                let _ = catch_unwind(AssertUnwindSafe(|| call()));
            }
        }
    }
}
