//! **The registry**: from a loop's number to its inbox. The crate's only global.
//!
//! A waker is a number, so somewhere a number must lead to a loop, from any thread, whether that loop still
//! exists or not. Inboxes are made once, each at a fixed place, and handed on from a loop that is gone to one
//! that is new. So a waker looks at its place without a lock and keeps nothing alive; what it costs is one
//! inbox for each loop that ever lived *at the same time* as others.

use parking_lot::Mutex;

use super::inbox::Inbox;
use super::segments::Segments;
use super::waker::{MAX_LOOPS, TaskId};

static INBOXES: Segments<Inbox> = Segments::new();
static PLACES: Mutex<Places> = Mutex::new(Places { free: Vec::new(), made: 0, opened: 0 });

struct Places {
    free: Vec<usize>,
    made: usize,
    /// How many loops there have been.
    opened: u32,
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
        registration.inbox().open();
        Some(registration)
    }

    pub(crate) fn inbox(&self) -> &'static Inbox {
        INBOXES.get(self.loop_index)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.inbox().close();
        PLACES.lock().free.push(self.loop_index);
    }
}

/// Leaves a wake-up for a loop that is not running on this thread.
pub(crate) fn post(id: TaskId) {
    INBOXES.get(id.loop_index()).post(id);
}
