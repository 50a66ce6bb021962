//! **Here**: which loop is running on this thread, and what a wake-up does about it.

use std::cell::RefCell;
use std::rc::Rc;

use super::registry;
use super::turn::Engine;
use super::waker::TaskId;

thread_local! {
    /// The loop that is running on this thread.
    static HERE: RefCell<Option<Rc<Engine>>> = const { RefCell::new(None) };
}

/// While it lives, its loop is the current one of this thread.
#[derive(Debug)]
pub(crate) struct Entered {
    before: Option<Rc<Engine>>,
}

impl Engine {
    pub(crate) fn enter(self: &Rc<Self>) -> Entered {
        // A loop may be dropped among a thread's own variables, when this one is gone already.
        Entered { before: HERE.try_with(|here| here.replace(Some(self.clone()))).ok().flatten() }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = HERE.try_with(|here| here.replace(self.before.take()));
        drop(left); // after the borrow
    }
}

/// Gives `look` the loop that is running on this thread, if there is one. `look` must not run code of others.
pub(crate) fn with_here<R>(look: impl FnOnce(&Rc<Engine>) -> R) -> Option<R> {
    // While a thread's variables are being destroyed there is no cell to look into, and no loop runs either.
    HERE.try_with(|here| here.borrow().as_ref().map(look)).ok().flatten()
}

/// The loop that is running on this thread.
pub(crate) fn running() -> Option<Rc<Engine>> {
    with_here(Rc::clone)
}

/// What a waker does: from any thread, at any time.
pub(crate) fn wake(id: TaskId) {
    let is_here = with_here(|engine| {
        let is_its_loop = engine.loop_index() == id.loop_index();
        if is_its_loop {
            engine.make_ready(id);
        }
        is_its_loop
    });
    if is_here != Some(true) {
        registry::post(id);
    }
}

/// Code that is not ours keeps a waker of this task.
pub(crate) fn waker_was_cloned(id: TaskId) {
    let is_here = with_here(|engine| {
        let is_its_loop = engine.loop_index() == id.loop_index();
        if is_its_loop {
            engine.slots.borrow_mut().waker_is_at_large(id.slot(), id.generation());
        }
        is_its_loop
    });
    if is_here != Some(true) {
        registry::waker_was_cloned_elsewhere(id);
    }
}
