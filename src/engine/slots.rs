//! **The slot table**: from a task's number to its record.
//!
//! A slot is sixteen bytes: the record, the generation of the tenant, and two flags that a wake and a
//! poll look at without touching the record itself. When a tenant leaves, the generation is counted up,
//! and every waker that was made for it points at nobody. Free slots form a list, last freed first
//! taken, so that a loop whose tasks come and go stays in the same few cache lines.

use super::record::RecordRef;
use super::waker::{FIRST_GENERATION, GENERATIONS, MAX_SLOTS, next_generation};

#[derive(Debug)]
struct Slot {
    record: Option<RecordRef>,
    generation: u32,
    /// For a tenant its flags, for a free slot the next free one.
    state: u32,
}

/// The tenant stands in the ready queue. Set by a wake, cleared by the poll: the reason why a task is
/// in the queue at most once.
const QUEUED: u32 = 1;
/// Code that is not ours keeps a waker of the tenant. Set once, never cleared: nothing says when the
/// last such waker is gone. A loop whose sleeping tasks all lack it can be woken by nobody.
const WAKER_AT_LARGE: u32 = 2;

const NO_SLOT: u32 = u32::MAX;

/// All tasks of one loop that are not over.
#[derive(Debug)]
pub(crate) struct Slots {
    table: Vec<Slot>,
    first_free: u32,
    first_generation: u32,
    len: usize,
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
            free => self.table[free as usize].generation,
        }
    }

    /// Gives the next vacant slot to `record`, which is in the ready queue already or not.
    pub(crate) fn insert(&mut self, record: RecordRef, queued: bool) {
        let state = if queued { QUEUED } else { 0 };
        let generation = self.next_generation();
        self.len += 1;
        if self.first_free == NO_SLOT {
            self.table.push(Slot { record: Some(record), generation, state });
        } else {
            let slot = &mut self.table[self.first_free as usize];
            self.first_free = slot.state;
            slot.record = Some(record);
            slot.state = state;
        }
    }

    /// The tenant leaves. Its record is handed back, for dropping it may run code of others.
    pub(crate) fn remove(&mut self, number: u32) -> Option<RecordRef> {
        let slot = &mut self.table[number as usize];
        let record = slot.record.take()?;
        slot.generation = next_generation(slot.generation);
        self.len -= 1;
        if slot.state & QUEUED == 0 {
            self.free(number);
        } else {
            slot.state = QUEUED; // vacant when its number comes out of the queue
        }
        Some(record)
    }

    fn free(&mut self, number: u32) {
        self.table[number as usize].state = self.first_free;
        self.first_free = number;
    }

    pub(crate) fn generation(&self, number: u32) -> u32 {
        self.table[number as usize].generation
    }

    /// Marks the tenant as queued; true if it was not, so that the caller must push it.
    pub(crate) fn queue(&mut self, number: u32, generation: u32) -> bool {
        match self.table.get_mut(number as usize) {
            Some(slot)
                if slot.generation == generation
                    && slot.record.is_some()
                    && slot.state & QUEUED == 0 =>
            {
                slot.state |= QUEUED;
                true
            }
            _ => false,
        }
    }

    pub(crate) fn is_queued(&self, number: u32) -> bool {
        let slot = &self.table[number as usize];
        slot.record.is_some() && slot.state & QUEUED != 0
    }

    /// The number has come out of the queue, and its tenant is about to be polled: what is woken from here on is
    /// queued again. `None` if the tenant has left since; then the slot is vacant from here on, so that no successor is
    /// polled in its place in the queue.
    pub(crate) fn dequeue(&mut self, number: u32) -> Option<(RecordRef, u32)> {
        let slot = &mut self.table[number as usize];
        let Some(record) = &slot.record else {
            self.free(number);
            return None;
        };
        let polled = (record.clone(), slot.generation);
        slot.state &= !QUEUED;
        Some(polled)
    }

    pub(crate) fn waker_is_at_large(&mut self, number: u32, generation: u32) {
        if let Some(slot) = self.table.get_mut(number as usize)
            && slot.generation == generation
            && slot.record.is_some()
        {
            slot.state |= WAKER_AT_LARGE;
        }
    }

    pub(crate) fn any_waker_at_large(&self) -> bool {
        self.table.iter().any(|slot| slot.record.is_some() && slot.state & WAKER_AT_LARGE != 0)
    }

    pub(crate) fn tenant(&self, number: u32, generation: u32) -> Option<&RecordRef> {
        let slot = self.table.get(number as usize)?;
        slot.record.as_ref().filter(|_| slot.generation == generation)
    }

    pub(crate) fn tenant_of(&self, number: u32) -> Option<&RecordRef> {
        self.table[number as usize].record.as_ref()
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &RecordRef> {
        self.table.iter().filter_map(|slot| slot.record.as_ref())
    }
}
