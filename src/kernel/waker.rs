//! **Wakers**: an id, and a table of functions.
//!
//! The usual waker is a counted pointer to its task. Cloning and dropping it are atomic operations, and a waker that is never
//! dropped keeps the task's memory alive. Here the one word of a `RawWaker` *is* the id (`base/id.rs`). Drop does nothing, clone
//! sets a flag, and a waker may outlive its task, loop and thread. It is `Send + Sync` for the same reason as a `usize`.
//!
//! A wake-up looks up the id in the current loop. If that is not the loop of the task, it goes through the process-wide registry of
//! mailboxes (`mailbox/`) as a remote wake-up.
//!
//! Clone sets a flag because the crate's own futures copy the id and never clone a waker. So a clone means that foreign code holds
//! a waker, perhaps on another thread, and that the task can be woken from outside: its waker has *escaped*.
//!
//! The invariant, *No pointer*: the functions of a waker's table never dereference the word that they are given. They read an id
//! out of it, and may be called on any thread. No file without `unsafe` can break this.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::current::{with_current_loop, with_loop_of};
use crate::base::id::TaskId;
use crate::engine::Engine;

impl TaskId {
    /// A waker that carries this id.
    #[inline]
    pub(crate) fn waker(self) -> Waker {
        self.waker_with(&WAKER)
    }

    /// The same, for a task with the flag `WAKER_ESCAPED`.
    #[inline]
    pub(crate) fn escaped_waker(self) -> Waker {
        self.waker_with(&ESCAPED_WAKER)
    }

    #[inline]
    fn waker_with(self, vtable: &'static RawWakerVTable) -> Waker {
        // SAFETY: *No pointer*: any word will do, on any thread, and there is nothing to free.
        unsafe { Waker::new(ptr::without_provenance(self.word()), vtable) }
    }

    /// The id inside `waker`, if this crate created it.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> Option<TaskId> {
        if ptr::eq(waker.vtable(), &raw const WAKER)
            || ptr::eq(waker.vtable(), &raw const ESCAPED_WAKER)
        {
            TaskId::of_word(waker.data().addr())
        } else {
            None
        }
    }
}

static WAKER: RawWakerVTable = RawWakerVTable::new(clone, wake_word, wake_word, forget);

/// For a task whose waker has escaped: clones have no flag to set. ([`Waker::will_wake`] is false between the two
/// tables. So code that asks again in the poll of the first clone, which still has the other table, clones once more.)
static ESCAPED_WAKER: RawWakerVTable =
    RawWakerVTable::new(clone_again, wake_word, wake_word, forget);

fn clone(word: *const ()) -> RawWaker {
    if let Some(id) = TaskId::of_word(word.addr()) {
        note_escape(id);
    }
    clone_again(word)
}

fn clone_again(word: *const ()) -> RawWaker {
    RawWaker::new(word, &ESCAPED_WAKER)
}

fn wake_word(word: *const ()) {
    // An id contains the index of its loop. So if the current loop has a task with this id, it is the right one.
    if with_current_loop(|engine| engine.tasks.wake(word.addr())) != Some(true) {
        wake_elsewhere(word.addr());
    }
}

fn forget(_word: *const ()) {}

/// Wakes a task: on any thread, at any time, even after the task has ended.
#[inline]
pub(crate) fn wake(id: TaskId) {
    wake_word(ptr::without_provenance(id.word()));
}

/// Wakes a task of another loop. Does nothing if it is a task of the current loop: then it has ended.
#[inline(never)] // keeps the code for a task of the current loop short
fn wake_elsewhere(word: usize) {
    if let Some(id) = TaskId::of_word(word)
        && with_loop_of(id, |_| ()).is_none()
    {
        Engine::post_remote_wake(id);
    }
}

fn note_escape(id: TaskId) {
    if with_loop_of(id, |engine| engine.tasks.waker_has_escaped(id)).is_none() {
        Engine::note_escape_elsewhere(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_gives_back_its_id() {
        let id = TaskId::new(1, 2, 3);
        assert_eq!(TaskId::of(&id.waker()), Some(id));
        assert_eq!(TaskId::of(Waker::noop()), None);
    }

    #[test]
    fn wakers_of_one_task_know_each_other() {
        let (one, other) = (TaskId::new(1, 2, 3), TaskId::new(1, 2, 4));
        assert!(one.waker().will_wake(&one.waker()));
        assert!(!one.waker().will_wake(&other.waker()));
        // The polls after the first clone are given an `escaped_waker`.
        let clone = one.waker().clone();
        assert!(clone.will_wake(&one.escaped_waker()) && clone.will_wake(&clone.clone()));
        assert_eq!(TaskId::of(&clone), Some(one));
    }
}
