//! **Room**: how many tasks and callbacks a table may hold.
//!
//! A table that grows without a limit ends a program that spawns faster than its tasks end: the machine runs out of memory, and the
//! error says nothing. So the number of tasks has a limit, which the user may lower, and a spawn beyond it is an error. An id has
//! room for so many slots only, and tasks leave the last of them to callbacks. So a loop that is full of tasks can still call the
//! callbacks that wait for the end of one.
//!
//! The table also becomes smaller again. While a slot in use is in the way, free slots near the end are avoided.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | how a task or callback gets a slot |
//! | `trim` | giving back memory that many tasks or timers have left behind |
//!
//! The numbers are in `base/room.rs`: the kernel's table owns a `Room`. The timers are trimmed through the engine.
//!
//! It stands on `base` and the kernel.

mod trim;

use std::cmp::Reverse;
use std::mem;

use crate::base::slack::push;
use crate::engine::Engine;
use crate::kernel::record::RecordRef;
use crate::kernel::table::{FreeSlot, Table};

pub(crate) use trim::TrimClock;

impl Table {
    /// Takes a slot for a task if there are few free ones, or none; `None` if there is no room for a task.
    #[cold]
    pub(crate) fn reserve_one_more(&mut self) -> Option<FreeSlot> {
        if self.len() < self.room.for_tasks() { self.reserve() } else { None }
    }

    /// Takes a slot for the main task. The limit on tasks does not apply to it: without a main task the others would never end.
    pub(crate) fn reserve_for_main(&mut self) -> Option<FreeSlot> {
        self.reserve()
    }

    /// Takes a slot for a callback; `None` if the table is full.
    pub(crate) fn reserve_for_callback(&mut self) -> Option<FreeSlot> {
        let free_slot = self.reserve()?;
        self.set_callbacks(self.room.callbacks + 1);
        Some(free_slot)
    }

    fn reserve(&mut self) -> Option<FreeSlot> {
        let Some(free_slot) = self.free.pop() else { return self.grow() };
        if (free_slot.slot as usize) < self.room.front {
            return Some(free_slot);
        }
        // The slot is where the table is to be cut. It joins those at the bottom of the list, in exchange for the one above them.
        if let Some(above) = self.free.get_mut(self.room.behind) {
            self.room.behind += 1;
            return Some(mem::replace(above, free_slot));
        }
        // No other slot is free: the table is as long as it has to be.
        self.room.front = usize::MAX;
        self.update_kept_free();
        Some(free_slot)
    }

    #[cold]
    fn grow(&mut self) -> Option<FreeSlot> {
        let slot = self.entries.len();
        if slot >= self.room.capacity {
            return None;
        }
        push(&mut self.entries, None);
        self.update_kept_free();
        Some(FreeSlot { slot: slot as u32, generation: self.first_generation })
    }

    /// A callback has ended, or will not be inserted.
    #[inline]
    pub(crate) fn callback_is_over(&mut self) {
        self.set_callbacks(self.room.callbacks - 1);
    }

    #[inline]
    fn set_callbacks(&mut self, callbacks: usize) {
        self.room.callbacks = callbacks;
        self.update_kept_free();
    }

    /// Called when the table's length or the number of callbacks has changed.
    #[inline]
    pub(crate) fn update_kept_free(&mut self) {
        self.kept_free = if self.room.front == usize::MAX {
            self.entries.len().saturating_sub(self.room.for_tasks())
        } else {
            usize::MAX
        };
    }

    /// How many tasks there may be beside the present callbacks.
    pub(crate) fn max_tasks(&self) -> usize {
        self.room.for_tasks().saturating_sub(self.room.callbacks)
    }

    /// How many tasks and callbacks there may be.
    pub(crate) fn capacity(&self) -> usize {
        self.room.capacity
    }

    /// Makes the table small, for tests of a full one.
    #[cfg(test)]
    pub(crate) fn set_room(&mut self, capacity: usize, capacity_for_tasks: usize) {
        (self.room.capacity, self.room.capacity_for_tasks) = (capacity, capacity_for_tasks);
    }

    /// Whether there is room for one more callback.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.room.capacity
    }
}

impl Engine {
    /// The tasks that are alive, oldest first, without callbacks.
    pub(crate) fn tasks(&self) -> Vec<RecordRef> {
        let table = self.tasks.table.borrow();
        let mut tasks: Vec<_> = table.iter().filter(|it| it.is_task()).cloned().collect();
        let last = self.last_serial.get();
        tasks.sort_by_key(|task| Reverse(last.wrapping_sub(task.serial))); // by age, as serials wrap around
        tasks
    }
}
