//! **A waker is a number, not a pointer.**
//!
//! The usual waker is a reference-counted pointer to its task: cloning and dropping one are atomic
//! operations, and a waker that somebody forgot keeps the task's memory alive. Here the one word that
//! a [`RawWaker`] carries *is* the waker. It packs three small numbers:
//!
//! ```text
//!   63            48 47                    24 23                     0      (64-bit targets)
//!  ┌────────────────┬────────────────────────┬────────────────────────┐
//!  │   loop (16)    │       slot (24)        │     generation (24)    │
//!  └────────────────┴────────────────────────┴────────────────────────┘
//! ```
//!
//! *Which loop*, by its place in the registry; *which slot* of that loop's task table; and *which
//! generation* of the slot, so that a waker whose task is over is recognised and ignored although the
//! slot has a new tenant. Copying a number costs nothing and forgetting it leaks nothing, so clone and
//! drop do nothing, a clone may outlive task, loop and thread, and `Send + Sync` are true for the reason
//! they are true of `usize`.
//!
//! A generation returns after 2²⁴ tenants of one slot. A waker that was kept for that long wakes a
//! stranger once, which std's contract allows: a future may always be polled without need.
//!
//! What a wake does is not decided here: [`here::wake`] is handed the number.

#![allow(unsafe_code)] // one of the crate's two islands: `RawWaker` has no safe constructor

use std::num::NonZeroUsize;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::here;

#[cfg(target_pointer_width = "64")]
mod width {
    pub(super) const SLOT: u32 = 24;
    pub(super) const GENERATION: u32 = 24;
}

/// On smaller targets the same three numbers share 32 bits: 16 loops of 65,536 tasks.
#[cfg(not(target_pointer_width = "64"))]
mod width {
    pub(super) const SLOT: u32 = 16;
    pub(super) const GENERATION: u32 = 12;
}

/// How many loops may live in one process at one time.
pub(crate) const MAX_LOOPS: usize = 1 << (usize::BITS - width::SLOT - width::GENERATION);
/// How many tasks may live on one loop at one time.
pub(crate) const MAX_SLOTS: usize = 1 << width::SLOT;
/// Generations are below this; they begin with [`FIRST_GENERATION`] again after the last one.
pub(crate) const GENERATIONS: u32 = 1 << width::GENERATION;
/// Not zero, so that no id is: an `Option<TaskId>` is one word too.
pub(crate) const FIRST_GENERATION: u32 = 1;

/// The tenant after this one is of the next generation.
pub(crate) fn next_generation(generation: u32) -> u32 {
    if generation + 1 == GENERATIONS { FIRST_GENERATION } else { generation + 1 }
}

/// The number that stands for one task of one loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskId(NonZeroUsize);

impl TaskId {
    pub(crate) fn new(loop_index: usize, slot: u32, generation: u32) -> TaskId {
        debug_assert!(loop_index < MAX_LOOPS && (slot as usize) < MAX_SLOTS);
        debug_assert!((FIRST_GENERATION..GENERATIONS).contains(&generation));
        let word = (loop_index << (width::SLOT + width::GENERATION))
            | ((slot as usize) << width::GENERATION)
            | generation as usize;
        TaskId(NonZeroUsize::new(word).expect("a generation is never zero"))
    }

    pub(crate) fn loop_index(self) -> usize {
        self.0.get() >> (width::SLOT + width::GENERATION)
    }

    pub(crate) fn slot(self) -> u32 {
        ((self.0.get() >> width::GENERATION) & (MAX_SLOTS - 1)) as u32
    }

    pub(crate) fn generation(self) -> u32 {
        self.0.get() as u32 & (GENERATIONS - 1)
    }

    /// The waker that is this number.
    pub(crate) fn waker(self) -> Waker {
        // SAFETY: the four functions of `VTABLE` are thread-safe and never dereference the word they
        // are given; they read a number out of it. There is nothing to own, so nothing to free.
        unsafe { Waker::new(ptr::without_provenance(self.0.get()), &VTABLE) }
    }

    /// A waker to be kept that wakes whom `waker` wakes. For ours this is no `clone`, which would count as
    /// somebody else's.
    pub(crate) fn keep(waker: &Waker) -> Waker {
        TaskId::of(waker).map_or_else(|| waker.clone(), TaskId::waker)
    }

    fn in_word(word: *const ()) -> Option<TaskId> {
        NonZeroUsize::new(word.addr()).map(TaskId)
    }

    /// The number inside `waker`, if it is one of ours.
    pub(crate) fn of(waker: &Waker) -> Option<TaskId> {
        if ptr::eq(waker.vtable(), &raw const VTABLE) {
            TaskId::in_word(waker.data())
        } else {
            None
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, forget);

fn clone(word: *const ()) -> RawWaker {
    // Our own leaves copy the number and never come here. So whoever does is somebody else's code that
    // keeps a waker, perhaps on another thread: from now on the outside may wake this task.
    if let Some(id) = TaskId::in_word(word) {
        here::waker_was_cloned(id);
    }
    RawWaker::new(word, &VTABLE)
}

fn wake(word: *const ()) {
    if let Some(id) = TaskId::in_word(word) {
        here::wake(id);
    }
}

fn forget(_word: *const ()) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_back_what_was_packed() {
        for loop_index in [0, 1, MAX_LOOPS - 1] {
            for slot in [0, 1, 77, (MAX_SLOTS - 1) as u32] {
                for generation in [1, 2, GENERATIONS - 1] {
                    let id = TaskId::new(loop_index, slot, generation);
                    assert_eq!(id.loop_index(), loop_index);
                    assert_eq!(id.slot(), slot);
                    assert_eq!(id.generation(), generation);
                    assert_eq!(TaskId::of(&id.waker()), Some(id));
                }
            }
        }
    }

    #[test]
    fn a_foreign_waker_is_not_ours() {
        assert_eq!(TaskId::of(Waker::noop()), None);
    }

    #[test]
    fn wakers_of_one_task_know_each_other() {
        let (one, other) = (TaskId::new(1, 2, 3), TaskId::new(1, 2, 4));
        assert!(one.waker().will_wake(&one.waker().clone()));
        assert!(!one.waker().will_wake(&other.waker()));
    }
}
