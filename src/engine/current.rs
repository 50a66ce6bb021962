//! **The current loop, and the current task**: which loop is running on this thread, and which task it is polling.
//!
//! A wake-up is the most frequent thing of all, and nearly every one is for the loop of this very thread. So the way from a
//! waker to that loop is as short as can be: a thread's variable, which is a plain pointer. A counted reference in a `RefCell`
//! would be safe without a word of explanation, and cost more than the wake-up itself.
//!
//! The invariants:
//!
//! 1. *Entered*: the thread's variable is null, or a call of [`Engine::enter`] further up this stack holds a count of the loop that
//!    it leads to. `enter` takes a function, so calls nest as the stack does, and each puts back what was there before.
//! 2. *Current*: in the same way a loop has no current task, or a call of [`Current::during`] further up this stack was given a
//!    reference to it.
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

use super::record::{RecordRef, Uncounted};
use super::turn::Engine;
use super::waker::TaskId;

thread_local! {
    /// The loop that is running on this thread.
    static CURRENT: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

impl Engine {
    /// While `run` runs, this is the current loop of the thread.
    pub(crate) fn enter<R>(self: &Rc<Self>, run: impl FnOnce() -> R) -> R {
        /// Holds the count until the variable does not lead to the loop any more.
        struct Entered {
            _engine: Rc<Engine>,
            before: *const Engine,
        }
        impl Drop for Entered {
            fn drop(&mut self) {
                CURRENT.set(self.before);
            }
        }
        let _entered = Entered { _engine: self.clone(), before: CURRENT.replace(Rc::as_ptr(self)) };
        run()
    }
}

/// Gives `inspect` the loop that is running on this thread, if there is one.
pub(crate) fn with_current_loop<R>(inspect: impl FnOnce(&Engine) -> R) -> Option<R> {
    // SAFETY: *Entered*: if it is not null, a call further up this stack keeps the loop alive until after `inspect` has returned.
    unsafe { CURRENT.get().as_ref() }.map(inspect)
}

/// The loop that is running on this thread.
pub(crate) fn running() -> Option<Rc<Engine>> {
    let engine = CURRENT.get();
    if engine.is_null() {
        return None;
    }
    // SAFETY: *Entered*: it is not null, so it is the pointer of an `Rc` of which a call further up this stack holds a count.
    unsafe { Rc::increment_strong_count(engine) };
    // SAFETY: *Entered*: this is the count of the line above.
    Some(unsafe { Rc::from_raw(engine) })
}

/// Gives `inspect` the loop of this task, if that is the one that is running on this thread.
pub(super) fn with_loop_of<R>(id: TaskId, inspect: impl FnOnce(&Engine) -> R) -> Option<R> {
    let inspect_own =
        |engine: &Engine| (engine.loop_index() == id.loop_index()).then(|| inspect(engine));
    with_current_loop(inspect_own).flatten()
}

/// The task that a loop is polling.
#[derive(Default)]
pub(crate) struct Current {
    task: Cell<Option<Uncounted>>,
    /// The one that is hidden.
    hidden: Cell<Option<Uncounted>>,
}

impl Current {
    /// While `poll` runs, this is the task.
    #[inline]
    pub(super) fn during<R>(&self, task: &RecordRef, poll: impl FnOnce() -> R) -> R {
        let _put_back = PutBack { place: &self.task, before: None };
        self.task.set(Some(task.uncounted()));
        poll()
    }

    /// While `poll` runs, there is none, but for [`with_hidden`](Current::with_hidden).
    pub(crate) fn hidden<R>(&self, poll: impl FnOnce() -> R) -> R {
        let task = self.task.take();
        let _put_back = PutBack { place: &self.task, before: task };
        let hidden = task.or(self.hidden.get());
        let _put_back_hidden = PutBack { place: &self.hidden, before: self.hidden.replace(hidden) };
        poll()
    }

    pub(crate) fn is_some(&self) -> bool {
        self.task.get().is_some()
    }

    /// The current task, even if it is hidden.
    pub(super) fn with_hidden<R>(&self, inspect: impl FnOnce(&RecordRef) -> R) -> Option<R> {
        let task = self.task.get().or(self.hidden.get());
        // SAFETY: *Current*: `during` further up this stack borrows a counted reference until after `inspect` has returned; that it
        // is hidden meanwhile changes nothing.
        task.map(|task| unsafe { task.with(inspect) })
    }

    #[inline]
    pub(crate) fn with<R>(&self, inspect: impl FnOnce(&RecordRef) -> R) -> Option<R> {
        // SAFETY: *Current*: `during` further up this stack borrows a counted reference until after `inspect` has returned.
        self.task.get().map(|task| unsafe { task.with(inspect) })
    }
}

/// Puts back the task that was there before.
struct PutBack<'a> {
    place: &'a Cell<Option<Uncounted>>,
    before: Option<Uncounted>,
}

impl Drop for PutBack<'_> {
    #[inline]
    fn drop(&mut self) {
        self.place.set(self.before);
    }
}
