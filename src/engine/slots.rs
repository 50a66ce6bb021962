//! **The slot table**: from a task's number to its record.
//!
//! A slot is sixteen bytes: the record, and beside it a word with the generation of the tenant and three flags, which a wake
//! looks at without touching the record itself: one comparison says whether the tenant is the right one and does not stand
//! in the queue already. When a tenant leaves, the generation is counted up, and every waker that was made for it points at
//! nobody. The rest of the sixteen bytes is a link. Free slots form a list, last freed first taken, so that a loop whose tasks
//! come and go stays in the same few cache lines; those that stand in the ready queue form another.

use std::mem;

use super::ready::Links;
use super::record::RecordRef;
use super::waker::{FIRST_GENERATION, GENERATIONS, MAX_SLOTS, next_generation};

#[derive(Debug)]
struct Slot {
    record: Option<RecordRef>,
    /// The generation, and the flags above it.
    word: u32,
    /// Of a free slot, the next free one; of one that stands in the ready queue, the next there.
    next: u32,
}

/// The tenant stands in the ready queue. Set by a wake, cleared by the poll: the reason why a task is
/// in the queue at most once.
const QUEUED: u32 = 1 << 24;
/// Code that is not ours keeps a waker of the tenant. Set once, never cleared: nothing says when the
/// last such waker is gone. A loop whose sleeping tasks all lack it can be woken by nobody.
const WAKER_AT_LARGE: u32 = 1 << 25;
/// There is no tenant.
const VACANT: u32 = 1 << 26;

const _: () = assert!(GENERATIONS <= QUEUED);

impl Slot {
    fn generation(&self) -> u32 {
        self.word & (GENERATIONS - 1)
    }

    fn is(&self, flag: u32) -> bool {
        self.word & flag != 0
    }
}

const NO_SLOT: u32 = u32::MAX;

/// Who is about to be polled.
pub(crate) struct Dequeued {
    pub(super) record: RecordRef,
    pub(super) generation: u32,
    /// Whether code that is not ours keeps a waker of it.
    pub(super) waker_at_large: bool,
}

/// All tasks of one loop that are not over.
#[derive(Debug)]
pub(crate) struct Slots {
    table: Vec<Slot>,
    first_free: u32,
    first_generation: u32,
    len: usize,
    /// How many tenants are marked [`WAKER_AT_LARGE`].
    at_large: usize,
}

impl Slots {
    /// Slots start at `first_generation`, so that a loop that takes over the place of an earlier one in
    /// the registry does not answer to the wakers that the earlier one left behind.
    pub(crate) fn new(first_generation: u32) -> Slots {
        Slots {
            table: Vec::new(),
            first_free: NO_SLOT,
            first_generation: first_generation % (GENERATIONS - FIRST_GENERATION)
                + FIRST_GENERATION,
            len: 0,
            at_large: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot that the next [`insert`](Slots::insert) takes, or `None` when the table is full.
    pub(crate) fn next_vacant(&self) -> Option<u32> {
        match self.first_free {
            NO_SLOT if self.table.len() == MAX_SLOTS => None,
            NO_SLOT => Some(self.table.len() as u32),
            free => Some(free),
        }
    }

    /// The generation that the next tenant will be.
    pub(crate) fn next_generation(&self) -> u32 {
        match self.first_free {
            NO_SLOT => self.first_generation,
            free => self.table[free as usize].generation(),
        }
    }

    /// Gives the next vacant slot to `record`, which is in the ready queue already or not.
    pub(crate) fn insert(&mut self, record: RecordRef, queued: bool) {
        self.len += 1;
        let queued = if queued { QUEUED } else { 0 };
        // The number that says that there is no free slot is beyond the end of every table.
        let Some(slot) = self.table.get_mut(self.first_free as usize) else {
            return self.insert_at_end(record, self.first_generation | queued);
        };
        self.first_free = slot.next;
        slot.word = slot.generation() | queued;
        let tenant = slot.record.replace(record);
        debug_assert!(tenant.is_none(), "a free slot has no tenant");
        mem::forget(tenant); // and so no destructor to call
    }

    #[inline(never)]
    fn insert_at_end(&mut self, record: RecordRef, word: u32) {
        self.table.push(Slot { record: Some(record), word, next: NO_SLOT });
    }

    /// The tenant leaves. Its record is handed back, for dropping it may run code of others.
    pub(crate) fn remove(&mut self, number: u32) -> Option<RecordRef> {
        let slot = &mut self.table[number as usize];
        let record = slot.record.take()?;
        let queued = slot.word & QUEUED;
        if slot.is(WAKER_AT_LARGE) {
            self.at_large -= 1;
        }
        slot.word = next_generation(slot.generation()) | VACANT | queued;
        self.len -= 1;
        if queued == 0 {
            slot.next = self.first_free;
            self.first_free = number;
        } // else it is free when its number comes out of the queue
        Some(record)
    }

    pub(crate) fn generation(&self, number: u32) -> u32 {
        self.table[number as usize].generation()
    }

    /// Marks the tenant as queued; true if it was not, so that the caller must push it.
    pub(crate) fn queue(&mut self, number: u32, generation: u32) -> bool {
        match self.table.get_mut(number as usize) {
            Some(slot) if slot.word & !WAKER_AT_LARGE == generation => {
                slot.word |= QUEUED;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn is_queued(&self, number: u32) -> bool {
        let slot = &self.table[number as usize];
        slot.is(QUEUED) && !slot.is(VACANT)
    }

    /// The number has come out of the queue, and its tenant is about to be polled: what is woken from here on is
    /// queued again. `None` if the tenant has left since; then the slot is vacant from here on, so that no successor is
    /// polled in its place in the queue.
    pub(crate) fn dequeue(&mut self, number: u32) -> Option<Dequeued> {
        let slot = &mut self.table[number as usize];
        let Some(record) = &slot.record else {
            slot.word &= !QUEUED;
            slot.next = self.first_free;
            self.first_free = number;
            return None;
        };
        let record = record.clone();
        slot.word &= !QUEUED;
        let (generation, waker_at_large) = (slot.generation(), slot.is(WAKER_AT_LARGE));
        Some(Dequeued { record, generation, waker_at_large })
    }

    pub(crate) fn waker_is_at_large(&mut self, number: u32, generation: u32) {
        if let Some(slot) = self.table.get_mut(number as usize)
            && slot.generation() == generation
            && !slot.is(VACANT)
        {
            self.at_large += usize::from(!slot.is(WAKER_AT_LARGE));
            slot.word |= WAKER_AT_LARGE;
        }
    }

    pub(crate) fn any_waker_at_large(&self) -> bool {
        self.at_large > 0
    }

    pub(crate) fn tenant(&self, number: u32, generation: u32) -> Option<&RecordRef> {
        let slot = self.table.get(number as usize)?;
        slot.record.as_ref().filter(|_| slot.generation() == generation)
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &RecordRef> {
        self.table.iter().filter_map(|slot| slot.record.as_ref())
    }
}

impl Links for Slots {
    #[inline]
    fn after(&self, slot: u32) -> u32 {
        self.table[slot as usize].next
    }

    #[inline]
    fn link(&mut self, slot: u32, next: u32) {
        self.table[slot as usize].next = next;
    }
}
