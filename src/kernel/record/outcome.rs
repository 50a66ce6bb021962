//! **The outcome of a task**: how it is taken, and how it is inspected where it is.
//!
//! A [`RecordRef`] does not know the type of the outcome. A task's handle does: it contains a [`Typed`] reference, which is a
//! `RecordRef` and a type parameter.
//!
//! Inspecting an outcome runs foreign code: the `Clone` of a value, or the `Debug` of an error. That code may drop the last handle
//! of the same task, or try to take the outcome that it is inspecting. So the outcome is *lent* meanwhile ([`Lent`]): until the
//! loan ends nothing drops it, moves it, or lends it again.
//!
//! The invariants are *Contents*, *Lent* and *Typed* of `mod.rs`. They rest on `state.rs`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::stage::{ErrorOf, ValueOf};
use super::{Flag, RecordRef, Stage};
use crate::base::panic::swallow;
use crate::error::TaskError;

/// A loan of the outcome: while it lives, the outcome stays in the stage.
struct Lent<'a>(&'a RecordRef);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.change(Flag::NONE, Stage::LENT);
    }
}

impl RecordRef {
    /// Lends the outcome, if it is there and not lent already.
    fn lend(&self) -> Option<Lent<'_>> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME, Stage::LENT) {
            return None;
        }
        self.change(Stage::LENT, Flag::NONE);
        Some(Lent(self))
    }

    /// The `Debug` text of the error that the stage holds.
    pub(crate) fn failure(&self) -> Option<String> {
        let lent = self.lend()?;
        // SAFETY: *Typed*; *Contents*: the stage holds the outcome; *Lent*: it stays there while `lent` lives.
        let text = catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.failure)(self.0) }));
        drop(lent);
        text.unwrap_or_else(|payload| {
            swallow(payload);
            Some("an error whose Debug panicked".to_owned())
        })
    }
}

/// A reference to the record of a task that gives an `O` when awaited. `O` is a `Result<T, TaskError<E>>`, and the stage of the
/// record comes to hold a `Result<T, E>`: only awaiting adds the other ways in which a task can end.
///
/// There is one parameter `O`, and not `T` and `E`, so that code with a future of output `O` can ask whether that future is the
/// handle of such a task.
pub(crate) struct Typed<O> {
    record: RecordRef,
    /// Dropping this may drop an outcome.
    output: PhantomData<O>,
}

/// A reference to the record of a future `F`, whose output becomes an outcome as `K` says.
pub(crate) type TypedOf<F, K> = Typed<Result<ValueOf<F, K>, TaskError<ErrorOf<F, K>>>>;

impl<O> Deref for Typed<O> {
    type Target = RecordRef;

    fn deref(&self) -> &RecordRef {
        &self.record
    }
}

impl<O> Clone for Typed<O> {
    fn clone(&self) -> Typed<O> {
        Typed { record: self.record.clone(), output: PhantomData }
    }
}

impl<O> Typed<O> {
    /// # Safety
    /// *Typed*: `O` must be a `Result<T, TaskError<E>>`, and the outcome of the record a `Result<T, E>`.
    pub(super) unsafe fn new(record: RecordRef) -> Typed<O> {
        Typed { record, output: PhantomData }
    }

    /// Moves out what awaiting the task gives. `None` if the task has not ended, or its value or error was taken.
    pub(crate) fn take(&self) -> Option<O> {
        if !self.has_but_not(Flag::DONE, Stage::LENT) {
            return None;
        }
        // The vtable knows `T` and `E`, and this function only `O`: so the vtable's function writes the result to memory of ours.
        let mut output = MaybeUninit::<O>::uninit();
        let to = NonNull::from(&mut output).cast();
        // SAFETY: *Typed*: `to` has room for an `O`, and this record's function writes one; *Lent*: the stage is not lent.
        let taken = unsafe { (self.record.vtable.take)(self.record.0, to) };
        // SAFETY: *Typed*: the function returned true, so it wrote an `O`.
        taken.then(|| unsafe { output.assume_init() })
    }
}

impl<T, E> Typed<Result<T, TaskError<E>>> {
    /// The address of the outcome, while there is one.
    fn outcome(&self) -> NonNull<Result<T, E>> {
        // SAFETY: *Typed*: the vtable says how far into the record the stage is, and an outcome is at the stage's own address.
        unsafe { self.record.0.byte_add(self.record.vtable.stage) }.cast()
    }

    /// Moves out the value, if the task has ended with one that was not taken. It is `take` for the most frequent case, with no
    /// call through the vtable.
    #[inline]
    pub(crate) fn take_value(&self) -> Option<T> {
        self.take_value_and_clear(Flag::NONE)
    }

    /// The same, and clears these flags if it takes the value.
    #[inline]
    pub(crate) fn take_value_and_clear(&self, flags: Flag) -> Option<T> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME | Flag::DONE, Stage::LENT | Flag::FAILED) {
            return None;
        }
        self.change(Flag::NONE, Stage::HOLDS_OUTCOME | flags);
        // SAFETY: *Typed*; *Contents*: the stage holds the outcome, and its bit is cleared; *Lent*: nothing refers to it.
        unsafe { self.outcome().read() }.ok()
    }

    /// Moves out the error, if the task has failed with one that was not taken: for the task's group.
    pub(crate) fn take_error(&self) -> Option<E> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME, Stage::LENT) || !self.has(Flag::FAILED) {
            return None;
        }
        self.change(Flag::NONE, Stage::HOLDS_OUTCOME);
        // SAFETY: *Typed*; *Contents*: the stage holds the outcome, and its bit is cleared; *Lent*: nothing refers to it.
        unsafe { self.outcome().read() }.err()
    }

    /// Calls `inspect` with the outcome, if it is there and not lent already.
    pub(crate) fn peek<R>(&self, inspect: impl FnOnce(&Result<T, E>) -> R) -> Option<R> {
        let _lent = self.lend()?;
        // SAFETY: *Typed*; *Contents*: the stage holds the outcome; *Lent*: it stays there while `_lent` lives.
        Some(inspect(unsafe { self.outcome().as_ref() }))
    }
}
