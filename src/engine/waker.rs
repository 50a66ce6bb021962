//! **A waker is a number, not a pointer.**
//!
//! The usual waker is a reference-counted pointer to its task: cloning and dropping one are atomic
//! operations, and a waker that somebody forgot keeps the task's memory alive. Here the one word that
//! a `RawWaker` carries *is* the waker. It packs three small numbers:
//!
//! ```text
//!   63                     40 39                     16 15             0      (64-bit targets)
//!  ┌────────────────────────┬────────────────────────┬────────────────┐
//!  │       slot (24)        │     generation (24)    │   loop (16)    │
//!  └────────────────────────┴────────────────────────┴────────────────┘
//! ```
//!
//! *Which loop*, by its place in the registry; *which slot* of that loop's task table; and *which
//! generation* of the slot, so that a waker whose task is over is recognised and ignored although the
//! slot has a new tenant. (The slot stands on top: it is what is needed first, and one shift away.)
//!
//! Copying a number costs nothing and forgetting it leaks nothing, so drop does nothing, clone next to nothing (it notes that
//! there is one), a clone may outlive task, loop and thread, and `Send + Sync` are true for the reason they are true of
//! `usize`.
//!
//! A generation returns after 2²⁴ tenants of one slot (half as many, if the table has been cut meanwhile; see `slots.rs`). A waker that was kept for that long wakes a
//! stranger once, which std's contract allows: a future may always be polled without need.
//!
//! The invariant, *No pointer*: the functions of a waker's table never dereference the word that they are given. They read a
//! number out of it, and are thread-safe.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::num::NonZeroUsize;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::current::{with_current_loop, with_loop_of};
use super::registry;

#[cfg(target_pointer_width = "64")]
mod width {
    pub(super) const SLOT: u32 = 24;
    pub(super) const GENERATION: u32 = 24;
}

const LOOP_WIDTH: u32 = usize::BITS - width::SLOT - width::GENERATION;

/// On smaller targets the same three numbers share 32 bits: 16 loops of 65,536 tasks.
#[cfg(not(target_pointer_width = "64"))]
mod width {
    pub(super) const SLOT: u32 = 16;
    pub(super) const GENERATION: u32 = 12;
}

/// How many loops may live in one process at one time.
pub(crate) const MAX_LOOPS: usize = 1 << LOOP_WIDTH;
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

/// Three numbers in one word.
pub(super) fn pack(loop_index: usize, slot: usize, generation: u32) -> usize {
    (slot << (width::GENERATION + LOOP_WIDTH)) | ((generation as usize) << LOOP_WIDTH) | loop_index
}

#[inline]
pub(super) fn slot_of_word(word: usize) -> usize {
    word >> (width::GENERATION + LOOP_WIDTH)
}

pub(super) fn unpack(word: usize) -> (usize, usize, u32) {
    let slot = slot_of_word(word);
    let generation = (word >> LOOP_WIDTH) as u32 & (GENERATIONS - 1);
    (word & (MAX_LOOPS - 1), slot, generation)
}

/// The number that stands for one task of one loop.
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

    /// As the one word that a waker carries.
    pub(super) fn word(self) -> usize {
        self.0.get()
    }

    pub(super) fn of_word(word: usize) -> Option<TaskId> {
        NonZeroUsize::new(word).map(TaskId)
    }
}

impl TaskId {
    /// The waker that is this number.
    #[inline]
    pub(crate) fn waker(self) -> Waker {
        self.waker_with(&VTABLE)
    }

    /// The same, for a task of which it is known that foreign code keeps its waker.
    #[inline]
    pub(super) fn waker_at_large(self) -> Waker {
        self.waker_with(&AT_LARGE)
    }

    #[inline]
    fn waker_with(self, vtable: &'static RawWakerVTable) -> Waker {
        // SAFETY: *No pointer*: there is nothing to own, so nothing to free.
        unsafe { Waker::new(ptr::without_provenance(self.word()), vtable) }
    }

    /// The number inside `waker`, if it is one of ours.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<TaskId> {
        if ptr::eq(waker.vtable(), &raw const VTABLE)
            || ptr::eq(waker.vtable(), &raw const AT_LARGE)
        {
            TaskId::of_word(waker.data().addr())
        } else {
            None
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_word, wake_word, forget);

/// Once it is known that a waker was cloned, clones cost nothing. (The waker of that one poll and its clones do not
/// [know each other](Waker::will_wake) as the same, which costs whoever asks one clone more.)
static AT_LARGE: RawWakerVTable = RawWakerVTable::new(clone_again, wake_word, wake_word, forget);

fn clone(word: *const ()) -> RawWaker {
    // Our own leaves copy the number and never come here. So this is foreign code that keeps a waker, perhaps on another
    // thread: from now on the outside may wake the task.
    if let Some(id) = TaskId::of_word(word.addr()) {
        waker_was_cloned(id);
    }
    clone_again(word)
}

fn clone_again(word: *const ()) -> RawWaker {
    RawWaker::new(word, &AT_LARGE)
}

fn wake_word(word: *const ()) {
    // The number says which loop, too: a task that is found under it is the one.
    if with_current_loop(|engine| engine.tasks.wake(word.addr())) != Some(true) {
        wake_elsewhere(word.addr());
    }
}

fn forget(_word: *const ()) {}

/// What a waker does: from any thread, at any time.
#[inline]
pub(crate) fn wake(id: TaskId) {
    wake_word(ptr::without_provenance(id.word()));
}

/// Whether a task of this loop that a cancel has interrupted may not have run yet.
#[inline]
pub(crate) fn any_is_cancelled() -> bool {
    with_current_loop(|engine| engine.tasks.any_is_interrupted()).unwrap_or(false)
}

/// Whether a cancel has interrupted this task of this loop, and it has not run since.
pub(super) fn is_cancelled(id: TaskId) -> bool {
    with_current_loop(|engine| engine.tasks.is_cancelled(id)).unwrap_or(false)
}

/// A wake-up for another loop, or for a task that is over.
#[inline(never)] // the way to a task of this loop is to stay short
fn wake_elsewhere(word: usize) {
    if let Some(id) = TaskId::of_word(word)
        && with_loop_of(id, |_| ()).is_none()
    {
        registry::post(id);
    }
}

/// Foreign code keeps a waker of this task.
fn waker_was_cloned(id: TaskId) {
    if with_loop_of(id, |engine| engine.tasks.waker_is_at_large(id)).is_none() {
        registry::waker_was_cloned_elsewhere(id);
    }
}

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
                    assert_eq!(TaskId::of_word(id.word()), Some(id));
                }
            }
        }
    }

    #[test]
    fn a_waker_gives_back_its_number() {
        let id = TaskId::new(1, 2, 3);
        assert_eq!(TaskId::of(&id.waker()), Some(id));
        assert_eq!(TaskId::of(Waker::noop()), None);
    }

    #[test]
    fn wakers_of_one_task_know_each_other() {
        let (one, other) = (TaskId::new(1, 2, 3), TaskId::new(1, 2, 4));
        assert!(one.waker().will_wake(&one.waker()));
        assert!(!one.waker().will_wake(&other.waker()));
        // A poll after the one in which it was cloned is given such a waker.
        let clone = one.waker().clone();
        assert!(clone.will_wake(&one.waker_at_large()) && clone.will_wake(&clone.clone()));
        assert_eq!(TaskId::of(&clone), Some(one));
    }
}
