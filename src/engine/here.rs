//! **Here**: which loop is running on this thread, and what a waker does.
//!
//! A wake-up is the most frequent thing of all, and nearly every one is for the loop of this very thread. So the way from a
//! waker to that loop is as short as can be: a thread's variable, one comparison, and the ready queue.
//!
//! The variable is a plain pointer. *It is null, or it came from `Rc::into_raw`, and an [`Entered`] further up this stack
//! holds that count*, which nobody forgets, and which puts back what was there before it.

#![allow(unsafe_code)] // one of the crate's two islands

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::registry;
use super::turn::Engine;
use super::waker::TaskId;

thread_local! {
    /// The loop that is running on this thread.
    static HERE: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

/// While it lives, its loop is the current one of this thread.
#[derive(Debug)]
pub(crate) struct Entered {
    /// From `Rc::into_raw`: one count.
    engine: *const Engine,
    before: *const Engine,
}

impl Engine {
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        let engine = Rc::into_raw(self.clone());
        Entered { engine, before: HERE.replace(engine) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(self.before);
        // SAFETY: from `Rc::into_raw`, and given back once. The thread's variable does not lead here any more.
        drop(unsafe { Rc::from_raw(self.engine) });
    }
}

/// Gives `look` the loop that is running on this thread, if there is one.
pub(crate) fn with_here<R>(look: impl FnOnce(&Engine) -> R) -> Option<R> {
    // SAFETY: if it is not null an `Entered` on this stack keeps the loop alive, until after `look` has returned.
    unsafe { HERE.get().as_ref() }.map(look)
}

/// The loop that is running on this thread.
pub(crate) fn running() -> Option<Rc<Engine>> {
    let engine = HERE.get();
    if engine.is_null() {
        return None;
    }
    // SAFETY: not null, so it came from `Rc::into_raw`, and an `Entered` holds a count.
    unsafe { Rc::increment_strong_count(engine) };
    // SAFETY: the count of the line above.
    Some(unsafe { Rc::from_raw(engine) })
}

impl TaskId {
    /// The waker that is this number.
    pub(crate) fn waker(self) -> Waker {
        // SAFETY: the four functions of `VTABLE` are thread-safe and never dereference the word they
        // are given; they read a number out of it. There is nothing to own, so nothing to free.
        unsafe { Waker::new(ptr::without_provenance(self.word()), &VTABLE) }
    }

    /// A waker to be kept that wakes whom `waker` wakes. For ours this is no `clone`, which would count as
    /// somebody else's.
    pub(crate) fn keep(waker: &Waker) -> Waker {
        TaskId::of(waker).map_or_else(|| waker.clone(), TaskId::waker)
    }

    /// The number inside `waker`, if it is one of ours.
    pub(crate) fn of(waker: &Waker) -> Option<TaskId> {
        if ptr::eq(waker.vtable(), &raw const VTABLE) {
            TaskId::of_word(waker.data().addr())
        } else {
            None
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake_word, wake_word, forget);

fn clone(word: *const ()) -> RawWaker {
    // Our own leaves copy the number and never come here. So whoever does is somebody else's code that
    // keeps a waker, perhaps on another thread: from now on the outside may wake this task.
    if let Some(id) = TaskId::of_word(word.addr()) {
        waker_was_cloned(id);
    }
    RawWaker::new(word, &VTABLE)
}

fn wake_word(word: *const ()) {
    if let Some(id) = TaskId::of_word(word.addr()) {
        wake(id);
    }
}

fn forget(_word: *const ()) {}

/// What a waker does: from any thread, at any time.
pub(crate) fn wake(id: TaskId) {
    if is_of_here(id, |engine| engine.make_ready(id)).is_none() {
        registry::post(id);
    }
}

/// Code that is not ours keeps a waker of this task. Mostly that is known.
#[inline]
fn waker_was_cloned(id: TaskId) {
    let is_known = is_of_here(id, |engine| {
        engine.tasks.borrow().slots.has_waker_at_large(id.slot(), id.generation())
    });
    if is_known != Some(true) {
        waker_is_at_large(id);
    }
}

#[inline(never)]
fn waker_is_at_large(id: TaskId) {
    let mark = |engine: &Engine| {
        engine.tasks.borrow_mut().slots.waker_is_at_large(id.slot(), id.generation());
    };
    if is_of_here(id, mark).is_none() {
        registry::waker_was_cloned_elsewhere(id);
    }
}

/// Gives `look` the loop of this task, if that is the one that is running on this thread.
fn is_of_here<R>(id: TaskId, look: impl FnOnce(&Engine) -> R) -> Option<R> {
    with_here(|engine| (engine.loop_index() == id.loop_index()).then(|| look(engine))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_gives_back_its_number() {
        let id = TaskId::new(1, 2, 3);
        assert_eq!(TaskId::of(&id.waker()), Some(id));
        assert_eq!(TaskId::of(Waker::noop()), None);
    }

    #[test]
    fn wakers_of_one_task_know_each_other() {
        let (one, other) = (TaskId::new(1, 2, 3), TaskId::new(1, 2, 4));
        assert!(one.waker().will_wake(&one.waker().clone()));
        assert!(!one.waker().will_wake(&other.waker()));
    }
}
