//! **The outcome of a task**: to take it, or to inspect it where it is.
//!
//! A record hides its type. A handle knows what awaiting it gives, and so does [`Typed`], the reference inside it.
//!
//! Foreign code may inspect an outcome: the `Clone` of a value, the `Debug` of an error. It may drop the last handle of
//! the very task meanwhile, or try to take what it is looking at. So what is lent is marked as such ([`Lent`]), and nothing
//! that is marked is dropped, moved or lent again.
//!
//! The invariants are *Contents*, *Lent* and *Typed* of `mod.rs`. It rests on `state.rs`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::stage::Kind;
use super::{Flag, RecordRef, Stage};
use crate::engine::foreign;
use crate::error::TaskError;

/// While it lives the outcome is there, and stays where it is.
struct Lent<'a>(&'a RecordRef);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.clear_stage(Stage::LENT);
    }
}

impl RecordRef {
    /// The right to inspect the outcome, if it is there and is not lent already.
    fn lend(&self) -> Option<Lent<'_>> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME, Stage::LENT) {
            return None;
        }
        self.set_stage(Stage::LENT);
        Some(Lent(self))
    }

    /// The error that the stage holds, as text.
    pub(crate) fn failure(&self) -> Option<String> {
        let lent = self.lend()?;
        // SAFETY: *Contents*: the stage holds the outcome; *Lent*: it stays there while `lent` lives.
        let text = catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.failure)(self.0) }));
        drop(lent);
        text.unwrap_or_else(|payload| {
            foreign::discard(payload);
            Some("an error whose Debug panicked".to_owned())
        })
    }

    /// Moves the error out of a task that failed with an `E`, if it was not taken yet.
    pub(crate) fn take_error<E: 'static>(&self) -> Option<E> {
        if !self.has(Flag::FAILED) || !self.has_but_not(Stage::HOLDS_OUTCOME, Stage::LENT) {
            return None;
        }
        let mut error = MaybeUninit::<E>::uninit();
        let place = NonNull::from(&mut error).cast();
        // SAFETY: *Contents*: the stage holds the outcome; `place` has room for an `E`, of which the type is told.
        let taken = unsafe { (self.vtable.take_error)(self.0, TypeId::of::<E>(), place) };
        // SAFETY: *Contents*: true means that it was moved here.
        taken.then(|| unsafe { error.assume_init() })
    }
}

/// A reference to a record whose task, when awaited, gives an `O`: a `Result<T, TaskError<E>>`. What the stage holds in
/// the end is a `Result<T, E>`.
///
/// `O` is one parameter, and not two, so that code that has a future with output `O` can ask whether it is the handle
/// of such a task.
pub(crate) struct Typed<O> {
    record: RecordRef,
    /// The outcome may be dropped through this.
    output: PhantomData<O>,
}

/// A reference to the record of such a future.
pub(crate) type TypedOf<F, K> = Typed<
    Result<
        <K as Kind<<F as Future>::Output>>::Value,
        TaskError<<K as Kind<<F as Future>::Output>>::Error>,
    >,
>;

impl<O> Deref for Typed<O> {
    type Target = RecordRef;

    fn deref(&self) -> &RecordRef {
        &self.record
    }
}

impl<O> Typed<O> {
    /// # Safety
    /// *Typed*: awaiting the record's task must give an `O`.
    pub(super) unsafe fn new(record: RecordRef) -> Typed<O> {
        Typed { record, output: PhantomData }
    }

    /// Moves out what awaiting the task gives, if the task is over and it was not taken yet.
    pub(crate) fn take(&self) -> Option<O> {
        if !self.has_but_not(Flag::DONE, Stage::LENT) {
            return None;
        }
        let mut output = MaybeUninit::<O>::uninit();
        let place = NonNull::from(&mut output).cast();
        // SAFETY: *Typed*: `place` has room for an `O`, and that is what this record's task gives.
        let taken = unsafe { (self.record.vtable.take)(self.record.0, place) };
        // SAFETY: *Contents*: true means that it was moved here.
        taken.then(|| unsafe { output.assume_init() })
    }
}

impl<T, E> Typed<Result<T, TaskError<E>>> {
    /// Where the record's outcome is, when it is there.
    fn outcome(&self) -> NonNull<Result<T, E>> {
        // SAFETY: *Typed*: the stage is so far into the record, and what it holds is at its address, of this type.
        unsafe { self.record.0.byte_add(self.record.vtable.stage) }.cast()
    }

    /// Moves out the value, if the task is over with one, and it was not taken yet.
    #[inline]
    pub(crate) fn take_value(&self) -> Option<T> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME | Flag::DONE, Stage::LENT | Flag::FAILED) {
            return None;
        }
        self.clear_stage(Stage::HOLDS_OUTCOME);
        // SAFETY: *Contents*: it was there until the line above, and is not read again.
        unsafe { self.outcome().read() }.ok()
    }

    /// Inspects the outcome, if there is one that was not taken.
    pub(crate) fn peek<R>(&self, inspect: impl FnOnce(&Result<T, E>) -> R) -> Option<R> {
        let _lent = self.lend()?;
        // SAFETY: *Contents*: it is there; *Lent*: it stays there while `_lent` lives.
        Some(inspect(unsafe { self.outcome().as_ref() }))
    }
}
