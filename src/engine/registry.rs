//! **The registry**: from a loop's number to its inbox. The crate's only global.
//!
//! A waker is a number, so somewhere a number must lead to a loop, from any thread, whether that loop still
//! exists or not. Inboxes are made once, each at a fixed place, and handed on from a loop that is gone to one
//! that is new. So a waker looks at its place without a lock and keeps nothing alive; what it costs is one
//! inbox for each loop that ever lived *at the same time* as others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::inbox::Inbox;
use super::segments::Segments;
use super::waker::{MAX_LOOPS, TaskId};

static INBOXES: Segments<Inbox> = Segments::new();
static HOOKS: Segments<Hook> = Segments::new();
static PLACES: Mutex<Places> = Mutex::new(Places { free: Vec::new(), made: 0, opened: 0 });

struct Places {
    free: Vec<usize>,
    made: usize,
    /// How many loops there have been.
    opened: u32,
}

/// What a host wants to be called when a letter comes for a loop that it drives.
pub(crate) type WakeHook = Arc<dyn Fn() + Send + Sync>;

/// What the registry knows of a loop besides its inbox.
#[derive(Default)]
struct Hook {
    /// It is to be called at the next letter. Set by a turn, cleared by the call: so it is called at most once from one
    /// turn to the next.
    armed: AtomicBool,
    call: Mutex<Option<WakeHook>>,
    /// A waker of one of the loop's tasks was cloned away from the loop: from there on the outside may wake it.
    cloned_elsewhere: AtomicBool,
}

/// A loop's hold on its place. Dropping it closes the inbox and frees the place.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) loop_index: usize,
    /// What the generations of the loop's slots start with: different from one loop to the next, so that
    /// wakers that outlive a loop mean nothing to the next one in its place.
    pub(crate) first_generation: u32,
}

impl Registration {
    /// Opens an inbox; `None` if as many loops as a waker can tell apart are alive already.
    pub(crate) fn new() -> Option<Registration> {
        let mut places = PLACES.lock();
        let loop_index = match places.free.pop() {
            Some(place) => place,
            None if places.made == MAX_LOOPS => return None,
            None => {
                places.made += 1;
                places.made - 1
            }
        };
        places.opened = places.opened.wrapping_add(1);
        // A multiple of an odd constant: far from the generations that the last loops went through.
        let first_generation = places.opened.wrapping_mul(0x9E37_79B9) >> 8;
        drop(places);
        let registration = Registration { loop_index, first_generation };
        HOOKS.get(loop_index).cloned_elsewhere.store(false, Ordering::Relaxed);
        registration.inbox().open();
        Some(registration)
    }

    pub(crate) fn set_hook(&self, call: WakeHook) {
        *HOOKS.get(self.loop_index).call.lock() = Some(call);
        self.arm_hook();
    }

    /// A turn begins: what comes from here on is news to the host.
    pub(crate) fn arm_hook(&self) {
        HOOKS.get(self.loop_index).armed.store(true, Ordering::Release);
    }

    pub(crate) fn waker_was_cloned_elsewhere(&self) -> bool {
        HOOKS.get(self.loop_index).cloned_elsewhere.load(Ordering::Acquire)
    }

    pub(crate) fn inbox(&self) -> &'static Inbox {
        INBOXES.get(self.loop_index)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.inbox().close();
        let hook = HOOKS.get(self.loop_index);
        hook.armed.store(false, Ordering::Release);
        let call = hook.call.lock().take();
        drop(call);
        PLACES.lock().free.push(self.loop_index);
    }
}

/// Leaves a wake-up for a loop that is not running on this thread.
pub(crate) fn post(id: TaskId) {
    if INBOXES.get(id.loop_index()).post(id) {
        let hook = HOOKS.get(id.loop_index());
        if hook.armed.load(Ordering::Relaxed) && hook.armed.swap(false, Ordering::AcqRel) {
            let call = hook.call.lock().clone();
            if let Some(call) = call {
                call(); // after the lock: it may run anything
            }
        }
    }
}

/// A waker was cloned away from its loop.
pub(crate) fn waker_was_cloned_elsewhere(id: TaskId) {
    HOOKS.get(id.loop_index()).cloned_elsewhere.store(true, Ordering::Release);
}
