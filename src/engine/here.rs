//! **Here**: which loop is running on this thread, which task it is polling, and what a waker does.
//!
//! A wake-up is the most frequent thing of all, and nearly every one is for the loop of this very thread. So the way from a
//! waker to that loop is as short as can be: a thread's variable, the slot table, one comparison, and the ready queue.
//!
//! The variable is a plain pointer. *It is null, or it came from `Rc::into_raw`, and an [`Entered`] further up this stack
//! holds that count*, which nobody forgets, and which puts back what was there before it.
//!
//! In the same way a loop knows the task that it is polling: *there is none, or [`Current::during`] further up this stack was
//! given a reference to it*.

#![allow(unsafe_code)] // one of the crate's two islands

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::record::{RecordRef, Uncounted};
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

/// The task that a loop is polling.
#[derive(Default)]
pub(super) struct Current(Cell<Option<Uncounted>>);

impl Current {
    /// While `poll` runs, this is the task.
    #[inline]
    pub(super) fn during<R>(&self, task: &RecordRef, poll: impl FnOnce() -> R) -> R {
        let _put_back = PutBack { current: self, before: None };
        self.0.set(Some(task.uncounted()));
        poll()
    }

    /// While `poll` runs, there is none.
    pub(super) fn hidden<R>(&self, poll: impl FnOnce() -> R) -> R {
        let _put_back = PutBack { current: self, before: self.0.take() };
        poll()
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.get().is_some()
    }

    #[inline]
    pub(super) fn look<R>(&self, look: impl FnOnce(&RecordRef) -> R) -> Option<R> {
        // SAFETY: `during` further up this stack borrows a counted reference, until after `look` has returned.
        self.0.get().map(|task| unsafe { task.look(look) })
    }
}

/// Puts back who was the current task before.
struct PutBack<'a> {
    current: &'a Current,
    before: Option<Uncounted>,
}

impl Drop for PutBack<'_> {
    #[inline]
    fn drop(&mut self) {
        self.current.0.set(self.before);
    }
}

impl TaskId {
    /// The waker that is this number.
    #[inline]
    pub(crate) fn waker(self) -> Waker {
        self.waker_with(&VTABLE)
    }

    /// The same, for a task of which it is known that code that is not ours keeps its waker.
    #[inline]
    pub(super) fn waker_at_large(self) -> Waker {
        self.waker_with(&AT_LARGE)
    }

    #[inline]
    fn waker_with(self, vtable: &'static RawWakerVTable) -> Waker {
        // SAFETY: the functions of both tables are thread-safe and never dereference the word they are
        // given; they read a number out of it. There is nothing to own, so nothing to free.
        unsafe { Waker::new(ptr::without_provenance(self.word()), vtable) }
    }

    /// A waker to be kept that wakes whom `waker` wakes. For ours this is no `clone`, which would count as
    /// somebody else's.
    pub(crate) fn keep(waker: &Waker) -> Waker {
        TaskId::of(waker).map_or_else(|| waker.clone(), TaskId::waker)
    }

    /// The number inside `waker`, if it is one of ours.
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
    // Our own leaves copy the number and never come here. So whoever does is somebody else's code that
    // keeps a waker, perhaps on another thread: from now on the outside may wake this task.
    if let Some(id) = TaskId::of_word(word.addr()) {
        waker_was_cloned(id);
    }
    clone_again(word)
}

fn clone_again(word: *const ()) -> RawWaker {
    RawWaker::new(word, &AT_LARGE)
}

fn wake_word(word: *const ()) {
    if let Some(id) = TaskId::of_word(word.addr()) {
        wake(id);
    }
}

fn forget(_word: *const ()) {}

/// What a waker does: from any thread, at any time.
pub(crate) fn wake(id: TaskId) {
    // The number says which loop, too: a task that is found under it is the one.
    if with_here(|engine| engine.make_ready(id)) != Some(true) {
        wake_elsewhere(id);
    }
}

/// A wake-up for another loop, or for nobody any more.
#[inline(never)] // the way to a task of this loop is to stay short
fn wake_elsewhere(id: TaskId) {
    if is_of_here(id, |_| ()).is_none() {
        registry::post(id);
    }
}

/// Code that is not ours keeps a waker of this task.
fn waker_was_cloned(id: TaskId) {
    let mark = |engine: &Engine| {
        engine.tasks.waker_is_at_large(id);
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
        assert!(one.waker().will_wake(&one.waker()));
        assert!(!one.waker().will_wake(&other.waker()));
        // A poll after the one in which it was cloned is given such a waker.
        let clone = one.waker().clone();
        assert!(clone.will_wake(&one.waker_at_large()) && clone.will_wake(&clone.clone()));
        assert_eq!(TaskId::of(&clone), Some(one));
    }
}
