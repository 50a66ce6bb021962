//! **The registry**: from the index of a loop to its mailbox. The crate's only global.
//!
//! A waker is an id, so there must be a way from an id to a loop: from any thread, whether that loop still exists or not. A map of
//! counted mailboxes behind a lock would do, and every remote wake-up would take that lock. Here a mailbox is created once, at a
//! fixed address, and never freed. When its loop is dropped, the next new loop takes over the index and the mailbox. So a wake-up
//! reaches a mailbox without a lock, and a waker keeps nothing alive.
//!
//! The cost: memory for as many mailboxes as there were ever loops *at the same time*. And a waker that outlives its loop reaches
//! the next loop with the same index. That loop ignores it, because the generations of its slots begin elsewhere.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::inbox::{Inbox, Wake};
use super::notifier::{Notifier, WakeCallback};
use crate::base::id::{MAX_LOOPS, TaskId};
use crate::base::panic::Payload;
use crate::base::segments::Segments;
use crate::base::slab::Slab;
use crate::foreign::drop_reported;

static MAILBOXES: Segments<Mailbox> = Segments::new();

static LOOPS: Mutex<Loops> = Mutex::new(Loops { alive: Slab::new(), so_far: 0 });

struct Loops {
    /// By index; the mailbox is beside it, and is found without a lock.
    alive: Slab<()>,
    /// How many loops there have been.
    so_far: u32,
}

/// How a loop is reached from other threads.
#[derive(Default)]
struct Mailbox {
    inbox: Inbox,
    notifier: Notifier,
    /// A waker of one of the loop's tasks was cloned away from the loop. So the loop may be woken from outside, and reports no
    /// deadlock. Cleared when the next loop takes over.
    has_escaped_waker: AtomicBool,
}

/// The index and the mailbox of a loop. Dropping it closes the inbox and frees the index.
pub(crate) struct Registration {
    mailbox: &'static Mailbox,
    pub(crate) loop_index: usize,
    /// Where the generations of the loop's slots begin. It differs from loop to loop, so that the wakers of an earlier loop with
    /// this index match none of its tasks.
    pub(crate) first_generation: u32,
    /// Wake-ups were taken from the inbox. Set by the loop; cleared by the livelock watch.
    pub(crate) has_received: Cell<bool>,
}

impl Registration {
    /// Takes an index and opens its inbox. `None` if [`MAX_LOOPS`] loops are alive.
    pub(crate) fn new() -> Option<Registration> {
        let mut loops = LOOPS.lock();
        let loop_index = loops.alive.insert_below(MAX_LOOPS as u32, ())? as usize;
        loops.so_far = loops.so_far.wrapping_add(1);
        // Multiples of this constant are far from each other: a loop starts far from the generations that the last ones went
        // through.
        let first_generation = loops.so_far.wrapping_mul(0x9E37_79B9) >> 8;
        drop(loops);
        let mailbox = MAILBOXES.get(loop_index);
        let registration =
            Registration { mailbox, loop_index, first_generation, has_received: Cell::new(false) };
        registration.mailbox.has_escaped_waker.store(false, Ordering::Relaxed);
        registration.inbox().open();
        Some(registration)
    }

    /// Returns the callback before this one: dropping it may run any code.
    pub(crate) fn set_on_wake(&self, callback: WakeCallback) -> Option<WakeCallback> {
        let before = self.mailbox.notifier.set_host(callback);
        self.mailbox.notifier.arm();
        before
    }

    /// The next remote wake-up calls the host.
    pub(crate) fn arm(&self) {
        self.mailbox.notifier.arm();
    }

    /// Sleeps until a wake-up comes or `timeout` has passed, or less. Does not sleep if a wake-up is in the inbox, and returns it.
    pub(crate) fn park(&self, timeout: Option<Duration>) -> Option<TaskId> {
        let mut wake = None;
        self.mailbox.notifier.park(timeout, || {
            wake = self.take_wake();
            wake.is_some()
        });
        wake
    }

    /// Takes the oldest wake-up from the inbox.
    pub(crate) fn take_wake(&self) -> Option<TaskId> {
        let Wake { slot, generation } = self.inbox().take()?;
        Some(TaskId::new(self.loop_index, slot, generation))
    }

    pub(crate) fn has_escaped_waker(&self) -> bool {
        self.mailbox.has_escaped_waker.load(Ordering::Acquire)
    }

    pub(crate) fn inbox(&self) -> &'static Inbox {
        &self.mailbox.inbox
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.inbox().close();
        let callback = self.mailbox.notifier.clear();
        LOOPS.lock().alive.remove(self.loop_index as u32);
        drop_reported(callback); // last, because it may run any code
    }
}

/// Sends a wake-up to a loop that is not running on this thread. Returns the panic of the host's callback.
pub(crate) fn post(id: TaskId) -> Result<(), Payload> {
    let mailbox = MAILBOXES.get(id.loop_index());
    if mailbox.inbox.post(id) { mailbox.notifier.notify() } else { Ok(()) }
}

/// Notes that a waker was cloned away from its loop.
pub(crate) fn note_escape(id: TaskId) {
    MAILBOXES.get(id.loop_index()).has_escaped_waker.store(true, Ordering::Release);
}
