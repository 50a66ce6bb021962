//! **Mailboxes**: how a loop is woken from outside.
//!
//! A waker may be used on another thread, while its loop polls, parks, or does not exist any more. With a lock around the ready
//! queue that would be safe, and every wake-up on the loop's own thread would pay for it. So a loop has a mailbox beside its queue:
//! a remote wake-up finds it in the process-wide [registry] and posts the id of the task to the [inbox](inbox::Inbox). The
//! [notifier](notifier::Notifier) then unparks the thread or calls the host, if one is waiting. At a check the loop drains the
//! inbox into its queue.
//!
//! Only ids cross threads. A call from another thread is in a queue of its own (`thread/`).
//!
//! | file | idea |
//! |---|---|
//! | `inbox` | wake-ups from other threads, each task once |
//! | `notifier` | how a parked loop, or a host, learns of them |
//! | `registry` | from the index of a loop to its mailbox |
//! | `mod` (this file) | the loop's side of it |
//!
//! It stands on `base`, the kernel and `foreign`.

mod inbox;
mod notifier;
mod registry;

use std::panic::Location;

use crate::base::id::TaskId;
use crate::engine::Engine;
use crate::foreign::drop_reported;
use crate::kernel::record::Flag;
use crate::kernel::tasks::Tasks;

pub(crate) use notifier::WakeCallback;
pub(crate) use registry::Registration;

/// How many wake-ups one check takes from the inbox.
const MAX_WAKES_PER_DRAIN: usize = 1024;

impl Engine {
    /// Whether remote wake-ups were posted since the last drain. A plain load, and only a hint.
    #[inline]
    pub(crate) fn has_remote_wakes_hint(&self) -> bool {
        self.mailbox.inbox().has_posted()
    }

    /// Step 1 of a turn: queues the tasks that were woken remotely.
    pub(crate) fn drain_remote_wakes(&self) {
        // Not until it is empty: a thread that posts without end would keep the loop from its tasks.
        for _ in 0..MAX_WAKES_PER_DRAIN {
            let Some(id) = self.mailbox.take_wake() else { return };
            self.mailbox.has_received.set(true);
            self.take_remote_wake(id);
        }
    }

    /// A remote wake-up has arrived.
    #[inline(never)]
    pub(crate) fn take_remote_wake(&self, id: TaskId) {
        if self.is_traced() {
            let task = self.tasks.get(id);
            self.tell_remote_wake(task.as_ref(), || _ = self.make_ready(id));
        } else {
            self.make_ready(id);
        }
    }

    /// Wakes a task of a loop that does not run on this thread.
    pub(crate) fn post_remote_wake(id: TaskId) {
        if let Err(payload) = registry::post(id) {
            Engine::report_stray_panic("the wake hook", payload, Location::caller());
        }
    }

    /// Notes that a waker was cloned whose loop does not run on this thread.
    pub(crate) fn note_escape_elsewhere(id: TaskId) {
        registry::note_escape(id);
    }

    /// Sets the callback that tells the host of a remote wake-up.
    pub(crate) fn set_on_wake(&self, callback: WakeCallback) {
        let before = self.mailbox.set_on_wake(callback);
        drop_reported(before);
    }

    /// From here on, remote wake-ups are dropped.
    pub(crate) fn close_mailbox(&self) {
        self.mailbox.inbox().close();
    }
}

impl Tasks {
    /// Notes that foreign code has cloned a waker of this task.
    pub(crate) fn waker_has_escaped(&self, id: TaskId) {
        if let Some(record) = self.table.borrow().get(id)
            && !record.has(Flag::WAKER_ESCAPED)
        {
            record.set(Flag::WAKER_ESCAPED);
            self.escaped.set(self.escaped.get() + 1);
        }
    }

    /// Whether a waker of one of these tasks was cloned while this loop was the current one. Of other clones the mailbox knows.
    pub(crate) fn any_waker_has_escaped(&self) -> bool {
        self.escaped.get() > 0
    }
}
