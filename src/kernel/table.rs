//! **The task table**: from an id to a record.
//!
//! A hash map would do, and would hash at every wake-up. This is an array: the slot in an id (`base/id.rs`) is the index, so a
//! lookup is one bounds check and one comparison of ids. When a task ends its slot is freed, and the next task in that slot has the
//! next generation. An id that outlives its task, in a waker or a timer, then matches nothing: a stale wake-up is ignored.
//!
//! The slot freed last is taken first, so a loop whose tasks come and go stays in the same few cache lines. How many tasks a table
//! may hold, and when it shrinks, is in `room/` (by `base/slack.rs`).

use std::mem;

use super::record::RecordRef;
use crate::base::id::{TaskId, first_generation_from, next_generation, slot_of_word};
use crate::base::room::Room;

/// A slot without a record, and the generation of the next record in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeSlot {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// All tasks and callbacks of one loop that have not ended.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Option<RecordRef>>,
    /// A stack of free slots. Not in it: a slot that is reserved.
    pub(crate) free: Vec<FreeSlot>,
    /// If at most this many slots are free, reserving one takes the slow path in `room/`. Mostly zero: then the check for room and
    /// the check for a free slot are the same comparison.
    pub(crate) kept_free: usize,
    /// The generation of the slots that are added when the table grows.
    pub(crate) first_generation: u32,
    pub(crate) room: Room,
}

impl Table {
    /// `first_generation` differs from loop to loop, so that wakers of an earlier loop with the same index match nothing here.
    pub(crate) fn new(first_generation: u32, max_tasks: usize) -> Table {
        Table {
            entries: Vec::new(),
            free: Vec::new(),
            kept_free: 0,
            first_generation: first_generation_from(first_generation),
            room: Room::new(max_tasks),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Reserves a slot for a task that is inserted next; `None` if there is no room for a task.
    #[inline]
    pub(crate) fn reserve_for_task(&mut self) -> Option<FreeSlot> {
        if self.free.len() > self.kept_free { self.free.pop() } else { self.reserve_one_more() }
    }

    /// Frees a slot that was reserved and is not used.
    pub(crate) fn give_back(&mut self, free_slot: FreeSlot) {
        self.free.push(free_slot);
    }

    /// Inserts a record into the slot that was reserved for it.
    #[inline]
    pub(crate) fn insert(&mut self, record: RecordRef) {
        let slot = record.id.slot() as usize;
        let nothing = self.entries[slot].replace(record);
        debug_assert!(nothing.is_none(), "a free slot has no entry");
        mem::forget(nothing); // so the compiler emits no call of a destructor
    }

    /// Removes the record and returns it: dropping it may run foreign code.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<RecordRef> {
        let entry = self.entries.get_mut(id.slot() as usize)?.take_if(|entry| entry.id == id)?;
        let generation = next_generation(id.generation());
        self.free.push(FreeSlot { slot: id.slot(), generation });
        Some(entry)
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&RecordRef> {
        self.get_by_word(id.word())
    }

    /// The same for the word of an id. A word that is no id matches nothing.
    #[inline]
    pub(crate) fn get_by_word(&self, word: usize) -> Option<&RecordRef> {
        let entry = self.entries.get(slot_of_word(word))?.as_ref()?;
        (entry.id.word() == word).then_some(entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RecordRef> {
        self.entries.iter().flatten()
    }
}
