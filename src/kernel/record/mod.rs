//! **The task record**: what every task needs, in one heap allocation.
//!
//! ```text
//!            ┌─────────────── Header, 64 bytes ───────────────┬─────── stage ─────┐
//! RecordRef ─▶ vtable · owner · state · counts · first joiner …│ future OR outcome │
//!            └────────────────────────────────────────────────┴───────────────────┘
//! ```
//!
//! The naive executor allocates a `Pin<Box<dyn Future>>`, a cell for the outcome and a list of joiners: three allocations a task,
//! and two indirections a poll. Here one allocation holds future, outcome and first joiner; what few tasks need is in a second one
//! (`cold.rs`). Future and outcome share the *stage*, because a task never has both. A table of functions (the *vtable*) hides the
//! type of the future: `dyn Future` by hand, so that the pointer is one word. No count is atomic: no reference to a record is
//! `Send`, and no waker points to one.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | a counted reference, and how a record is freed |
//! | `state` | bits: what the stage holds, and how the task is doing |
//! | `header` | the part that does not depend on the type of the future |
//! | `queued` | whether the task is in the ready queue |
//! | `stage` | the place of future and outcome; the functions for one type of future |
//! | `outcome` | a reference that knows the type of the outcome |
//!
//! The unsafe code here promises memory safety, and nothing about how tasks behave. Each `SAFETY` comment cites one of these
//! invariants:
//!
//! 1. *Contents*: `HOLDS_FUTURE` and `HOLDS_OUTCOME` say what the stage holds; at most one is set. Each is cleared *before* the
//!    contents are dropped or moved out, so a destructor that calls back into the loop finds an empty stage.
//! 2. *Pinned*: the stage never moves. Its memory is freed with the last reference, and only after a future in it was dropped.
//! 3. *Lent*: while `LENT` is set, foreign code has a reference into the stage, or the future is forgotten. Only the code that set
//!    it touches the contents: nothing else drops, moves or lends them.
//! 4. *Counted*: `references` counts each [`RecordRef`], and the record lives until the count is zero. An [`Uncounted`] is used
//!    only while a counted reference exists.
//! 5. *Typed*: a record has the vtable of its own types and keeps it. A [`Typed<Result<T, TaskError<E>>>`](Typed) is created only
//!    with a record whose outcome is a `Result<T, E>`.
//! 6. *Borrowed*: a future that borrows from a stack exists only inside [`scoped`], which empties the stage before it returns.
//! 7. *Kept*, about the memory, is in `base/free_lists.rs`.
//!
//! The unsafe files are this one, `stage` and `outcome`. They rest on `state.rs`, `header.rs` and `base/free_lists.rs`; no
//! other file can break them. A record knows its loop (`owner`) and a loop its records: this is the one circle in the crate.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

mod header;
mod outcome;
mod queued;
mod stage;
mod state;

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::task::Context;

use crate::base::panic::{Payload, swallow};
use crate::reason::Reason;

pub(crate) use header::{CALLBACK_SERIAL, Header, SpawnParams};
pub(crate) use outcome::{Typed, TypedOf};
pub(crate) use queued::Heard;
pub(crate) use stage::{Polled, owned, scoped};
pub(crate) use state::{Flag, Stage};

/// A counted reference to a record, whatever the type of its future: an `Rc` with a header. Dropping it never panics, but may run
/// foreign destructors.
pub(crate) struct RecordRef(NonNull<Header>);

impl Deref for RecordRef {
    type Target = Header;

    fn deref(&self) -> &Header {
        // SAFETY: *Counted*: the record lives as long as this reference, and nothing creates a `&mut Header`.
        unsafe { self.0.as_ref() }
    }
}

impl Clone for RecordRef {
    fn clone(&self) -> RecordRef {
        let count = self.references.get().wrapping_add(1);
        self.references.set(count);
        if count == 0 {
            self.count_overflowed();
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
    /// Reached only by forgetting four billion references.
    #[cold]
    fn count_overflowed(&self) -> ! {
        self.references.set(u32::MAX);
        panic!("too many references to one task: four billion were forgotten");
    }

    /// Frees the record: the last reference was dropped.
    fn free(&mut self) {
        // Most records hold nothing any more: the outcome was taken.
        let holds_something = self.has(Stage::HOLDS_FUTURE | Stage::HOLDS_OUTCOME | Flag::AWAITS);
        if (holds_something || self.cold.needs_drop()) && !self.clear_contents() {
            return;
        }
        let vtable = self.vtable;
        // SAFETY: *Counted*: this was the last reference, so the header is not used again. No other field needs its destructor: the
        // task awaits nothing, a reason that counts and the cold part are gone (`clear_contents`), and `next` is `None`.
        let owner = unsafe { (&raw const self.owner).read() };
        if let Some(words) = vtable.words {
            let block = ptr::slice_from_raw_parts_mut(self.0.as_ptr().cast(), words);
            // SAFETY: *Typed*: `allocate` put the record into a block of that many words; *Contents*: the stage is empty.
            owner.free_lists.keep(unsafe { Box::from_raw(block) });
        } else {
            // SAFETY: *Typed*: `allocate` put the record into a box of its own; *Contents*: the stage is empty.
            unsafe { (vtable.unbox)(self.0) };
        }
    }

    /// Drops the contents of the record. True if its memory can be freed now: no destructor took a new reference (which would free the
    /// record later), and the future was not forgotten.
    #[inline(never)]
    fn clear_contents(&self) -> bool {
        // A destructor may run any code, which may find the record and use it: so count this reference until all have run.
        self.references.set(1);
        self.drop_future().into_iter().chain(self.drop_outcome()).for_each(swallow);
        drop(self.awaited.take());
        self.set_reason(Reason::none());
        if let Some(cold) = self.cold_if_any() {
            cold.empty();
        }
        let count = self.references.get() - 1;
        self.references.set(count);
        if count > 0 {
            return false;
        }
        // SAFETY: *Counted*: no reference is left, and `free`, the caller, does not use this field again. What the cold part held
        // was dropped above, while the record was still counted.
        drop(unsafe { (&raw const self.cold).read() });
        if self.has(Stage::LENT) {
            // SAFETY: *Counted*: no reference is left, and `free` returns at once. The future keeps the memory (*Pinned*).
            drop(unsafe { (&raw const self.owner).read() });
            return false;
        }
        true
    }

    #[inline]
    pub(crate) fn uncounted(&self) -> Uncounted {
        Uncounted(self.0)
    }

    /// Different for any two records that exist at the same time.
    pub(crate) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// The right to poll the future once. `None` if there is no future, it is being polled, or one of the flags `against` is set.
    #[inline]
    pub(crate) fn begin_poll_unless(&self, against: Flag) -> Option<Polling<'_>> {
        let lent = Stage::LENT | Flag::STARTED;
        let before = self.set_if(lent, Stage::HOLDS_FUTURE, Stage::LENT | against)?;
        Some(Polling { record: self, waker_has_escaped: before & Flag::WAKER_ESCAPED.0 != 0 })
    }

    /// Drops the future if it is there and not lent. Returns the panic of its destructor.
    pub(crate) fn drop_future(&self) -> Option<Payload> {
        if !self.has_but_not(Stage::HOLDS_FUTURE, Stage::LENT) {
            return None;
        }
        self.change(Flag::NONE, Stage::HOLDS_FUTURE);
        // SAFETY: *Typed*; *Contents*: the stage holds the future, and its bit is cleared; *Lent*: nothing refers to it.
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.drop_future)(self.0) })).err()
    }

    /// Forgets the future if it is there: it stays lent for ever. Its destructor never runs, so its memory is never freed: that is
    /// what `Pin` promises. Not to be called during a poll: the end of the poll would end the loan.
    pub(crate) fn forget_future(&self) {
        if self.has(Stage::HOLDS_FUTURE) {
            self.change(Stage::LENT, Flag::NONE);
        }
    }

    /// Drops the outcome if it is there and not lent. Returns the panic of its destructor.
    pub(crate) fn drop_outcome(&self) -> Option<Payload> {
        if !self.has_but_not(Stage::HOLDS_OUTCOME, Stage::LENT) {
            return None;
        }
        self.change(Flag::NONE, Stage::HOLDS_OUTCOME);
        // SAFETY: *Typed*; *Contents*: the stage holds the outcome, and its bit is cleared; *Lent*: nothing refers to it.
        catch_unwind(AssertUnwindSafe(|| unsafe { (self.vtable.drop_outcome)(self.0) })).err()
    }
}

/// The right to poll a future once. Until it is dropped nothing else touches the future.
#[must_use = "the future cannot be polled, or dropped, while it lives"]
pub(crate) struct Polling<'a> {
    record: &'a RecordRef,
    pub(crate) waker_has_escaped: bool,
}

impl Drop for Polling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.record.change(Flag::NONE, Stage::LENT);
    }
}

impl Polling<'_> {
    /// Polls the future. A panic is caught: it is a result like any other.
    #[inline]
    pub(crate) fn poll(self, cx: &mut Context<'_>) -> Polled {
        // SAFETY: *Typed*; *Contents*: the stage holds the future; *Lent*: nothing else touches it while `self` lives.
        unsafe { (self.record.vtable.poll)(self.record.0, cx) }
    }
}

/// A reference that is not counted, for places where a counted one is known to exist.
#[derive(Clone, Copy)]
pub(crate) struct Uncounted(NonNull<Header>);

impl Uncounted {
    /// # Safety
    /// *Counted*: a counted reference must exist until `inspect` has returned.
    #[inline]
    pub(crate) unsafe fn with<R>(self, inspect: impl FnOnce(&RecordRef) -> R) -> R {
        inspect(&ManuallyDrop::new(RecordRef(self.0)))
    }
}

impl fmt::Debug for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} spawned at {}", self.serial, self.spawned_at())
    }
}
