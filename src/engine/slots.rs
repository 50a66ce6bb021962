//! **The slot table**: from a task's number to its record.
//!
//! A slot is a pointer to the record of its tenant, which knows its own number. So whoever comes with a number compares it
//! with the tenant's: when a tenant leaves, the next one is of the next generation, and every waker that was made for the
//! earlier one points at nobody. Vacant slots are taken again, last left first taken, so that a loop whose tasks come and go
//! stays in the same few cache lines.

use super::record::RecordRef;
use super::waker::{FIRST_GENERATION, GENERATIONS, MAX_SLOTS, TaskId, next_generation};

/// A slot that can be had, and the generation that its next tenant will be.
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

    /// What the next [`insert`](Slots::insert) takes, or `None` when the table is full.
    #[inline]
    pub(crate) fn next_vacancy(&self) -> Option<Vacancy> {
        match self.vacant.last() {
            Some(vacancy) => Some(*vacancy),
            None if self.tenants.len() == MAX_SLOTS => None,
            None => {
                let slot = self.tenants.len() as u32;
                Some(Vacancy { slot, generation: self.first_generation })
            }
        }
    }

    /// Gives the next vacant slot to `record`, whose number was made for it.
    #[inline]
    pub(crate) fn insert(&mut self, record: RecordRef) {
        if let Some(Vacancy { slot, generation }) = self.vacant.pop() {
            debug_assert_eq!((slot, generation), (record.id.slot(), record.id.generation()));
            self.tenants[slot as usize] = Some(record);
        } else {
            debug_assert_eq!(self.tenants.len(), record.id.slot() as usize);
            self.tenants.push(Some(record));
        }
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
