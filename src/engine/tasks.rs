//! **The tasks of one loop**: the slot table and the ready queue, kept in step.
//!
//! *A number stands in the queue exactly if its slot says so.* Therefore a task stands there at most once, and a wake-up of
//! one that does is a flag test.

use super::ready::ReadyQueue;
use super::record::RecordRef;
use super::slots::{Dequeued, Slots};

/// Who is there, and who wants to be polled.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(super) slots: Slots,
    ready: ReadyQueue,
}

impl Tasks {
    pub(super) fn new(first_generation: u32) -> Tasks {
        Tasks { slots: Slots::new(first_generation), ready: ReadyQueue::default() }
    }

    /// Takes the next vacant slot, and wants to be polled or not.
    pub(super) fn insert(&mut self, record: RecordRef, wants_poll: bool) {
        let slot = record.slot;
        self.slots.insert(record, wants_poll);
        if wants_poll {
            self.ready.push(slot, &mut self.slots);
        }
    }

    /// A wake-up. A stale one does nothing.
    #[inline]
    pub(super) fn wake(&mut self, slot: u32, generation: u32) {
        if self.slots.queue(slot, generation) {
            self.ready.push(slot, &mut self.slots);
        }
    }

    /// The next to be polled. `None` if nobody stands in this place any more.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Dequeued> {
        let slot = self.ready.pop(&self.slots)?;
        self.slots.dequeue(slot)
    }

    /// Places in the queue.
    pub(super) fn ready(&self) -> &ReadyQueue {
        &self.ready
    }

    /// At the end of the loop: nobody is polled any more.
    pub(super) fn forget_ready(&mut self) {
        while !self.ready.is_empty() {
            self.next();
        }
    }
}
