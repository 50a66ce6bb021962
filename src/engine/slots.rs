//! **The slot table**: from a task's number to its record.
//!
//! A slot is a pointer to the record of its tenant, which knows its own number. So whoever comes with a number compares it
//! with the tenant's: when a tenant leaves, the next one is of the next generation, and every waker that was made for the
//! earlier one points at nobody. Vacant slots are taken again, last left first taken, so that a loop whose tasks come and go
//! stays in the same few cache lines.

use std::mem;

use super::record::RecordRef;
use super::waker::{FIRST_GENERATION, GENERATIONS, MAX_SLOTS, TaskId, next_generation};

/// A slot without a tenant, and the generation that its next one will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vacancy {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// All tasks of one loop that are not over.
#[derive(Debug)]
pub(crate) struct Slots {
    tenants: Vec<Option<RecordRef>>,
    /// Those that had a tenant before.
    vacant: Vec<Vacancy>,
    first_generation: u32,
}

impl Slots {
    /// Slots start at `first_generation`, so that a loop that takes over the place of an earlier one in
    /// the registry does not answer to the wakers that the earlier one left behind.
    pub(crate) fn new(first_generation: u32) -> Slots {
        Slots {
            tenants: Vec::new(),
            vacant: Vec::new(),
            first_generation: first_generation % (GENERATIONS - FIRST_GENERATION)
                + FIRST_GENERATION,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.tenants.len() - self.vacant.len()
    }

    /// Gives away a slot; `None` when the table is full. It is taken from now on, though its tenant has not come yet.
    #[inline]
    pub(crate) fn reserve(&mut self) -> Option<Vacancy> {
        self.vacant.pop().or_else(|| self.one_more())
    }

    #[cold]
    fn one_more(&mut self) -> Option<Vacancy> {
        let slot = self.tenants.len();
        if slot == MAX_SLOTS {
            return None;
        }
        self.tenants.push(None);
        Some(Vacancy { slot: slot as u32, generation: self.first_generation })
    }

    /// The tenant comes whose slot was reserved.
    #[inline]
    pub(crate) fn insert(&mut self, record: RecordRef) {
        let slot = record.id.slot() as usize;
        let nobody = self.tenants[slot].replace(record);
        debug_assert!(nobody.is_none(), "a vacant slot has no tenant");
        mem::forget(nobody); // and so no destructor to call
    }

    /// The tenant leaves. It is handed back, for dropping it may run code of others.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<RecordRef> {
        let tenant = self.tenants.get_mut(id.slot() as usize)?.take_if(|tenant| tenant.id == id)?;
        let generation = next_generation(id.generation());
        self.vacant.push(Vacancy { slot: id.slot(), generation });
        Some(tenant)
    }

    #[inline]
    pub(crate) fn tenant(&self, id: TaskId) -> Option<&RecordRef> {
        let tenant = self.tenants.get(id.slot() as usize)?.as_ref()?;
        (tenant.id == id).then_some(tenant)
    }

    pub(crate) fn tenants(&self) -> impl Iterator<Item = &RecordRef> {
        self.tenants.iter().flatten()
    }
}
