//! **The registry**: from a loop's number to its inbox. The crate's only global.
//!
//! A waker is a number, so somewhere a number must lead to a loop, from any thread, whether that loop still
//! exists or not. Inboxes are made once, each at a fixed place, and handed on from a loop that is gone to one
//! that is new. So a waker looks at its place without a lock and keeps nothing alive; what it costs is one
//! inbox for each loop that ever lived *at the same time* as others.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::foreign;
use super::hook::{Hook, WakeHook};
use super::inbox::Inbox;
use super::segments::Segments;
use super::waker::{MAX_LOOPS, TaskId};

static DOORS: Segments<Door> = Segments::new();
static PLACES: Mutex<Places> = Mutex::new(Places { free: Vec::new(), made: 0, opened: 0 });

struct Places {
    free: Vec<usize>,
    made: usize,
    /// How many loops there have been.
    opened: u32,
}

/// What leads to a loop from outside.
#[derive(Default)]
struct Door {
    inbox: Inbox,
    hook: Hook,
    /// A waker of one of the loop's tasks was cloned away from the loop: from there on the outside may wake it.
    cloned_elsewhere: AtomicBool,
}

/// A loop's hold on its place. Dropping it closes the inbox and frees the place.
pub(crate) struct Registration {
    door: &'static Door,
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
        let door = DOORS.get(loop_index);
        let registration = Registration { door, loop_index, first_generation };
        registration.door.cloned_elsewhere.store(false, Ordering::Relaxed);
        registration.inbox().open();
        Some(registration)
    }

    /// A host drives the loop, and wants to be called.
    pub(crate) fn set_hook(&self, call: WakeHook) {
        foreign::drop_reported(self.door.hook.set_host(call));
        self.door.hook.arm();
    }

    /// A turn begins.
    pub(crate) fn arm_hook(&self) {
        self.door.hook.arm();
    }

    /// Sleeps until there is a letter or `timeout` is over, perhaps shorter. A letter that was there already.
    pub(crate) fn sleep(&self, timeout: Option<Duration>) -> Option<TaskId> {
        let mut letter = None;
        self.door.hook.sleep(timeout, || {
            letter = self.inbox().take();
            letter.is_some()
        });
        letter
    }

    pub(crate) fn waker_was_cloned_elsewhere(&self) -> bool {
        self.door.cloned_elsewhere.load(Ordering::Acquire)
    }

    pub(crate) fn inbox(&self) -> &'static Inbox {
        &self.door.inbox
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.inbox().close();
        let hook = self.door.hook.clear();
        PLACES.lock().free.push(self.loop_index);
        foreign::drop_reported(hook); // when the place is free: it may run anything
    }
}

/// Leaves a wake-up for a loop that is not running on this thread.
pub(crate) fn post(id: TaskId) {
    let door = DOORS.get(id.loop_index());
    if door.inbox.post(id)
        && let Err(payload) = door.hook.letter_came()
    {
        foreign::report_panic("the wake hook", payload, Location::caller());
    }
}

/// A waker was cloned away from its loop.
pub(crate) fn waker_was_cloned_elsewhere(id: TaskId) {
    DOORS.get(id.loop_index()).cloned_elsewhere.store(true, Ordering::Release);
}
