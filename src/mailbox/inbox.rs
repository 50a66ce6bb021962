//! **The inbox**: the remote wake-ups of a loop, each task once.
//!
//! The naive inbox is a channel of task ids. But a thread may wake one task a million times between two turns, and the channel
//! would grow by a million ids. So beside the channel the inbox has a *pending mark* for each slot of the task table: the
//! generation of the last id that was sent for that slot. A wake-up that finds its own id marked is already in the channel:
//!
//! ```text
//! sender     swap the mark to my id;  was it my id?  → it is in the channel already: done
//!                                     otherwise      → send my id
//! the loop   receive an id;  mark == id?  → clear the mark;  then queue the task
//! ```
//!
//! **Why no wake-up is lost.** *While the mark is `id`, an `id` that the loop has not received is in the channel, or about to be
//! sent.* Both sides change the mark by read-modify-write, so all changes are in one order. A sender that finds its own id comes
//! before the clearing in that order, and so before the poll that follows. What the sender wrote before the wake-up is visible to
//! that poll. Had the sender a load and a store in place of the swap, the loop could clear the mark between the two, and the
//! wake-up would be lost. `tests/loom.rs` runs this file under every interleaving.
//!
//! A stale waker of an earlier task in the slot may overwrite the mark. Then the next wake-up of the task is sent a second time:
//! that may cost one poll too many, never a wake-up.
//!
//! An inbox that no loop reads is closed, and drops what is sent to it. How a loop that sleeps learns of a wake-up is in
//! `notifier.rs`.

use crate::base::id::TaskId;
use crate::base::segments::Segments;
use crate::base::sync::{AtomicBool, AtomicU32, Ordering, Receiver, Sender, channel};

/// The remote wake-ups of a loop: ids of tasks that other threads have woken.
#[derive(Debug)]
pub(crate) struct Inbox {
    sender: Sender<TaskId>,
    receiver: Receiver<TaskId>,
    /// The pending marks, by slot.
    pending: Segments<AtomicU32>,
    is_open: AtomicBool,
    /// Wake-ups were sent since the last drain: set by senders, cleared by the loop. A busy loop reads it in every turn, which is a
    /// plain load. It may be missed: the loop also drains the inbox at every check, and checks it before it sleeps.
    hint: AtomicBool,
}

/// The pending mark of a slot for which nothing is in the channel.
const CLEAR: u32 = 0;

impl Default for Inbox {
    fn default() -> Inbox {
        let (sender, receiver) = channel();
        let (is_open, hint) = (AtomicBool::new(false), AtomicBool::new(false));
        Inbox { sender, receiver, pending: Segments::new(), is_open, hint }
    }
}

impl Inbox {
    /// Opens it for a new loop. Wake-ups that were sent to the loop before are dropped.
    pub(crate) fn open(&self) {
        while self.take().is_some() {}
        self.is_open.store(true, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Release);
    }

    /// Sends a wake-up, from any thread, at any time. False if it was coalesced, or the inbox is closed.
    pub(crate) fn post(&self, id: TaskId) -> bool {
        if !self.is_open.load(Ordering::Acquire) {
            return false;
        }
        let is_new = self.pending_mark(id).swap(mark_for(id), Ordering::AcqRel) != mark_for(id);
        if is_new {
            // It cannot fail: the receiver is in the same struct, and lives as long.
            let _ = self.sender.send(id);
            self.hint.store(true, Ordering::Release);
        }
        is_new
    }

    /// Whether wake-ups may have come since the hint was cleared.
    #[inline]
    pub(crate) fn has_wakes_hint(&self) -> bool {
        self.hint.load(Ordering::Relaxed)
    }

    /// Sets or clears the hint. For the thread of the loop: false before a drain, true after one that did not empty the inbox.
    pub(crate) fn set_hint(&self, has_wakes: bool) {
        self.hint.store(has_wakes, Ordering::Relaxed);
    }

    /// Receives the next wake-up. Called on the thread of the loop only.
    pub(crate) fn take(&self) -> Option<TaskId> {
        let id = self.receiver.try_recv().ok()?;
        self.clear_mark(id);
        Some(id)
    }

    /// From here on, a wake-up of this task is sent anew.
    fn clear_mark(&self, id: TaskId) {
        // A mark that another id of the slot has overwritten stays. Acquire even then: before it was overwritten, a sender of `id`
        // may have relied on the wake-up that was just received.
        let (mark, sent) = (self.pending_mark(id), mark_for(id));
        let _ = mark.compare_exchange(sent, CLEAR, Ordering::AcqRel, Ordering::Acquire);
    }

    fn pending_mark(&self, id: TaskId) -> &AtomicU32 {
        self.pending.get(id.slot() as usize)
    }
}

/// The mark of an id. Never [`CLEAR`]: a generation is not zero.
fn mark_for(id: TaskId) -> u32 {
    id.generation()
}
