//! **Room**: how many tasks and callbacks a table may hold. These are the numbers; the rules are in the ring `room/`.

use super::id::MAX_SLOTS;
use super::slack::Slack;

/// How many slots are for callbacks only.
const RESERVED: usize = MAX_SLOTS / 64;
/// How many tasks can be alive on one loop.
pub(crate) const MAX_TASKS: usize = MAX_SLOTS - RESERVED;

/// The limits of one table.
#[derive(Debug)]
pub(crate) struct Room {
    /// How many of the records are callbacks.
    pub(crate) callbacks: usize,
    pub(crate) max_tasks: usize,
    /// The maximum length of the table, and the maximum length to which it grows for a task.
    pub(crate) capacity: usize,
    pub(crate) capacity_for_tasks: usize,
    /// Free slots from this index on are taken last, because the table is to be cut here. `usize::MAX` if it is not.
    pub(crate) front: usize,
    /// How many of those are at the bottom of the stack of free slots. Further ones, freed lately, may be at its top.
    pub(crate) behind: usize,
    pub(crate) slack: Slack,
}

impl Room {
    pub(crate) fn new(max_tasks: usize) -> Room {
        Room {
            callbacks: 0,
            max_tasks: max_tasks.min(MAX_TASKS),
            capacity: MAX_SLOTS,
            capacity_for_tasks: MAX_TASKS,
            front: usize::MAX,
            behind: 0,
            slack: Slack::default(),
        }
    }

    /// How many tasks and callbacks there may be in all, for a task to find room.
    #[inline]
    pub(crate) fn for_tasks(&self) -> usize {
        (self.max_tasks + self.callbacks).min(self.capacity_for_tasks)
    }
}
