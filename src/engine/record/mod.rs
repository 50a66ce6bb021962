//! **The task record**: one heap allocation a task.
//!
//! ```text
//!            ┌──────────── Header, 88 bytes ─────────────┬── stage ──────────┐
//! RecordRef ─▶ vtable · home · counts · flags · joiners …│ future OR outcome │
//!            └───────────────────────────────────────────┴───────────────────┘
//! ```
//!
//! A loop keeps tasks of many types in one table, so a record hides its type behind a table of functions. Future and outcome
//! are never there at once and share their place. Counts are plain `Cell`s: neither a [`RecordRef`] nor a
//! [`Typed`] ever leaves the thread (neither is `Send`), and wakers do not point here.
//!
//! | file | idea |
//! |---|---|
//! | `state` | the header: flags, counts, who waits for whom |
//! | `stage` | where future and outcome are; the functions for one type of future |
//! | `outcome` | a reference that knows the type of the outcome: to take it, or to inspect it |
//! | `chain` | records one after the other: the ready queue |
//! | `memory` | blocks of memory for records, kept and handed out again |
//!
//! This folder guarantees memory safety and nothing else. Its invariants:
//!
//! 1. *Contents*: `HOLDS_FUTURE` and `HOLDS_OUTCOME` say what the stage holds; never both. Each is cleared *before* what it
//!    stands for is dropped or moved out, so a destructor that comes back finds it gone.
//! 2. *Pinned*: the stage never moves: it is in a block of memory that is given back with the last reference, and only if what the
//!    stage held has been dropped or moved out.
//! 3. *Lent*: while `LENT` is set, foreign code has a reference into the stage: its contents are not dropped, moved or lent again.
//! 4. *Counted*: a [`RecordRef`] is one of `references`; the record lives until they are zero. An [`Uncounted`] is used only
//!    while there is a counted one.
//! 5. *Typed*: a [`Typed<Result<T, TaskError<E>>>`](Typed) is only made with a record whose outcome is a `Result<T, E>`.
//! 6. *Borrowed*: a future that borrows from a stack exists only inside [`scoped`], which empties the stage before it returns.
//! 7. *Chained* is in `chain.rs`, *Kept* in `memory.rs`.
//!
//! The unsafe files are this one, `stage`, `outcome`, `chain` and `memory`; they rest on `state.rs`, which can change the bits that
//! the first three are about for this folder alone. No other file can break them.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

mod chain;
mod memory;
mod outcome;
mod stage;
mod state;

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::task::Context;

pub(crate) use chain::Chain;
pub(crate) use memory::Blocks;
pub(crate) use outcome::{Typed, TypedOf};
pub(crate) use stage::{Birth, Fallible, Kind, Plain, Polled, owned, scoped};
pub(crate) use state::{Flag, Header, NO_TASK, Stage};

use super::foreign::{self, Payload};
use super::reason::Reason;
use state::Bits;

/// A counted reference to a record, whatever its type. Dropping one never panics, but may run foreign destructors.
pub(crate) struct RecordRef(NonNull<Header>);

impl Deref for RecordRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: *Counted*: the record lives as long as this reference, and only `&Header` are given out.
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
    /// Only forgetting four billion references leads here; the memory would last that long too.
    #[cold]
    fn has_too_many_references(&self) -> ! {
        self.references.set(u32::MAX);
        panic!("too many references to one task: four billion were forgotten");
    }

    /// The last reference goes.
    fn free(&mut self) {
        let holds_something =
            self.has(Stage::HOLDS_FUTURE | Stage::HOLDS_OUTCOME | Flag::AWAITS | Flag::REASON);
        if (holds_something || self.cold.get().is_some()) && !self.is_emptied() {
            return;
        }
        let vtable = self.vtable;
        // SAFETY: *Counted*: this was the last reference, so the header is not used again. Nothing else in it has a destructor to
        // run: it awaits nothing, has no reason and no cold part (`is_emptied`), and `next` is empty, for no chain holds the record.
        let home = unsafe { (&raw const self.home).read() };
        if let Some(units) = vtable.units {
            let block = ptr::slice_from_raw_parts_mut(self.0.as_ptr().cast(), units);
            // SAFETY: it came from a block of so many units in `allocate`; *Contents*: the stage is empty.
            home.blocks.keep(unsafe { Box::from_raw(block) });
        } else {
            // SAFETY: it came from a box in `allocate`; *Contents*: the stage is empty.
            unsafe { (vtable.unbox)(self.0) };
        }
    }

    /// Drops what the record holds. False if there is no memory to be given back: a destructor took a new reference, which frees the
    /// record when it goes, or the future was forgotten.
    #[inline(never)]
    fn is_emptied(&self) -> bool {
        // Destructors may run anything; the record must still be whole then.
        self.references.set(1);
        self.drop_future().into_iter().chain(self.drop_outcome()).for_each(foreign::discard);
        drop(self.set_awaiting(None));
        self.set_reason(Reason::none());
        if let Some(cold) = self.cold_if_any() {
            cold.empty();
        }
        let count = self.references.get() - 1;
        self.references.set(count);
        if count > 0 {
            return false;
        }
        // SAFETY: *Counted*: no reference is left, so the header is not used again but by `free`, which does not look at this
        // field. What is in the cold part was emptied above.
        drop(unsafe { (&raw const self.cold).read() });
        if self.has(Stage::LENT) {
            // SAFETY: *Counted*, as above. The memory stays what it is: the future was forgotten (*Pinned*).
            drop(unsafe { (&raw const self.home).read() });
            return false;
        }
        true
    }

    /// Tells this record from every other that is alive.
    pub(crate) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// The future is about to be polled, if it is there, is not being polled already, and none of the flags `against` is set.
    #[inline]
    pub(crate) fn begin_poll(&self, against: Flag) -> Option<Polling<'_>> {
        if !self.has_but_not(Stage::HOLDS_FUTURE, Stage::LENT | against) {
            return None;
        }
        self.change(Stage::LENT | Flag::STARTED, Bits::from(Flag::NONE));
        Some(Polling(self))
    }

    /// Drops the future if it is still there; hands back what its destructor threw.
    pub(crate) fn drop_future(&self) -> Option<Payload> {
        if !self.has_but_not(Stage::HOLDS_FUTURE, Stage::LENT) {
            return None;
        }
        self.clear_stage(Stage::HOLDS_FUTURE);
        // SAFETY: *Contents*: the future was there until the line above; *Lent*: and is not being polled.
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.drop_future)(self.0) })).err()
    }

    /// Forgets the future if it is still there: it is lent for ever. So its destructor never runs, and its memory is never given
    /// back, as a pinned future may rely on.
    pub(crate) fn forget_future(&self) {
        if self.has(Stage::HOLDS_FUTURE) {
            self.set_stage(Stage::LENT);
        }
    }

    /// Drops the outcome if it was not taken; hands back what its destructor threw.
    pub(crate) fn drop_outcome(&self) -> Option<Payload> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME, Stage::LENT) {
            return None;
        }
        self.clear_stage(Stage::HOLDS_OUTCOME);
        // SAFETY: *Contents*: the outcome was there until the line above; *Lent*: and nothing inspects it.
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.drop_outcome)(self.0) })).err()
    }
}

/// A poll that has begun: until it is over nothing else touches the future.
#[must_use = "the future cannot be polled, or dropped, while it lives"]
pub(crate) struct Polling<'a>(&'a RecordRef);

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.clear_stage(Stage::LENT);
    }
}

impl Polling<'_> {
    /// Polls the future once. A panic is a result like any other.
    #[inline]
    pub(crate) fn poll(self, cx: &mut Context<'_>) -> Polled {
        let Polling(record) = &self;
        // SAFETY: *Contents*: the stage holds the future (`begin_poll`); *Lent*: nothing else touches it while `self` lives.
        unsafe { (record.vtable.poll)(record.0, cx) }
    }
}

/// A reference that is not counted.
#[derive(Clone, Copy)]
pub(crate) struct Uncounted(NonNull<Header>);

impl RecordRef {
    #[inline]
    pub(crate) fn uncounted(&self) -> Uncounted {
        Uncounted(self.0)
    }
}

impl Uncounted {
    /// # Safety
    /// Until `inspect` has returned there must be a counted reference (*Counted*).
    #[inline]
    pub(crate) unsafe fn with<R>(self, inspect: impl FnOnce(&RecordRef) -> R) -> R {
        inspect(&ManuallyDrop::new(RecordRef(self.0)))
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} spawned at {}", self.number, self.spawned_at)
    }
}
