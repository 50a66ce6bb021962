//! **The task record**: one heap allocation a task.
//!
//! ```text
//!            ┌──────────── Header, 80 bytes ─────────────┬── stage ──────────┐
//! RecordRef ─▶ vtable · home · counts · flags · joiners …│ future OR outcome │
//!            └───────────────────────────────────────────┴───────────────────┘
//! ```
//!
//! The loop must keep tasks of many types in one table, so the record hides its type behind a table of
//! functions. Future and outcome are never there at once and share their place. Counts are plain `Cell`s: neither a
//! [`RecordRef`] nor a [`Typed`] ever leaves the thread (neither is `Send`), and wakers do not point here.
//!
//! The header is the task's *state*, see `state.rs`. This file guarantees only memory safety; its rules:
//!
//! 1. **Stage.** `HOLDS_FUTURE` and `HOLDS_OUTCOME` say what the stage holds; never both. Each is cleared
//!    *before* what it stands for is dropped or moved out, so a destructor that comes back finds it gone.
//! 2. **Pinned.** The stage never moves: it lives in a block of memory that is only given back with the last reference.
//! 3. **One poll at a time.** While `POLLING` is set nobody touches the stage but the poll.
//! 4. **Typed.** A [`Typed<Result<T, TaskError<E>>>`](Typed) is only made with a record whose outcome is `Result<T, E>`.
//! 5. **Borrowed futures** exist only inside [`scoped`], which empties the stage before it returns.
//! 6. **Chained.** A record is in a [`Chain`] exactly while it is [`Queued`], in one, once. Each holds the [`Next`].
//! 7. **Piled.** A block in a pile holds no record, and is of the pile's size.
//!
//! Behind the record stand the [`Chain`] that the ready queue is, the [`Piles`] of memory for records to come, and [`Held`], the
//! other place where a future of somebody else's is kept, and dropped, in place: the frame around it that catches a cancel.

#![allow(unsafe_code)] // one of the crate's two islands

use std::any::{Any, TypeId};
use std::cell::{Cell, UnsafeCell};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::state::{Flag, Header, NO_TASK};
use super::turn::Engine;
use super::waker::TaskId;
use crate::error::{Panic, TaskError};

/// What a panic threw.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Drops what a panic threw. Should that throw too, what it throws goes the same way, but not for ever: the rest is leaked.
pub(crate) fn discard(mut payload: Payload) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    mem::forget(payload);
}

/// Runs a destructor whose panic counts for nothing.
fn quietly(destroy: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(destroy)) {
        discard(payload);
    }
}

/// How a poll went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    Pending,
    /// The outcome is in the record, and it is an `Ok`.
    Value,
    /// The outcome is in the record, and it is an `Err`.
    Failure,
    /// What it threw is in the record's extras.
    Panicked,
}

/// What can be done with a record without knowing its type.
pub(super) struct VTable {
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Polled,
    drop_future: unsafe fn(NonNull<Header>),
    drop_outcome: unsafe fn(NonNull<Header>),
    /// How far from the header the stage is, in bytes.
    stage: usize,
    take: unsafe fn(NonNull<Header>, NonNull<()>) -> bool,
    take_error: unsafe fn(NonNull<Header>, TypeId, NonNull<()>) -> bool,
    failure: unsafe fn(NonNull<Header>) -> Option<String>,
    /// Gives back the memory of a record that is in a box of its own.
    unbox: unsafe fn(NonNull<Header>),
    /// How many units a record takes in a block; `None` if it is in a box of its own.
    units: Option<usize>,
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
    stage: UnsafeCell<Stage<F, T, E>>,
}

/// `repr(C)`: either content is at the stage's own address.
#[repr(C)]
union Stage<F, T, E> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Result<T, E>>,
}

/// A counted reference to a record, whatever its type.
pub(crate) struct RecordRef(NonNull<Header>);

impl Deref for RecordRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: the record lives as long as a counted reference to it, and only `&Header` are given out.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for RecordRef {
    fn clone(&self) -> RecordRef {
        let count = self.references.get().wrapping_add(1);
        self.references.set(count);
        if count == 0 {
            self.has_too_many_references();
        }
        RecordRef(self.0)
    }
}

impl Drop for RecordRef {
    #[inline]
    fn drop(&mut self) {
        let count = self.references.get() - 1;
        self.references.set(count);
        if count == 0 {
            self.free();
        }
    }
}

impl PartialEq for RecordRef {
    fn eq(&self, other: &RecordRef) -> bool {
        self.0 == other.0
    }
}

impl RecordRef {
    /// Forgetting four billion references is the only way here; the memory would last that long too.
    #[cold]
    fn has_too_many_references(&self) -> ! {
        self.references.set(u32::MAX);
        panic!("too many references to one task");
    }

    /// The last reference goes.
    fn free(&mut self) {
        let holds_something = self.has(Flag::HOLDS_FUTURE | Flag::HOLDS_OUTCOME | Flag::AWAITS);
        if (holds_something || self.has_extras()) && !self.is_emptied() {
            return;
        }
        let vtable = self.vtable;
        // SAFETY: this was the last reference, so nobody looks at the header again. Nothing else in it has a destructor to
        // run: `awaiting` and `extras` are empty (the first line), and so is `next`, for no chain holds it (rule 6).
        let home = unsafe { (&raw const self.home).read() };
        if let Some(units) = vtable.units {
            let block = ptr::slice_from_raw_parts_mut(self.0.as_ptr().cast(), units);
            // SAFETY: it came from a block of so many units in `allocate`; the stage is empty (rule 1, and the first line).
            home.blocks.keep(unsafe { Box::from_raw(block) });
        } else {
            // SAFETY: it came from a box in `allocate`; the stage is empty (rule 1, and the first line).
            unsafe { (vtable.unbox)(self.0) };
        }
    }

    /// Drops what the record holds. False if meanwhile somebody took a new reference: that one frees it.
    #[inline(never)]
    fn is_emptied(&self) -> bool {
        // Destructors may run anything; the record must still be whole then.
        self.references.set(1);
        self.drop_future().into_iter().chain(self.drop_outcome()).for_each(discard);
        drop((self.awaiting.take(), self.extras.take()));
        self.references.set(self.references.get() - 1);
        self.references.get() == 0
    }

    /// Tells this record from every other that is alive.
    pub(crate) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// The future is about to be polled, if it is there, nobody polls it already, and none of the flags `against` is set.
    #[inline]
    pub(super) fn begin_poll(&self, against: Flag) -> Option<Polling<'_>> {
        if !self.has_but_not(Flag::HOLDS_FUTURE, Flag::POLLING | against) {
            return None;
        }
        self.set(Flag::POLLING | Flag::STARTED);
        Some(Polling(self))
    }

    /// Drops the future if it is still there; hands back what its destructor threw.
    pub(crate) fn drop_future(&self) -> Option<Payload> {
        if !self.has(Flag::HOLDS_FUTURE) || self.has(Flag::POLLING) {
            return None;
        }
        self.clear(Flag::HOLDS_FUTURE);
        // SAFETY: the future was there until the line above, and is not being polled.
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.drop_future)(self.0) })).err()
    }

    /// Drops the outcome if nobody took it; hands back what its destructor threw.
    pub(crate) fn drop_outcome(&self) -> Option<Payload> {
        if !self.has(Flag::HOLDS_OUTCOME) || self.has(Flag::POLLING) {
            return None;
        }
        self.clear(Flag::HOLDS_OUTCOME);
        // SAFETY: the outcome was there until the line above.
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.drop_outcome)(self.0) })).err()
    }

    /// Moves the error out of a task that failed with an `E`, if nobody took it yet.
    pub(crate) fn take_error<E: 'static>(&self) -> Option<E> {
        if !self.has(Flag::FAILED) || !self.has(Flag::HOLDS_OUTCOME) || self.has(Flag::POLLING) {
            return None;
        }
        let mut error = MaybeUninit::<E>::uninit();
        let place = NonNull::from(&mut error).cast();
        // SAFETY: the stage holds the outcome (checked); `place` has room for an `E`, of which the type is told.
        let taken = unsafe { (self.vtable.take_error)(self.0, TypeId::of::<E>(), place) };
        // SAFETY: true means that it was written.
        taken.then(|| unsafe { error.assume_init() })
    }

    /// The error that the stage holds, as text.
    pub(crate) fn failure(&self) -> Option<String> {
        if !self.has(Flag::HOLDS_OUTCOME) || self.has(Flag::POLLING) {
            return None;
        }
        // SAFETY: the stage holds the outcome (checked).
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.failure)(self.0) }))
            .unwrap_or_else(|_| Some("an error whose Debug panicked".to_owned()))
    }
}

/// A poll that has begun: until it is over nobody else touches the future.
#[must_use = "the future cannot be polled, or dropped, while it lives"]
pub(super) struct Polling<'a>(&'a RecordRef);

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.clear(Flag::POLLING);
    }
}

impl Polling<'_> {
    /// Polls the future once. A panic is a result like any other.
    #[inline]
    pub(super) fn poll(self, cx: &mut Context<'_>) -> Polled {
        let Polling(record) = &self;
        // SAFETY: the stage holds the future (`begin_poll`), and nobody else touches it (rule 3) while `self` lives.
        unsafe { (record.vtable.poll)(record.0, cx) }
    }
}

/// A reference that is not counted.
#[derive(Clone, Copy)]
pub(super) struct Uncounted(NonNull<Header>);

impl RecordRef {
    #[inline]
    pub(super) fn uncounted(&self) -> Uncounted {
        Uncounted(self.0)
    }
}

impl Uncounted {
    /// # Safety
    /// Until `look` has returned there must be a counted one.
    #[inline]
    pub(super) unsafe fn look<R>(self, look: impl FnOnce(&RecordRef) -> R) -> R {
        look(&ManuallyDrop::new(RecordRef(self.0)))
    }
}

/// A record's link to the one after it. A type of its own, so that the chain alone can change it.
#[derive(Default)]
pub(super) struct Next(Cell<Option<RecordRef>>);

/// Whether a record is in a chain. The chain alone can change it.
#[derive(Default)]
pub(super) struct Queued(Cell<bool>);

impl Queued {
    pub(super) fn get(&self) -> bool {
        self.0.get()
    }
}

/// Records one after the other, each of which holds the next.
#[derive(Default)]
pub(super) struct Chain {
    first: Cell<Option<RecordRef>>,
    last: Cell<Option<Uncounted>>,
}

impl Chain {
    /// False if it is in a chain already.
    #[inline]
    pub(super) fn push(&self, record: &RecordRef) -> bool {
        if record.queued.get() {
            return false;
        }
        let link = Some(record.clone());
        record.queued.0.set(true);
        let nobody = match self.last.replace(Some(record.uncounted())) {
            // SAFETY: the first holds the next, and so on to the last (rule 6), which `pop` forgets when it takes it out.
            Some(last) => unsafe { last.look(|last| last.next.0.replace(link)) },
            None => self.first.replace(link),
        };
        debug_assert!(nobody.is_none(), "behind the last there is nobody");
        mem::forget(nobody); // and so no destructor to call
        true
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<RecordRef> {
        let first = self.first.take()?;
        let next = first.next.0.take();
        if next.is_none() {
            self.last.set(None);
        }
        mem::forget(self.first.replace(next)); // of nobody: it was taken above
        first.queued.0.set(false);
        Some(first)
    }
}

/// One by one: a chain may be longer than the stack is deep.
impl Drop for Chain {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} spawned at {}", self.number, self.spawned_at)
    }
}

/// A reference to a record whose task, when awaited, gives an `O`: a `Result<T, TaskError<E>>`. What the stage holds in
/// the end is a `Result<T, E>`.
///
/// `O` is one parameter, and not the two, so that whoever has a future with output `O` can ask whether it is the handle
/// of such a task.
pub(crate) struct Typed<O> {
    record: RecordRef,
    /// The outcome may be dropped through this.
    output: PhantomData<O>,
}

impl<O> Deref for Typed<O> {
    type Target = RecordRef;

    fn deref(&self) -> &RecordRef {
        &self.record
    }
}

impl<O> Typed<O> {
    /// Moves out what awaiting the task gives, if the task is over and nobody took it yet.
    pub(crate) fn take(&self) -> Option<O> {
        if !self.has_but_not(Flag::DONE, Flag::POLLING) {
            return None;
        }
        let mut output = MaybeUninit::<O>::uninit();
        let place = NonNull::from(&mut output).cast();
        // SAFETY: `place` has room for an `O`, and that is what this record's task gives (rule 4).
        let taken = unsafe { (self.record.vtable.take)(self.record.0, place) };
        // SAFETY: true means that it was written.
        taken.then(|| unsafe { output.assume_init() })
    }
}

impl<T, E> Typed<Result<T, TaskError<E>>> {
    /// Where the record's outcome is, when it is there.
    fn outcome(&self) -> NonNull<Result<T, E>> {
        // SAFETY: the stage is so far into the record, and what it holds is at its address, of this type (rule 4).
        unsafe { self.record.0.byte_add(self.record.vtable.stage) }.cast()
    }

    /// Moves out the value, if the task is over with one, and nobody took it yet.
    #[inline]
    pub(crate) fn take_value(&self) -> Option<T> {
        if !self.has_but_not(Flag::DONE | Flag::HOLDS_OUTCOME, Flag::FAILED | Flag::POLLING) {
            return None;
        }
        self.clear(Flag::HOLDS_OUTCOME);
        // SAFETY: it was there until the line above, and is not read again.
        unsafe { self.outcome().read() }.ok()
    }

    /// Looks at the outcome, if there is one that nobody took. `look` must not take it.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&Result<T, E>) -> R) -> Option<R> {
        /// While somebody looks, the stage is as untouchable as during a poll.
        struct Looking<'a>(&'a Header);
        impl Drop for Looking<'_> {
            fn drop(&mut self) {
                self.0.clear(Flag::POLLING);
            }
        }
        if !self.has(Flag::HOLDS_OUTCOME) || self.has(Flag::POLLING) {
            return None;
        }
        self.set(Flag::POLLING);
        let _looking = Looking(&self.record);
        // SAFETY: it is there (checked), and with `POLLING` set nobody takes or drops it.
        Some(look(unsafe { self.outcome().as_ref() }))
    }
}

/// What a new record is told.
pub(crate) struct Birth {
    pub(crate) home: Rc<Engine>,
    pub(crate) id: TaskId,
    pub(crate) number: u32,
    pub(crate) spawned_at: &'static Location<'static>,
}

/// A reference to the record of such a future.
pub(crate) type TypedOf<F, K> = Typed<
    Result<
        <K as Kind<<F as Future>::Output>>::Value,
        TaskError<<K as Kind<<F as Future>::Output>>::Error>,
    >,
>;

/// A record for a future that borrows nothing.
pub(crate) fn owned<F, K>(_kind: K, birth: Birth, future: F) -> TypedOf<F, K>
where
    F: Future + 'static,
    K: Kind<F::Output, Value: 'static>,
{
    // SAFETY: nothing in the future or its outcome can end before the record does.
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
            if self.0.has(Flag::POLLING) {
                std::process::abort(); // cannot be: `body` made the poll and has returned
            }
            self.0.drop_future().into_iter().chain(self.0.drop_outcome()).for_each(discard);
        }
    }
    // SAFETY: `Emptied` drops what the stage holds before this function ends, so nothing that the future
    // borrowed is used later; the record itself, which other references may keep, borrows nothing.
    let record = Emptied(unsafe { allocate::<F, K>(birth, future) });
    body(&record.0)
}

/// # Safety
/// The stage must be empty before anything that the future or its outcome borrow ends.
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
    let flags = Flag::HOLDS_FUTURE | whose;
    let header = Header::new(vtable, home, id, number, flags, spawned_at);
    let stage = UnsafeCell::new(Stage { future: ManuallyDrop::new(future) });
    // SAFETY: either has room for the record, and is aligned for it.
    unsafe { place.write(Record { header, stage }) };
    // SAFETY: a box is never null.
    let record = RecordRef(unsafe { NonNull::new_unchecked(place) }.cast());
    Typed { record, output: PhantomData }
}

type StageOf<F, K> =
    Stage<F, <K as Kind<<F as Future>::Output>>::Value, <K as Kind<<F as Future>::Output>>::Error>;
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
    unsafe fn stage(record: NonNull<Header>) -> NonNull<StageOf<F, K>> {
        let record = record.cast::<RecordOf<F, K>>();
        // SAFETY: the record lives (the caller's promise), and `UnsafeCell` lets its content be changed.
        let stage = unsafe { (*record.as_ptr()).stage.get() };
        // SAFETY: the address of a field is not null.
        unsafe { NonNull::new_unchecked(stage) }
    }

    /// # Safety
    /// A living record of these types, `HOLDS_FUTURE` and `POLLING` set.
    unsafe fn poll(record: NonNull<Header>, cx: &mut Context<'_>) -> Polled {
        // SAFETY: passed on.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: passed on; only `&Header` exist.
        let header = unsafe { record.as_ref() };
        let mut outcome = None; // out here, so that its destructor never runs while another panic is on its way
        let polled = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the stage holds the future, and nobody else touches it during the poll (rule 3).
            let future = unsafe { stage.cast::<F>().as_mut() };
            // SAFETY: the stage never moves (rule 2), and the future is dropped in its place.
            let polled = unsafe { Pin::new_unchecked(future) }.poll(cx);
            if let Poll::Ready(output) = polled {
                outcome = Some(K::outcome(output));
                header.clear(Flag::HOLDS_FUTURE);
                // SAFETY: it was there until the line above.
                unsafe { Self::drop_future(record) };
            }
        }));
        match (polled, outcome) {
            (Ok(()), None) => Polled::Pending,
            (Ok(()), Some(outcome)) => {
                let polled = if outcome.is_ok() { Polled::Value } else { Polled::Failure };
                // SAFETY: the stage is empty now and of the right type.
                unsafe { stage.write(Stage { outcome: ManuallyDrop::new(outcome) }) };
                header.set(Flag::HOLDS_OUTCOME);
                polled
            }
            (Err(payload), outcome) => {
                // What was thrown first is what counts, whatever these throw.
                quietly(|| drop(outcome));
                if header.has(Flag::HOLDS_FUTURE) {
                    header.clear(Flag::HOLDS_FUTURE);
                    // SAFETY: it was there until the line above.
                    quietly(|| unsafe { Self::drop_future(record) });
                }
                header.with_extras(|extras| extras.panic = Some(Panic::new(payload)));
                Polled::Panicked
            }
        }
    }

    /// # Safety
    /// A living record of these types whose stage holds the future; it does not any more afterwards.
    unsafe fn drop_future(record: NonNull<Header>) {
        // SAFETY: passed on.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: the stage holds the future, and it is not used again.
        unsafe { stage.cast::<F>().drop_in_place() };
    }

    /// # Safety
    /// A living record of these types whose stage holds the outcome; it does not any more afterwards.
    unsafe fn drop_outcome(record: NonNull<Header>) {
        // SAFETY: passed on.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: the stage holds the outcome, and it is not used again.
        unsafe { stage.cast::<Result<K::Value, K::Error>>().drop_in_place() };
    }

    /// Writes what awaiting gives to `place`, or returns false.
    ///
    /// # Safety
    /// A living record of these types whose task is over; `place` has room for a `Result<Value, TaskError<Error>>`.
    unsafe fn take(record: NonNull<Header>, place: NonNull<()>) -> bool {
        // SAFETY: passed on; only `&Header` exist.
        let header = unsafe { record.as_ref() };
        let place = place.cast::<Result<K::Value, TaskError<K::Error>>>();
        if header.has_but_not(Flag::HOLDS_OUTCOME, Flag::FAILED) {
            header.clear(Flag::HOLDS_OUTCOME);
            // SAFETY: the stage held the outcome until the line above, and is not read again.
            if let Ok(value) = unsafe { Self::read(record) } {
                // SAFETY: there is room for it.
                unsafe { place.write(Ok(value)) };
                return true;
            }
            unreachable!("a task that has not failed holds a value");
        }
        let error = if header.has(Flag::HOLDS_OUTCOME) && !header.has(Flag::GROUPED) {
            header.clear(Flag::HOLDS_OUTCOME);
            // SAFETY: the stage held the outcome until the line above, and is not read again.
            unsafe { Self::read(record) }.err().map(TaskError::Failed)
        } else {
            header.ending()
        };
        let Some(error) = error else { return false };
        // SAFETY: there is room for it.
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
        // SAFETY: passed on; only `&Header` exist.
        let header = unsafe { record.as_ref() };
        header.clear(Flag::HOLDS_OUTCOME);
        // SAFETY: the stage held the outcome until the line above, and is not read again.
        match unsafe { Self::read(record) } {
            Ok(_) => false,
            Err(error) => {
                // SAFETY: `wanted` is the type of the error, and there is room for it.
                unsafe { place.cast::<K::Error>().write(error) };
                true
            }
        }
    }

    /// # Safety
    /// A living record of these types whose stage held the outcome, which is not read again.
    unsafe fn read(record: NonNull<Header>) -> Result<K::Value, K::Error> {
        // SAFETY: passed on.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: passed on.
        unsafe { stage.cast::<Result<K::Value, K::Error>>().read() }
    }

    /// # Safety
    /// A living record of these types whose stage holds the outcome.
    unsafe fn failure(record: NonNull<Header>) -> Option<String> {
        // SAFETY: passed on.
        let stage = unsafe { Self::stage(record) };
        // SAFETY: the stage holds the outcome.
        let outcome = unsafe { stage.cast::<Result<K::Value, K::Error>>().as_ref() };
        outcome.as_ref().err().map(|error| format!("{error:?}"))
    }

    /// # Safety
    /// A record of these types in a box of its own, header and stage of which are not used any more.
    unsafe fn unbox(record: NonNull<Header>) {
        let record = record.cast::<MaybeUninit<RecordOf<F, K>>>();
        // SAFETY: it came from such a box in `allocate`, and nobody uses it any more.
        drop(unsafe { Box::from_raw(record.as_ptr()) });
    }
}

/// Memory for one record.
pub(super) type Block = Box<[MaybeUninit<Unit>]>;

/// What blocks are measured in. Few futures want more alignment.
pub(super) type Unit = u64;

/// Blocks of more units are not kept: a big task is rare, and its own work dwarfs the allocator's.
const BIGGEST_KEPT: usize = 127;

/// Blocks that hold no record, in a pile for each size, by its number of units (rule 7): each holds where the one below it is.
pub(super) struct Piles([Cell<Option<NonNull<Unused>>>; BIGGEST_KEPT + 1]);

/// How a block begins that holds no record.
struct Unused {
    below: Option<NonNull<Unused>>,
}

const _: () = assert!(size_of::<Unused>() <= size_of::<Unit>());
const _: () = assert!(align_of::<Unused>() <= align_of::<Unit>());

impl Default for Piles {
    fn default() -> Piles {
        Piles([const { Cell::new(None) }; BIGGEST_KEPT + 1])
    }
}

impl Piles {
    /// False if the block is of a size that is not kept; it is given back then.
    #[inline]
    pub(super) fn push(&self, block: Block) -> bool {
        let units = block.len();
        if !(1..=BIGGEST_KEPT).contains(&units) {
            return false;
        }
        let block = Box::into_raw(block).cast::<Unused>();
        // SAFETY: a block of one unit and more has room for it, and is aligned for it.
        unsafe { block.write(Unused { below: self.0[units].get() }) };
        self.0[units].set(NonNull::new(block));
        true
    }

    #[inline]
    pub(super) fn pop(&self, units: usize) -> Option<Block> {
        let pile = self.0.get(units)?;
        let block = pile.get()?;
        // SAFETY: it is in a pile, so it holds no record, and begins like this (rule 7, and `push`).
        pile.set(unsafe { block.as_ref() }.below);
        let block = ptr::slice_from_raw_parts_mut(block.cast().as_ptr(), units);
        // SAFETY: it came from a box, of so many units, for it was in this pile (rule 7); now it is in none.
        Some(unsafe { Box::from_raw(block) })
    }
}

impl Drop for Piles {
    fn drop(&mut self) {
        for units in 0..=BIGGEST_KEPT {
            while self.pop(units).is_some() {}
        }
    }
}

/// A future of somebody else's, held in place beside some state, and dropped in place when it must go.
///
/// What is done with the two is the [`Frame`]'s business; this type only keeps the future pinned: it is reached
/// through `Pin` alone, and a `Held` has no destructor of its own.
pub(crate) struct Held<F, S> {
    future: Option<F>,
    state: S,
}

/// What stands around a future and is polled in its stead.
pub(crate) trait Frame<F: Future> {
    type Output;

    /// `held` is `Some` until the frame sets it to `None`, or is over.
    fn poll(&mut self, held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

impl<F: Future, S: Frame<F>> Held<F, S> {
    pub(crate) fn new(future: F, state: S) -> Held<F, S> {
        Held { future: Some(future), state }
    }
}

impl<F: Future, S: Frame<F>> Future for Held<F, S> {
    type Output = S::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        // SAFETY: nothing is moved out of `this`: the future is pinned again at once, the state never is.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: `future` is a field of a pinned value, is never moved, and is dropped in its place.
        let held = unsafe { Pin::new_unchecked(&mut this.future) };
        this.state.poll(held, cx)
    }
}

impl<F, S> fmt::Debug for Held<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("is_over", &self.future.is_none()).finish_non_exhaustive()
    }
}
