//! **The current loop, and the current task**: the loop entered last on this thread, and the task that it polls.
//!
//! A wake-up is the most frequent operation, and nearly always for the loop of this thread. The naive answer is a thread-local
//! `RefCell<Option<Rc<Engine>>>`: safe, but it costs more than the rest of the wake-up. Here the thread-local is a plain pointer.
//!
//! The invariants (an engine never leaves its thread, so "the stack" is the stack of that thread):
//!
//! 1. *Entered*: the thread-local is null, or a call of [`Engine::enter`] further up the stack holds a count of the loop that it
//!    points to. `enter` takes a closure, so calls nest as the stack does, and each restores the value that it found.
//! 2. *Current*: the cells of a [`Current`] are `None`, or a call of [`Current::during`] further up the stack borrows a counted
//!    reference to that task. `during` leaves `None` in its cell when it returns. `hidden` restores the values that it found: they
//!    were set further up the stack, so the same `during` still runs.
//!
//! It rests on *Counted* of `record/mod.rs`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;

use super::record::{RecordRef, Uncounted};
use crate::base::id::TaskId;
use crate::engine::Engine;

thread_local! {
    /// The loop that runs on this thread.
    static CURRENT: Cell<*const Engine> = const { Cell::new(ptr::null()) };
}

impl Engine {
    /// Calls `run` with this loop as the current loop of the thread.
    pub(crate) fn enter<R>(self: &Rc<Self>, run: impl FnOnce() -> R) -> R {
        let _entered =
            Entered { before: CURRENT.replace(Rc::as_ptr(self)), _engine: Some(self.clone()) };
        run()
    }
}

/// Calls `run` with no current loop.
pub(crate) fn outside<R>(run: impl FnOnce() -> R) -> R {
    let _left = Entered { before: CURRENT.replace(ptr::null()), _engine: None };
    run()
}

/// Holds a count of the loop until the thread-local no longer points to it. The field is dropped after `drop` has run.
struct Entered {
    before: *const Engine,
    _engine: Option<Rc<Engine>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Calls `inspect` with the loop that runs on this thread, if there is one.
pub(crate) fn with_current_loop<R>(inspect: impl FnOnce(&Engine) -> R) -> Option<R> {
    // SAFETY: *Entered*: if it is not null, a call further up the stack keeps the loop alive until after `inspect` has returned.
    unsafe { CURRENT.get().as_ref() }.map(inspect)
}

/// The loop that runs on this thread.
pub(crate) fn running() -> Option<Rc<Engine>> {
    let engine = CURRENT.get();
    if engine.is_null() {
        return None;
    }
    // SAFETY: *Entered*: it is not null, so it came from an `Rc` of which a call further up the stack holds a count.
    unsafe { Rc::increment_strong_count(engine) };
    // SAFETY: *Entered*: as above; the new `Rc` owns the count that the line above has added.
    Some(unsafe { Rc::from_raw(engine) })
}

/// Calls `inspect` with the loop that runs on this thread, as a reference that can be cloned.
pub(crate) fn with_running<R>(inspect: impl FnOnce(&Rc<Engine>) -> R) -> Option<R> {
    let engine = CURRENT.get();
    if engine.is_null() {
        return None;
    }
    // SAFETY: *Entered*: it is not null, so it came from an `Rc` of which a call further up the stack holds a count until after
    // `inspect` has returned. This one owns no count, and is not dropped.
    let engine = ManuallyDrop::new(unsafe { Rc::from_raw(engine) });
    Some(inspect(&engine))
}

/// Calls `inspect` with the loop of this task, if that is the current loop: not if it is one further up the stack.
pub(crate) fn with_loop_of<R>(id: TaskId, inspect: impl FnOnce(&Engine) -> R) -> Option<R> {
    let inspect_own =
        |engine: &Engine| (engine.loop_index() == id.loop_index()).then(|| inspect(engine));
    with_current_loop(inspect_own).flatten()
}

/// Calls `inspect` with the task that is being polled on this thread, if there is one.
#[inline]
pub(crate) fn with_task<R>(inspect: impl FnOnce(&RecordRef) -> R) -> Option<R> {
    with_current_loop(|engine| engine.current.with(inspect)).flatten()
}

/// The task that is being polled on this thread.
pub(crate) fn task() -> Option<RecordRef> {
    with_task(RecordRef::clone)
}

/// The task that a loop polls.
#[derive(Default)]
pub(crate) struct Current {
    task: Cell<Option<Uncounted>>,
    /// The task that is being polled while [`hidden`](Current::hidden) runs.
    hidden: Cell<Option<Uncounted>>,
}

impl Current {
    /// Calls `poll` with this task as the current one; afterwards there is none.
    #[inline]
    pub(crate) fn during<R>(&self, task: &RecordRef, poll: impl FnOnce() -> R) -> R {
        let _restore = Restore { cell: &self.task, value: None };
        self.task.set(Some(task.uncounted()));
        poll()
    }

    /// Calls `poll` with no current task, except for [`with_hidden`](Current::with_hidden). Joins in `poll` then find no task on
    /// which they could note what is awaited.
    pub(crate) fn hidden<R>(&self, poll: impl FnOnce() -> R) -> R {
        let task = self.task.take();
        let _restore = Restore { cell: &self.task, value: task };
        let hidden = task.or(self.hidden.get());
        let _restore_hidden = Restore { cell: &self.hidden, value: self.hidden.replace(hidden) };
        poll()
    }

    /// The current task, even if it is hidden.
    pub(crate) fn with_hidden<R>(&self, inspect: impl FnOnce(&RecordRef) -> R) -> Option<R> {
        let task = self.task.get().or(self.hidden.get());
        // SAFETY: *Current*: a `during` further up the stack borrows a counted reference until after `inspect` has returned.
        task.map(|task| unsafe { task.with(inspect) })
    }

    #[inline]
    pub(crate) fn with<R>(&self, inspect: impl FnOnce(&RecordRef) -> R) -> Option<R> {
        // SAFETY: *Current*: as in `with_hidden`.
        self.task.get().map(|task| unsafe { task.with(inspect) })
    }
}

/// Sets a cell when it is dropped, also if the poll panics.
struct Restore<'a> {
    cell: &'a Cell<Option<Uncounted>>,
    value: Option<Uncounted>,
}

impl Drop for Restore<'_> {
    #[inline]
    fn drop(&mut self) {
        self.cell.set(self.value);
    }
}
