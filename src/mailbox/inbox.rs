//! **The inbox**: the remote wake-ups of a loop, each task once, oldest first.
//!
//! A channel of task ids would do, but it would allocate, and a thread that wakes one task a million times between two turns would
//! fill it with a million ids. Here each slot of the task table has an *entry*, and the entries that were posted are linked into a
//! *stack*. The loop takes the whole stack with one swap, reverses it, and opens the entries one after the other:
//!
//! ```text
//!                        top ──▶ slot 7 ──▶ slot 2 ──▶ slot 5 ──▶ end      each sender pushes its entry at the top
//!                                                                          the loop takes all, and reverses it:
//!                        taken ──▶ slot 5 ──▶ slot 2 ──▶ slot 7 ──▶ end    it opens them from here, oldest first
//!
//! sender     swap the entry's mark to my generation;  what was it?
//!              clear               → push the entry;  was the stack empty?  → notify the loop
//!              my generation       → the entry is in the stack, or about to be: done
//!              another generation  → I have displaced that wake-up: put it into the set of the displaced
//! the loop   unlink an entry;  swap its mark to clear;  queue the task of that generation
//! ```
//!
//! That is three read-modify-writes for a wake-up: mark, top, mark. What is done once for a whole stack (the loop's swap, the
//! notifier's) does not count where many tasks are woken at a time.
//!
//! **An entry is linked once.** Its *pending mark* is the generation that was posted last, or clear. Only the sender that found it
//! clear pushes the entry, and only the loop clears it, after it has unlinked the entry. So `below` has one owner at a time: the
//! sender from its swap to its push, and the loop from then until it clears the mark. And the stack is never longer than the task
//! table.
//!
//! **No wake-up is lost.** The mark is changed by read-modify-write only, so all its changes are in one order. After a sender's
//! swap comes one of three: the loop's, which then queues the sender's task; that of another sender with the same generation, for
//! which the same holds; or that of a sender with another generation, which puts the wake-up into the set. Each acquires what the
//! sender wrote before, so the poll that follows sees it. Had the sender a load and a store in place of the swap, the loop could
//! clear the mark between the two.
//!
//! **No task is woken for another.** A stale waker, of an earlier task in the slot or of an earlier loop, posts its own generation,
//! and the loop finds no task with it. It may come between the wake-up of the slot's present task and the loop. That is what the
//! set is for: it is behind a lock, which only such senders take, and it has an entry of its own by which the loop learns of it.
//!
//! A sender between its swap and its push holds up no other task, only later wake-ups of its own slot, which rely on it.
//!
//! An inbox that no loop reads is closed, and drops what is posted. How a loop that sleeps learns of a wake-up is in `notifier.rs`.
//! `tests/loom.rs` runs both files under every interleaving.

use std::collections::BTreeSet;

use crate::base::id::TaskId;
use crate::base::segments::Segments;
use crate::base::sync::{AtomicBool, AtomicU32, Mutex, Ordering};

/// The remote wake-ups of a loop.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// The stack: the entry that was pushed last. A busy loop reads it in every turn, which is a plain load.
    top: AtomicU32,
    /// What the loop has taken and not opened: the oldest entry. Only the thread of the loop uses it.
    taken: AtomicU32,
    is_open: AtomicBool,
    /// By slot.
    slots: Segments<Entry>,
    displaced: Mutex<BTreeSet<Wake>>,
    displaced_entry: Entry,
}

/// A place in the stack.
#[derive(Debug, Default)]
struct Entry {
    /// The pending mark: the generation that was posted last, or [`CLEAR`].
    mark: AtomicU32,
    /// The next entry in the list that this one is in.
    below: AtomicU32,
}

/// A wake-up that was posted: the slot and the generation of a task's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Wake {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// The mark of an entry that is not in the stack. No generation is zero.
const CLEAR: u32 = 0;
/// The mark of the entry of the displaced wake-ups, when it is in the stack.
const POSTED: u32 = 1;

/// Links are numbers: the entry of a slot is its index plus one.
const END: u32 = 0;
/// The entry of the displaced wake-ups. No slot has this index.
const DISPLACED: u32 = u32::MAX;

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox {
            top: AtomicU32::new(END),
            taken: AtomicU32::new(END),
            is_open: AtomicBool::new(false),
            slots: Segments::new(),
            displaced: Mutex::new(BTreeSet::new()),
            displaced_entry: Entry::default(),
        }
    }
}

impl Inbox {
    /// Opens it for a new loop. Wake-ups that were posted to the loop before are dropped.
    pub(crate) fn open(&self) {
        while self.take().is_some() {}
        // Relaxed, as in `close`, and in `post`: what brought a sender the waker of a task of this loop also brought it this
        // store. With a waker of an earlier loop it may see either: the wake-up is dropped here, or finds no task.
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Relaxed);
    }

    /// Posts a wake-up, from any thread, at any time. True if the loop is to be notified: not if the wake-up was coalesced, if one
    /// posted before has notified it or is about to, or if the inbox is closed.
    pub(crate) fn post(&self, id: TaskId) -> bool {
        if !self.is_open.load(Ordering::Relaxed) {
            return false;
        }
        let (slot, generation) = (id.slot(), id.generation());
        // Release: the poll that follows sees what this thread wrote before. Acquire: if the mark was clear, the loop has done with
        // `below`; if this displaces a wake-up, what its sender wrote is passed on with it.
        match self.slots.get(slot as usize).mark.swap(generation, Ordering::AcqRel) {
            CLEAR => self.push(slot + 1),
            before if before == generation => false,
            before => self.post_displaced(Wake { slot, generation: before }),
        }
    }

    #[cold]
    fn post_displaced(&self, wake: Wake) -> bool {
        // First, because the loop opens the entry before it looks into the set.
        self.displaced.lock().insert(wake);
        // As in `post`.
        self.displaced_entry.mark.swap(POSTED, Ordering::AcqRel) == CLEAR && self.push(DISPLACED)
    }

    /// Pushes an entry whose mark this thread found clear. True if the stack was empty.
    fn push(&self, number: u32) -> bool {
        let below = &self.entry(number).below;
        // Relaxed: the entry at the top is not read here, it is only linked to.
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            below.store(top, Ordering::Relaxed);
            // Release: the loop sees `below`, and those of the entries beneath, because later pushes continue what began with
            // theirs. The entry at the top may have been taken and pushed again since the load: it is the right one all the same.
            let pushed =
                self.top.compare_exchange_weak(top, number, Ordering::Release, Ordering::Relaxed);
            match pushed {
                Ok(_) => return top == END,
                Err(now) => top = now,
            }
        }
    }

    /// Whether wake-ups have been posted that the loop has not taken. A plain load. It may miss one that is just being posted: the
    /// loop also looks at every check, and between arming the notifier and sleeping.
    #[inline]
    pub(crate) fn has_posted(&self) -> bool {
        self.top.load(Ordering::Relaxed) != END
    }

    /// Whether [`take`](Inbox::take) has something to look at. Called on the thread of the loop only.
    pub(crate) fn has_more(&self) -> bool {
        self.taken.load(Ordering::Relaxed) != END || self.has_posted()
    }

    /// Takes the oldest wake-up. Called on the thread of the loop only.
    pub(crate) fn take(&self) -> Option<Wake> {
        loop {
            let number = match self.taken.load(Ordering::Relaxed) {
                END => self.take_stack()?,
                number => number,
            };
            let entry = self.entry(number);
            self.taken.store(entry.below.load(Ordering::Relaxed), Ordering::Relaxed);
            // From here on, a wake-up is posted anew. Acquire: the poll that follows sees what the senders wrote. Release: the
            // next sender writes `below` after it was read.
            let generation = entry.mark.swap(CLEAR, Ordering::AcqRel);
            if number != DISPLACED {
                return Some(Wake { slot: number - 1, generation });
            }
            if let Some(wake) = self.take_displaced() {
                return Some(wake);
            }
        }
    }

    /// Takes the stack, reverses it into `taken`, which is empty, and returns the oldest entry.
    fn take_stack(&self) -> Option<u32> {
        if !self.has_posted() {
            return None; // mostly: no need of the swap
        }
        // Acquire, for `below` of all entries. Nothing is released: a sender does not read what is beneath an empty stack.
        let mut top = self.top.swap(END, Ordering::Acquire);
        let mut oldest = END;
        while top != END {
            let below = &self.entry(top).below;
            let next = below.load(Ordering::Relaxed);
            below.store(oldest, Ordering::Relaxed);
            (oldest, top) = (top, next);
        }
        Some(oldest)
    }

    /// Takes one of the displaced wake-ups. Their entry has been opened; it is posted again if there are more.
    #[cold]
    fn take_displaced(&self) -> Option<Wake> {
        let (wake, has_more) = {
            let mut displaced = self.displaced.lock();
            (displaced.pop_first(), !displaced.is_empty())
        };
        if has_more && self.displaced_entry.mark.swap(POSTED, Ordering::AcqRel) == CLEAR {
            self.push(DISPLACED); // the loop is awake, and takes until there is nothing more
        }
        wake
    }

    fn entry(&self, number: u32) -> &Entry {
        if number == DISPLACED {
            &self.displaced_entry
        } else {
            self.slots.get(number as usize - 1)
        }
    }
}
