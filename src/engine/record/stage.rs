//! **The stage of a record**: where the future is, and then the outcome; and the functions for one type of future.
//!
//! The invariants are *Contents*, *Pinned*, *Lent*, *Typed* and *Borrowed* of `mod.rs`. It rests on `state.rs`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::any::TypeId;
use std::cell::UnsafeCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::RecordRef;
use super::memory::Unit;
use super::outcome::{Typed, TypedOf};
use super::state::{Flag, Header, NO_TASK, Stage};
use crate::engine::foreign::{discard, quietly};
use crate::engine::turn::Engine;
use crate::engine::waker::TaskId;
use crate::error::{Panic, TaskError};

/// How a poll went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Pending,
    /// The outcome is in the record, and it is an `Ok`.
    Value,
    /// The outcome is in the record, and it is an `Err`.
    Failure,
    /// What it threw is in the record's cold part.
    Panicked,
}

/// What can be done with a record without knowing its type. (*Typed*: a record is given its own table at birth, and keeps it.)
pub(super) struct VTable {
    pub(super) poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Polled,
    pub(super) drop_future: unsafe fn(NonNull<Header>),
    pub(super) drop_outcome: unsafe fn(NonNull<Header>),
    /// How far from the header the stage is, in bytes.
    pub(super) stage: usize,
    pub(super) take: unsafe fn(NonNull<Header>, NonNull<()>) -> bool,
    pub(super) take_error: unsafe fn(NonNull<Header>, TypeId, NonNull<()>) -> bool,
    pub(super) failure: unsafe fn(NonNull<Header>) -> Option<String>,
    /// Gives back the memory of a record that is in a box of its own.
    pub(super) unbox: unsafe fn(NonNull<Header>),
    /// How many units a record takes in a block; `None` if it is in a box of its own.
    pub(super) units: Option<usize>,
}

/// How the output of a future becomes the outcome of its task.
pub(crate) trait Kind<O> {
    type Value;
    type Error: fmt::Debug + 'static;
    fn outcome(output: O) -> Result<Self::Value, Self::Error>;
}

/// Whatever comes out is the task's value.
#[derive(Debug)]
pub(crate) struct Plain;

impl<O> Kind<O> for Plain {
    type Value = O;
    type Error = Infallible;
    fn outcome(output: O) -> Result<O, Infallible> {
        Ok(output)
    }
}

/// What comes out is a `Result`, and its error is the task's failure.
#[derive(Debug)]
pub(crate) struct Fallible;

impl<T, E: fmt::Debug + 'static> Kind<Result<T, E>> for Fallible {
    type Value = T;
    type Error = E;
    fn outcome(output: Result<T, E>) -> Result<T, E> {
        output
    }
}

/// `repr(C)`: a pointer to the record is a pointer to its header.
#[repr(C)]
struct Record<F, T, E> {
    header: Header,
    stage: UnsafeCell<Content<F, T, E>>,
}

/// `repr(C)`: either content is at the stage's own address.
#[repr(C)]
union Content<F, T, E> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Result<T, E>>,
}

/// What a new record is told.
pub(crate) struct Birth {
    pub(crate) home: Rc<Engine>,
    pub(crate) id: TaskId,
    pub(crate) number: u32,
    pub(crate) spawned_at: &'static Location<'static>,
}

/// A record for a future that borrows nothing.
pub(crate) fn owned<F, K>(_kind: K, birth: Birth, future: F) -> TypedOf<F, K>
where
    F: Future + 'static,
    K: Kind<F::Output, Value: 'static>,
{
    // SAFETY: *Borrowed*: the future and its outcome borrow nothing.
    unsafe { allocate::<F, K>(birth, future) }
}

/// A record for a future that may borrow from the caller's stack, while `body` runs.
///
/// References that `body` leaves behind keep the header, but find no future and no outcome in it.
pub(crate) fn scoped<F, K, R>(
    _kind: K,
    birth: Birth,
    future: F,
    body: impl FnOnce(&TypedOf<F, K>) -> R,
) -> R
where
    F: Future,
    K: Kind<F::Output>,
{
    /// Empties the stage, also when `body` panics.
    struct Emptied<O>(Typed<O>);
    impl<O> Drop for Emptied<O> {
        fn drop(&mut self) {
            if self.0.has(Stage::LENT) {
                std::process::abort(); // cannot be: `body` made the poll and has returned
            }
            self.0.drop_future().into_iter().chain(self.0.drop_outcome()).for_each(discard);
        }
    }
    // SAFETY: *Borrowed*: `Emptied` drops what the stage holds before this function ends, so nothing that the future
    // borrowed is used later; the record itself, which other references may keep, borrows nothing.
    let record = Emptied(unsafe { allocate::<F, K>(birth, future) });
    body(&record.0)
}

/// # Safety
/// *Borrowed*: the stage must be empty before anything that the future or its outcome borrow ends.
unsafe fn allocate<F, K>(birth: Birth, future: F) -> TypedOf<F, K>
where
    F: Future,
    K: Kind<F::Output>,
{
    let Birth { home, id, number, spawned_at } = birth;
    let place = if Functions::<F, K>::IN_A_BLOCK {
        let block = home.blocks.take(Functions::<F, K>::UNITS);
        Box::into_raw(block).cast::<RecordOf<F, K>>()
    } else {
        Box::into_raw(Box::<RecordOf<F, K>>::new_uninit()).cast()
    };
    // Made here and not before: so it is written in place, and not written and copied.
    let vtable = &Functions::<F, K>::TABLE;
    let whose = if number == NO_TASK { Flag::CALLBACK } else { Flag::HANDLE };
    let flags = Stage::HOLDS_FUTURE | whose;
    let header = Header::new(vtable, home, id, number, flags, spawned_at);
    let stage = UnsafeCell::new(Content { future: ManuallyDrop::new(future) });
    // SAFETY: *Kept*: a block has so many units, and the box is made for the type: room and alignment for the record.
    unsafe { place.write(Record { header, stage }) };
    // SAFETY: *Kept*: the block came out of a box, which is never null.
    let record = RecordRef(unsafe { NonNull::new_unchecked(place) }.cast());
    // SAFETY: *Typed*: that is what awaiting a task of this future gives.
    unsafe { Typed::new(record) }
}

type ContentOf<F, K> = Content<
    F,
    <K as Kind<<F as Future>::Output>>::Value,
    <K as Kind<<F as Future>::Output>>::Error,
>;
type RecordOf<F, K> =
    Record<F, <K as Kind<<F as Future>::Output>>::Value, <K as Kind<<F as Future>::Output>>::Error>;

/// The functions of the table for one type of future.
struct Functions<F, K>(PhantomData<(F, K)>);

impl<F: Future, K: Kind<F::Output>> Functions<F, K> {
    /// How many units of a block a record takes.
    const UNITS: usize = size_of::<RecordOf<F, K>>().div_ceil(size_of::<Unit>());
    /// A future that wants more alignment than a block has gets a box of its own.
    const IN_A_BLOCK: bool = align_of::<RecordOf<F, K>>() <= align_of::<Unit>();

    const TABLE: VTable = VTable {
        poll: Self::poll,
        drop_future: Self::drop_future,
        drop_outcome: Self::drop_outcome,
        stage: mem::offset_of!(RecordOf<F, K>, stage),
        take: Self::take,
        take_error: Self::take_error,
        failure: Self::failure,
        unbox: Self::unbox,
        units: if Self::IN_A_BLOCK { Some(Self::UNITS) } else { None },
    };

    /// # Safety
    /// `record` must be a living record of these types.
    unsafe fn stage(record: NonNull<Header>) -> NonNull<ContentOf<F, K>> {
        let record = record.cast::<RecordOf<F, K>>();
        // SAFETY: *Counted*: the record lives (the caller's promise), and `UnsafeCell` lets its content be changed.
        let stage = unsafe { (*record.as_ptr()).stage.get() };
        // SAFETY: *Counted*: the record lives, and the address of a field of it is not null.
        unsafe { NonNull::new_unchecked(stage) }
    }

    /// # Safety
    /// A living record of these types, `HOLDS_FUTURE` and `LENT` set.
    unsafe fn poll(record: NonNull<Header>, cx: &mut Context<'_>) -> Polled {
        // SAFETY: *Typed*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Counted*, the caller's promise; and only `&Header` exist.
        let header = unsafe { record.as_ref() };
        let mut outcome = None; // out here, so that its destructor never runs while another panic is on its way
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: *Contents*: the stage holds the future; *Lent*: nothing else touches it during the poll.
            let future = unsafe { stage.cast::<F>().as_mut() };
            // SAFETY: *Pinned*: the stage never moves, and the future is dropped in its place.
            let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
            if let Poll::Ready(output) = polled {
                outcome = Some(K::outcome(output));
                header.clear_stage(Stage::HOLDS_FUTURE);
                // SAFETY: *Contents*: it was there until the line above.
                unsafe { Self::drop_future(record) };
            }
        }));
        match (polled, outcome) {
            (Ok(()), None) => Polled::Pending,
            (Ok(()), Some(outcome)) => {
                let polled = if outcome.is_ok() { Polled::Value } else { Polled::Failure };
                // SAFETY: *Contents*: the stage is empty now; *Typed*: and has room for it.
                unsafe { stage.write(Content { outcome: ManuallyDrop::new(outcome) }) };
                header.set_stage(Stage::HOLDS_OUTCOME);
                polled
            }
            (Err(payload), outcome) => {
                // What was thrown first is what counts, whatever these throw.
                quietly(|| drop(outcome));
                if header.has(Stage::HOLDS_FUTURE) {
                    header.clear_stage(Stage::HOLDS_FUTURE);
                    // SAFETY: *Contents*: it was there until the line above.
                    quietly(|| unsafe { Self::drop_future(record) });
                }
                header.cold().panic.replace(Some(Panic::new(payload)));
                Polled::Panicked
            }
        }
    }

    /// # Safety
    /// A living record of these types whose stage holds the future; it does not any more afterwards.
    unsafe fn drop_future(record: NonNull<Header>) {
        // SAFETY: *Typed*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents*: the stage holds the future, and it is not used again.
        unsafe { stage.cast::<F>().drop_in_place() };
    }

    /// # Safety
    /// A living record of these types whose stage holds the outcome; it does not any more afterwards.
    unsafe fn drop_outcome(record: NonNull<Header>) {
        // SAFETY: *Typed*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents*: the stage holds the outcome, and it is not used again.
        unsafe { stage.cast::<Result<K::Value, K::Error>>().drop_in_place() };
    }

    /// Writes what awaiting gives to `place`, or returns false.
    ///
    /// # Safety
    /// A living record of these types whose task is over; `place` has room for a `Result<Value, TaskError<Error>>`.
    unsafe fn take(record: NonNull<Header>, place: NonNull<()>) -> bool {
        // SAFETY: *Counted*, the caller's promise; and only `&Header` exist.
        let header = unsafe { record.as_ref() };
        let place = place.cast::<Result<K::Value, TaskError<K::Error>>>();
        if header.has_but_not(Stage::HOLDS_OUTCOME, Flag::FAILED) {
            header.clear_stage(Stage::HOLDS_OUTCOME);
            // SAFETY: *Contents*: the stage held the outcome until the line above, and is not read again.
            if let Ok(value) = unsafe { Self::read(record) } {
                // SAFETY: *Typed*, the caller's promise: there is room for it.
                unsafe { place.write(Ok(value)) };
                return true;
            }
            unreachable!("a task that has not failed holds a value");
        }
        let error = if header.has(Stage::HOLDS_OUTCOME) && !header.has(Flag::GROUPED) {
            header.clear_stage(Stage::HOLDS_OUTCOME);
            // SAFETY: *Contents*: the stage held the outcome until the line above, and is not read again.
            unsafe { Self::read(record) }.err().map(TaskError::Failed)
        } else {
            header.ending()
        };
        let Some(error) = error else { return false };
        // SAFETY: *Typed*, the caller's promise: there is room for it.
        unsafe { place.write(Err(error)) };
        true
    }

    /// Writes the error to `place` if it is of type `wanted`, or returns false.
    ///
    /// # Safety
    /// A living record of these types whose stage holds an `Err`; `place` has room for a value of type `wanted`.
    unsafe fn take_error(record: NonNull<Header>, wanted: TypeId, place: NonNull<()>) -> bool {
        if wanted != TypeId::of::<K::Error>() {
            return false;
        }
        // SAFETY: *Counted*, the caller's promise; and only `&Header` exist.
        let header = unsafe { record.as_ref() };
        header.clear_stage(Stage::HOLDS_OUTCOME);
        // SAFETY: *Contents*: the stage held the outcome until the line above, and is not read again.
        match unsafe { Self::read(record) } {
            Ok(_) => false,
            Err(error) => {
                // SAFETY: *Typed*: `wanted` is the type of the error, and there is room for it.
                unsafe { place.cast::<K::Error>().write(error) };
                true
            }
        }
    }

    /// # Safety
    /// A living record of these types whose stage held the outcome, which is not read again.
    unsafe fn read(record: NonNull<Header>) -> Result<K::Value, K::Error> {
        // SAFETY: *Typed*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Typed*, the caller's promise.
        unsafe { stage.cast::<Result<K::Value, K::Error>>().read() }
    }

    /// # Safety
    /// A living record of these types whose stage holds the outcome, and is lent for the call.
    unsafe fn failure(record: NonNull<Header>) -> Option<String> {
        // SAFETY: *Typed*, the caller's promise.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: *Contents* and *Lent*, the caller's promise.
        let outcome = unsafe { stage.cast::<Result<K::Value, K::Error>>().as_ref() };
        outcome.as_ref().err().map(|error| format!("{error:?}"))
    }

    /// # Safety
    /// A record of these types in a box of its own, header and stage of which are not used any more.
    unsafe fn unbox(record: NonNull<Header>) {
        let record = record.cast::<MaybeUninit<RecordOf<F, K>>>();
        // SAFETY: it came from such a box in `allocate`; *Counted*: no reference to it is left.
        drop(unsafe { Box::from_raw(record.as_ptr()) });
    }
}
