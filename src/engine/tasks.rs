//! **The tasks of one loop**: who is there, and who wants to be polled.
//!
//! One that ends while it stands in the ready queue keeps its place there, as what has nothing left to poll.

use std::cell::{Cell, RefCell};

use super::ready::ReadyQueue;
use super::record::{Flag, RecordRef};
use super::slots::Slots;
use super::waker::TaskId;

/// The slot table and the ready queue.
pub(crate) struct Tasks {
    pub(super) slots: RefCell<Slots>,
    pub(super) ready: ReadyQueue,
    /// How many have a [`Flag::WAKER_AT_LARGE`].
    at_large: Cell<usize>,
    /// When so many have been taken from the ready queue, all that a cancel has interrupted have run.
    interrupted_until: Cell<u64>,
}

impl Tasks {
    pub(super) fn new(first_generation: u32, max_tasks: usize) -> Tasks {
        let slots = RefCell::new(Slots::new(first_generation, max_tasks));
        Tasks {
            slots,
            ready: ReadyQueue::default(),
            at_large: Cell::new(0),
            interrupted_until: Cell::new(0),
        }
    }

    /// It is over. What the table held is handed back, for dropping it may run code of others.
    pub(super) fn remove(&self, record: &RecordRef) -> Option<RecordRef> {
        let mut slots = self.slots.borrow_mut();
        let from_table = slots.remove(record.id)?;
        if record.has(Flag::WAKER_AT_LARGE | Flag::CALLBACK) {
            if record.has(Flag::WAKER_AT_LARGE) {
                self.at_large.set(self.at_large.get() - 1);
            }
            if record.has(Flag::CALLBACK) {
                slots.callback_left();
            }
        }
        Some(from_table)
    }

    /// A wake-up. False if it is stale: its task is over.
    #[allow(clippy::inline_always)] // into what a waker does
    #[inline(always)]
    pub(super) fn wake(&self, word: usize) -> bool {
        let slots = self.slots.borrow();
        let Some(record) = slots.tenant_of_word(word) else { return false };
        self.ready.push(record);
        true
    }

    /// A cancel interrupts a task, which is queued next.
    pub(super) fn one_is_interrupted(&self) {
        self.interrupted_until.set(self.ready.next_place() + 1);
    }

    /// Whether a task that a cancel has interrupted may not have run yet.
    #[inline]
    pub(super) fn any_is_interrupted(&self) -> bool {
        self.ready.popped() < self.interrupted_until.get()
    }

    pub(super) fn is_cancelled(&self, id: TaskId) -> bool {
        self.slots.borrow().tenant(id).is_some_and(|record| record.has(Flag::CANCEL_FIRM))
    }

    /// Code that is not ours keeps a waker of this task.
    pub(super) fn waker_is_at_large(&self, id: TaskId) {
        if let Some(record) = self.slots.borrow().tenant(id)
            && !record.has(Flag::WAKER_AT_LARGE)
        {
            record.set(Flag::WAKER_AT_LARGE);
            self.at_large.set(self.at_large.get() + 1);
        }
    }

    pub(super) fn any_waker_at_large(&self) -> bool {
        self.at_large.get() > 0
    }
}
