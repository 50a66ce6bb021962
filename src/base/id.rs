//! **Ids**: a task is named by a number that fits into one word.
//!
//! The usual executor names a task by a pointer. A pointer needs a reference count, and a reference that is never dropped keeps
//! the task's memory alive. An id is a plain number. It can be copied, sent to another thread and forgotten at no cost, and it
//! may outlive the task: a lookup then finds nothing.
//!
//! ```text
//!   63                     40 39                     16 15             0      (64-bit targets)
//!  ┌────────────────────────┬────────────────────────┬────────────────┐
//!  │       slot (24)        │     generation (24)    │   loop (16)    │
//!  └────────────────────────┴────────────────────────┴────────────────┘
//! ```
//!
//! The *slot* is an index into the loop's task table. The *generation* counts the tasks that have used this slot, so that the id
//! of a finished task does not match the next task in the same slot. The *loop* is the loop's index in the process. The slot
//! is in the highest bits because it is needed first, and one shift extracts it.
//!
//! Generations wrap around after 2²⁴ tasks in one slot (half as many if the table was cut meanwhile, see `room/trim.rs`). An id
//! that is older than that names the wrong task. A waker with such an id wakes a task without need, which std's contract allows.

use std::num::NonZeroUsize;

#[cfg(target_pointer_width = "64")]
mod width {
    pub(super) const SLOT: u32 = 24;
    pub(super) const GENERATION: u32 = 24;
}

/// Targets with 32 bits: 16 loops of 65,536 slots, of which 64,512 are for tasks.
#[cfg(not(target_pointer_width = "64"))]
mod width {
    pub(super) const SLOT: u32 = 16;
    pub(super) const GENERATION: u32 = 12;
}

const LOOP_WIDTH: u32 = usize::BITS - width::SLOT - width::GENERATION;

/// How many loops can be alive in one process.
pub(crate) const MAX_LOOPS: usize = 1 << LOOP_WIDTH;
/// How many tasks and callbacks can be alive on one loop.
pub(crate) const MAX_SLOTS: usize = 1 << width::SLOT;
/// All generations are less than this. After the last one comes [`FIRST_GENERATION`] again.
pub(crate) const GENERATIONS: u32 = 1 << width::GENERATION;
/// Not zero, so no id is zero, and an `Option<TaskId>` is one word too.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// How many generations there are.
pub(crate) const CYCLE: u32 = GENERATIONS - FIRST_GENERATION;

/// The first generation of a loop's slots, derived from any number.
pub(crate) fn first_generation_from(seed: u32) -> u32 {
    seed % CYCLE + FIRST_GENERATION
}

/// The generation of the next task in the same slot.
pub(crate) fn next_generation(generation: u32) -> u32 {
    if generation + 1 == GENERATIONS { FIRST_GENERATION } else { generation + 1 }
}

/// Packs the parts of an id into one word.
pub(crate) fn pack(loop_index: usize, slot: usize, generation: u32) -> usize {
    (slot << (width::GENERATION + LOOP_WIDTH)) | ((generation as usize) << LOOP_WIDTH) | loop_index
}

/// The index of the loop, the slot and the generation.
pub(crate) fn unpack(word: usize) -> (usize, usize, u32) {
    let generation = (word >> LOOP_WIDTH) as u32 & (GENERATIONS - 1);
    (word & (MAX_LOOPS - 1), slot_of_word(word), generation)
}

#[inline]
pub(crate) fn slot_of_word(word: usize) -> usize {
    word >> (width::GENERATION + LOOP_WIDTH)
}

/// Names one task, or one callback, of one loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskId(NonZeroUsize);

impl TaskId {
    pub(crate) fn new(loop_index: usize, slot: u32, generation: u32) -> TaskId {
        debug_assert!(loop_index < MAX_LOOPS && (slot as usize) < MAX_SLOTS);
        debug_assert!((FIRST_GENERATION..GENERATIONS).contains(&generation));
        let word = pack(loop_index, slot as usize, generation);
        TaskId(NonZeroUsize::new(word).expect("a generation is never zero"))
    }

    pub(crate) fn loop_index(self) -> usize {
        unpack(self.0.get()).0
    }

    pub(crate) fn slot(self) -> u32 {
        unpack(self.0.get()).1 as u32
    }

    pub(crate) fn generation(self) -> u32 {
        unpack(self.0.get()).2
    }

    pub(crate) fn word(self) -> usize {
        self.0.get()
    }

    pub(crate) fn of_word(word: usize) -> Option<TaskId> {
        NonZeroUsize::new(word).map(TaskId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generations_of_a_slot_go_round_and_none_is_zero() {
        let last = GENERATIONS - 1;
        for (seed, first) in [(0, 1), (1, 2), (CYCLE - 1, last), (CYCLE, 1), (CYCLE + 1, 2)] {
            assert_eq!(first_generation_from(seed), first);
        }
        assert_eq!([1, last - 1, last].map(next_generation), [2, last, 1]);
    }

    #[test]
    fn an_id_gives_back_what_was_packed() {
        for loop_index in [0, 1, MAX_LOOPS - 1] {
            for slot in [0, 1, 77, (MAX_SLOTS - 1) as u32] {
                for generation in [1, 2, GENERATIONS - 1] {
                    let id = TaskId::new(loop_index, slot, generation);
                    assert_eq!(id.loop_index(), loop_index);
                    assert_eq!(id.slot(), slot);
                    assert_eq!(id.generation(), generation);
                    assert_eq!(TaskId::of_word(id.word()), Some(id));
                }
            }
        }
    }
}
