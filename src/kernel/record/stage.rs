//! **The stage of a record**: the place that holds the future first, and the outcome after the last poll.
//!
//! This file knows the types; everything outside it works with the [`VTable`] that it builds for each type of future. It also
//! allocates records: with [`owned`] for most tasks, with [`scoped`] for a main task, whose future may borrow from its caller.
//!
//! The invariants are *Contents*, *Pinned*, *Lent*, *Counted*, *Typed* and *Borrowed* of `mod.rs`. They rest on `state.rs` and
//! `header.rs`; for the memory, on *Kept* of `base/free_lists.rs`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::cell::UnsafeCell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::RecordRef;
use super::header::{Header, SpawnParams};
use super::outcome::{Typed, TypedOf};
use super::state::{Flag, Stage};
use crate::base::free_lists::Word;
use crate::base::kind::Kind;
use crate::base::panic::{quietly, swallow};
use crate::error::{Panic, TaskError};

/// The result of one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Pending,
    /// The stage holds an outcome that is an `Ok`.
    Value,
    /// The stage holds an outcome that is an `Err`.
    Failure,
    /// The stage is empty, and the panic is in the record's cold part.
    Panicked,
}

/// The functions and sizes of one type of record: what `mod.rs` and `outcome.rs` need of the types. See [`Functions`].
pub(super) struct VTable {
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Polled,
    pub(super) drop_future: unsafe fn(NonNull<Header>),
    pub(super) drop_outcome: unsafe fn(NonNull<Header>),
    /// The offset of the stage in the record, in bytes.
    pub(super) stage: usize,
    pub(super) take: unsafe fn(NonNull<Header>, NonNull<()>) -> bool,
    pub(super) failure: unsafe fn(NonNull<Header>) -> Option<String>,
    pub(super) unbox: unsafe fn(NonNull<Header>),
    /// The words of the block that the record is in; `None` if it is in a box of its own.
    pub(super) words: Option<usize>,
}

/// `repr(C)`: a pointer to the record is a pointer to its header.
#[repr(C)]
struct Record<F, T, E> {
    header: Header,
    stage: UnsafeCell<Content<F, T, E>>,
}

/// `repr(C)`: the future and the outcome both begin at the stage's own address.
#[repr(C)]
union Content<F, T, E> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Result<T, E>>,
}

pub(super) type ValueOf<F, K> = <K as Kind<<F as Future>::Output>>::Value;
pub(super) type ErrorOf<F, K> = <K as Kind<<F as Future>::Output>>::Error;
type ContentOf<F, K> = Content<F, ValueOf<F, K>, ErrorOf<F, K>>;
type OutcomeOf<F, K> = Result<ValueOf<F, K>, ErrorOf<F, K>>;
type RecordOf<F, K> = Record<F, ValueOf<F, K>, ErrorOf<F, K>>;

/// A record for a future that borrows nothing.
pub(crate) fn owned<F, K>(_kind: K, params: SpawnParams<'_>, future: F) -> TypedOf<F, K>
where
    F: Future + 'static,
    K: Kind<F::Output, Value: 'static>,
{
    // SAFETY: *Borrowed*: `'static` says that the future and its outcome borrow nothing.
    unsafe { allocate::<F, K>(params, future) }
}

/// A record for a future that may borrow from the caller's stack, for as long as `body` runs. References to the record may outlive
/// that: they find no future and no outcome in it.
pub(crate) fn scoped<F: Future, K: Kind<F::Output>, R>(
    _kind: K,
    params: SpawnParams<'_>,
    future: F,
    body: impl FnOnce(&TypedOf<F, K>) -> R,
) -> R {
    /// Empties the stage, also if `body` panics.
    struct EmptyOnExit<O>(Typed<O>);
    impl<O> Drop for EmptyOnExit<O> {
        fn drop(&mut self) {
            if self.0.has(Stage::LENT) {
                std::process::abort(); // unreachable: all polls have returned, and no running loop forgets a future
            }
            self.0.drop_future().into_iter().chain(self.0.drop_outcome()).for_each(swallow);
        }
    }
    // SAFETY: *Borrowed*: `EmptyOnExit` drops the contents of the stage before this function returns, while everything that they
    // borrow is alive. The rest of the record, which other references may keep, borrows nothing.
    let record = EmptyOnExit(unsafe { allocate::<F, K>(params, future) });
    body(&record.0)
}

/// # Safety
/// *Borrowed*: the stage must be empty before anything that the future or its outcome borrows is gone.
unsafe fn allocate<F: Future, K: Kind<F::Output>>(
    params: SpawnParams<'_>,
    future: F,
) -> TypedOf<F, K> {
    let memory = if Functions::<F, K>::IN_A_BLOCK {
        let block = params.owner.free_lists.take(Functions::<F, K>::WORDS);
        Box::into_raw(block).cast::<RecordOf<F, K>>()
    } else {
        Box::into_raw(Box::<RecordOf<F, K>>::new_uninit()).cast()
    };
    // After the allocation, so that the compiler builds header and stage in the record and need not copy them.
    let vtable = &Functions::<F, K>::TABLE;
    let header = Header::new(vtable, params);
    let stage = UnsafeCell::new(Content { future: ManuallyDrop::new(future) });
    // SAFETY: *Kept*: the block has `WORDS` words, and the box has the record's type: size and alignment suffice.
    unsafe { memory.write(Record { header, stage }) };
    // SAFETY: *Kept*: a block comes out of a box, as the other memory does, and a box is never null.
    let memory = unsafe { NonNull::new_unchecked(memory) };
    let record = RecordRef(memory.cast()); // `Header::new` has counted it
    // SAFETY: *Typed*: `TypedOf` is made of the types that this record has.
    unsafe { Typed::new(record) }
}

/// The functions of the vtable for one type of future.
///
/// # Safety
/// *Typed* and *Counted*: `record` must be a living record of these types. What else a function asks for, it says. (*Counted* also
/// makes `record.as_ref()` sound: nothing creates a `&mut Header`.)
struct Functions<F, K>(PhantomData<(F, K)>);

impl<F: Future, K: Kind<F::Output>> Functions<F, K> {
    /// How many words of a block the record takes.
    const WORDS: usize = size_of::<RecordOf<F, K>>().div_ceil(size_of::<Word>());
    /// A future with a larger alignment than a block has gets a box of its own.
    const IN_A_BLOCK: bool = align_of::<RecordOf<F, K>>() <= align_of::<Word>();

    const TABLE: VTable = VTable {
        poll: Self::poll,
        drop_future: Self::drop_future,
        drop_outcome: Self::drop_outcome,
        stage: mem::offset_of!(RecordOf<F, K>, stage),
        take: Self::take,
        failure: Self::failure,
        unbox: Self::unbox,
        words: if Self::IN_A_BLOCK { Some(Self::WORDS) } else { None },
    };

    /// The address of the stage, and of either content.
    unsafe fn stage(record: NonNull<Header>) -> NonNull<ContentOf<F, K>> {
        let record = record.cast::<RecordOf<F, K>>();
        // SAFETY: *Typed* and *Counted*, the caller's promise; an `UnsafeCell` lets its content be changed.
        let stage = unsafe { (*record.as_ptr()).stage.get() };
        // SAFETY: *Counted*: the record lives, and the address of a field of it is not null.
        unsafe { NonNull::new_unchecked(stage) }
    }

    /// Polls the future; if it is ready, the outcome replaces it. Safety: the stage holds the future, and is lent to this call.
    unsafe fn poll(record: NonNull<Header>, cx: &mut Context<'_>) -> Polled {
        // SAFETY: *Typed* and *Counted*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Counted*, the caller's promise.
        let header = unsafe { record.as_ref() };
        let mut outcome = None; // outside the closure: if the future's destructor panics, `quietly` drops the outcome below
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: *Contents*: the stage holds the future; *Lent*: nothing else touches it during the poll.
            let future = unsafe { stage.cast::<F>().as_mut() };
            // SAFETY: *Pinned*: the stage never moves, and the future is dropped in its place.
            let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
            if let Poll::Ready(output) = polled {
                outcome = Some(K::outcome(output));
                header.change(Flag::NONE, Stage::HOLDS_FUTURE);
                // SAFETY: *Contents*: the stage holds the future, and its bit is cleared.
                unsafe { Self::drop_future(record) };
            }
        }));
        match (polled, outcome) {
            (Ok(()), None) => Polled::Pending,
            (Ok(()), Some(outcome)) => {
                let polled = if outcome.is_ok() { Polled::Value } else { Polled::Failure };
                // SAFETY: *Contents*: the stage is empty; *Lent*: to this function; *Typed*: it has room for the outcome.
                unsafe { stage.write(Content { outcome: ManuallyDrop::new(outcome) }) };
                header.change(Stage::HOLDS_OUTCOME, Flag::NONE);
                polled
            }
            (Err(payload), outcome) => {
                // Only the first panic is the task's. If these destructors panic too, that is ignored.
                quietly(|| drop(outcome));
                if header.has(Stage::HOLDS_FUTURE) {
                    header.change(Flag::NONE, Stage::HOLDS_FUTURE);
                    // SAFETY: *Contents*: the stage holds the future, and its bit is cleared.
                    quietly(|| unsafe { Self::drop_future(record) });
                }
                header.cold().panic.replace(Some(Panic::new(payload)));
                Polled::Panicked
            }
        }
    }

    /// Drops the future in its place. Safety: the stage holds it, its bit is cleared, and nothing refers to it.
    unsafe fn drop_future(record: NonNull<Header>) {
        // SAFETY: *Typed* and *Counted*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents*, the caller's promise.
        unsafe { stage.cast::<F>().drop_in_place() };
    }

    /// Drops the outcome in its place. Safety: the stage holds it, its bit is cleared, and nothing refers to it.
    unsafe fn drop_outcome(record: NonNull<Header>) {
        // SAFETY: *Typed* and *Counted*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents*, the caller's promise.
        unsafe { stage.cast::<OutcomeOf<F, K>>().drop_in_place() };
    }

    /// Writes the result of awaiting the task to the memory at `to`; false if it has not ended, or its value or error was taken.
    /// Safety: the stage is not lent, and `to` has room for a `Result<ValueOf<F, K>, TaskError<ErrorOf<F, K>>>`.
    unsafe fn take(record: NonNull<Header>, to: NonNull<()>) -> bool {
        // SAFETY: *Counted*, the caller's promise.
        let header = unsafe { record.as_ref() };
        let to = to.cast::<Result<ValueOf<F, K>, TaskError<ErrorOf<F, K>>>>();
        if header.has_but_not(Stage::HOLDS_OUTCOME, Flag::FAILED) {
            header.change(Flag::NONE, Stage::HOLDS_OUTCOME);
            // SAFETY: *Contents*: the stage holds the outcome, and its bit is cleared; *Lent*, the caller's promise.
            if let Ok(value) = unsafe { Self::read(record) } {
                // SAFETY: *Typed*, the caller's promise: there is room for it.
                unsafe { to.write(Ok(value)) };
                return true;
            }
            unreachable!("a task that has not failed holds a value");
        }
        // The error of a task in a group stays where it is: the group takes it, and the handle is told `TaskError::Grouped`.
        let error = if header.has(Stage::HOLDS_OUTCOME) && !header.has(Flag::GROUPED) {
            header.change(Flag::NONE, Stage::HOLDS_OUTCOME);
            // SAFETY: *Contents*: the stage holds the outcome, and its bit is cleared; *Lent*, the caller's promise.
            unsafe { Self::read(record) }.err().map(TaskError::Failed)
        } else {
            header.ending()
        };
        let Some(error) = error else { return false };
        // SAFETY: *Typed*, the caller's promise: there is room for it.
        unsafe { to.write(Err(error)) };
        true
    }

    /// Moves out the outcome. Safety: the stage holds it, its bit is cleared, and nothing refers to it.
    unsafe fn read(record: NonNull<Header>) -> OutcomeOf<F, K> {
        // SAFETY: *Typed* and *Counted*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents*, the caller's promise.
        unsafe { stage.cast::<OutcomeOf<F, K>>().read() }
    }

    /// The `Debug` text of the error, if the outcome is one. Safety: the stage holds the outcome, and is lent to this call.
    unsafe fn failure(record: NonNull<Header>) -> Option<String> {
        // SAFETY: *Typed* and *Counted*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents* and *Lent*, the caller's promise.
        let outcome = unsafe { stage.cast::<OutcomeOf<F, K>>().as_ref() };
        outcome.as_ref().err().map(|error| format!("{error:?}"))
    }

    /// Frees the memory of a record in a box of its own. Safety: it is in one, its stage is empty, and no part of it is used again.
    unsafe fn unbox(record: NonNull<Header>) {
        let record = record.cast::<MaybeUninit<RecordOf<F, K>>>();
        // SAFETY: *Typed*: `allocate` put the record into such a box; *Counted*: no reference to it is left.
        drop(unsafe { Box::from_raw(record.as_ptr()) });
    }
}
