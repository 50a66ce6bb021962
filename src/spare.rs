//! **The spare**: the wait set that was left last, for the next of its type.
//!
//! Each gathering could ask the allocator for its set. But one is often followed by another of the same futures, in a loop or in
//! each request of a server; and a set that was left is as good as a new one, if nothing refers to it.
//!
//! It stands on the kernel.

use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;

use crate::kernel::current::with_current_loop;

/// The part of a loop that belongs to this ring. What it holds is left: nothing in it runs foreign code when it is dropped.
#[derive(Default)]
pub(crate) struct Spare(Cell<Option<Rc<dyn Any>>>);

/// The spare, if it has this type and nothing else refers to it; or else a new value.
pub(crate) fn spare_or_new<T: Default + 'static>() -> Rc<T> {
    let spare = with_current_loop(|engine| engine.spare.0.take()).flatten();
    let spare = spare.and_then(|spare| spare.downcast().ok());
    spare
        .filter(|spare| Rc::strong_count(spare) == 1 && Rc::weak_count(spare) == 0)
        // Not `Rc::new`: with that the compiler builds the value on the stack, and copies it.
        .unwrap_or_else(|| Rc::new_cyclic(|_| T::default()))
}

/// From now on this is the spare.
pub(crate) fn keep_as_spare(value: Rc<dyn Any>) {
    with_current_loop(|engine| engine.spare.0.set(Some(value)));
}
