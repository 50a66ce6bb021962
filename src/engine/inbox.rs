//! **The inbox**: the one door through which other threads reach a loop.
//!
//! A waker that is used away from its loop finds the loop's inbox in a registry and leaves the task's number
//! there. The loop empties the inbox at the start of a turn, when it has looked away long enough. That it
//! also hears of a letter while it sleeps is the hook's business (`hook.rs`).
//!
//! **Coalescing.** A thread may wake the same task a million times between two turns. Beside the channel the
//! inbox keeps one *mark* a slot: the last id that was put into the channel for it.
//!
//! ```text
//! sender     swap the mark for my id;  was it my id?  → it is in the channel already: done
//!                                      otherwise      → put my id into the channel
//! the loop   take an id out of the channel;  mark == id?  → clear it;  then make the task ready
//! ```
//!
//! *A mark that says `id` means: an `id` is in the channel (or about to be put there) that the loop has not
//! taken out.* Both sides change the mark by read-modify-write, so they are in one order. A sender that finds
//! its own id came before the loop's clearing, hence before the poll that follows it, and what it wrote before
//! the wake is seen by that poll. With a load and a store in place of the swap the wake-up would be lost;
//! `tests/loom.rs` checks this very file under every interleaving. A stale id of an earlier tenant may
//! overwrite the mark: that costs a second letter, never a wake-up.
//!
//! An inbox that no loop reads is closed: letters to it are thrown away.

use super::segments::Segments;
use super::sync::{AtomicBool, AtomicU32, Ordering, Receiver, Sender, channel};
use super::waker::TaskId;

/// Letters from other threads: numbers of tasks to be woken.
#[derive(Debug)]
pub(crate) struct Inbox {
    sender: Sender<TaskId>,
    receiver: Receiver<TaskId>,
    marks: Segments<AtomicU32>,
    open: AtomicBool,
    /// A hint: letters have come since the loop last looked. So a loop with work to do can glance at the inbox in every turn,
    /// for the price of a plain load; nothing is lost if it misses it, for it looks before it sleeps.
    flag_is_up: AtomicBool,
}

/// The mark of a slot for which nothing is in the channel.
const CLEAR: u32 = 0;

impl Default for Inbox {
    fn default() -> Inbox {
        let (sender, receiver) = channel();
        let (open, flag_is_up) = (AtomicBool::new(false), AtomicBool::new(false));
        Inbox { sender, receiver, marks: Segments::new(), open, flag_is_up }
    }
}

impl Inbox {
    /// A loop moves in. Letters that were on their way to the one before it are for nobody.
    pub(crate) fn open(&self) {
        while self.take().is_some() {}
        self.open.store(true, Ordering::Release);
    }

    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
    }

    /// A wake-up from elsewhere. From any thread, at any time. True if a letter was sent for it.
    pub(crate) fn post(&self, id: TaskId) -> bool {
        if !self.open.load(Ordering::Acquire) {
            return false;
        }
        let is_news = self.mark_of(id).swap(mark(id), Ordering::AcqRel) != mark(id);
        if is_news {
            // The receiver lives as long as the sender, in this very struct: sending cannot fail.
            let _ = self.sender.send(id);
            self.flag_is_up.store(true, Ordering::Release);
        }
        is_news
    }

    /// Whether letters have come since the flag was last lowered.
    #[inline]
    pub(crate) fn flag_is_up(&self) -> bool {
        self.flag_is_up.load(Ordering::Relaxed)
    }

    /// The loop looks; `up` if it leaves letters for the next time.
    pub(crate) fn set_flag(&self, up: bool) {
        self.flag_is_up.store(up, Ordering::Relaxed);
    }

    /// The next letter. Only the loop's thread takes.
    pub(crate) fn take(&self) -> Option<TaskId> {
        let id = self.receiver.try_recv().ok()?;
        self.opened(id);
        Some(id)
    }

    /// From here on a wake-up of this task needs a letter of its own.
    fn opened(&self, id: TaskId) {
        // If the mark has become another's it stays. Acquire all the same: a sender of `id` may have counted
        // on this letter before the other one came.
        let _ =
            self.mark_of(id).compare_exchange(mark(id), CLEAR, Ordering::AcqRel, Ordering::Acquire);
    }

    fn mark_of(&self, id: TaskId) -> &AtomicU32 {
        self.marks.get(id.slot() as usize)
    }
}

/// A generation is never zero, and zero is [`CLEAR`].
fn mark(id: TaskId) -> u32 {
    id.generation()
}
