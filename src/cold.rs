//! **The cold part of a record**: data that few tasks need.
//!
//! In the header it would make every task larger. It is allocated on first use and stays until the record is freed, so most tasks
//! never have one. Each field is a cell of its own, so code that uses one field never blocks code that uses another. No foreign
//! code runs inside a borrow.
//!
//! As in `engine.rs`, each field belongs to one ring, and this file only creates and empties it.
//!
//! A cancelled task has a reason, which is one word, and needs no cold part. A header with a word for each would be eight bytes
//! larger for all tasks. So one word is either, and the reason moves into the cold part when that is made.
//!
//! The invariant, *Either*: a word with the bit [`COLD`] is the pointer of a `Box<Cold>` plus that bit, and the box is this word's.
//! It keeps it until it is dropped, so the cold part stays where it is for as long. Any other word is that of a `Reason`, which is
//! this word's too. It rests on *Tagged* of `reason/mod.rs`: no word of a reason has the bit.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::awaited::AwaitedNotes;
use crate::cancel::CancelDetails;
use crate::error::Panic;
use crate::join::Joiners;
use crate::kept_waker::ForeignWakers;
use crate::reason::{self, Reason};
use crate::scope::Scope;
use crate::task_local::TaskLocals;

/// The rarely used data of one task.
#[derive(Default)]
pub(crate) struct Cold {
    /// The panic of a task with the flag [`PANICKED`](crate::kernel::record::Flag::PANICKED).
    pub(crate) panic: RefCell<Option<Panic>>,
    /// The name that the user gave the task. A cause of a cancel shares it, and may be sent to another thread.
    pub(crate) name: RefCell<Option<Arc<str>>>,
    pub(crate) locals: TaskLocals,
    /// All joiners except the first, which is in the header.
    pub(crate) joiners: RefCell<Joiners>,
    /// The foreign wakers that the task's checkpoints keep.
    pub(crate) foreign_wakers: RefCell<ForeignWakers>,
    pub(crate) awaited: AwaitedNotes,
    pub(crate) cancel: CancelDetails,
    /// Why the task is cancelled, or was.
    reason: Cell<Reason>,
    /// The task as a scope: the outermost one around its future, where a cancel that nothing catches ends up.
    pub(crate) scope: Scope,
    /// A task that awaited this one through `shield` was cancelled: a failure is reported even if a handle takes it.
    pub(crate) is_orphan_of_shield: Cell<bool>,
}

impl Cold {
    /// Drops everything that may run foreign code. That code may use the record, which is consistent.
    pub(crate) fn empty(&self) {
        self.locals.empty();
        drop(self.joiners.take());
        drop(self.reason.take());
        self.awaited.empty();
        drop(self.panic.take());
        self.scope.is_over();
    }
}

/// The tag of a cold part.
const COLD: usize = 2;

const _: () = assert!(align_of::<Cold>() > COLD && reason::FREE_BITS & COLD != 0);

/// The cold part of a task; or the reason of its cancel, if it has no cold part.
pub(crate) struct ColdOrReason(Cell<*const ()>);

impl Default for ColdOrReason {
    fn default() -> ColdOrReason {
        ColdOrReason(Cell::new(Reason::none().into_word()))
    }
}

impl ColdOrReason {
    #[inline]
    pub(crate) fn cold(&self) -> Option<&Cold> {
        let word = self.0.get();
        if word.addr() & COLD == 0 {
            return None;
        }
        // SAFETY: *Either*: it is the pointer of a box, with the tag. (With `map_addr` the compiler would ask whether it is null.)
        let cold = unsafe { word.byte_sub(COLD) }.cast::<Cold>();
        // SAFETY: *Either*: the box stays as long as this word.
        Some(unsafe { &*cold })
    }

    #[inline]
    pub(crate) fn cold_or_new(&self) -> &Cold {
        self.cold().unwrap_or_else(|| self.make_cold())
    }

    #[cold]
    #[inline(never)]
    fn make_cold(&self) -> &Cold {
        let cold = Cold { reason: Cell::new(self.replace(Reason::none())), ..Cold::default() };
        let cold = Box::into_raw(Box::new(cold));
        self.0.set(cold.cast::<()>().map_addr(|address| address | COLD));
        // SAFETY: *Either*: as in `cold`.
        unsafe { &*cold }
    }

    /// Replaces the reason in the word, which is not a cold part.
    #[inline]
    fn replace(&self, reason: Reason) -> Reason {
        let before = self.0.replace(reason.into_word());
        // SAFETY: *Either*: it is the word of a reason, which was this word's until now.
        unsafe { Reason::of_word(before) }
    }

    pub(crate) fn reason(&self) -> Reason {
        let Some(cold) = self.cold() else {
            // SAFETY: *Either*: it is the word of a reason, which stays this word's: what is made of it here is not dropped.
            let reason = ManuallyDrop::new(unsafe { Reason::of_word(self.0.get()) });
            return Reason::clone(&reason);
        };
        let reason = cold.reason.take();
        cold.reason.set(reason.clone());
        reason
    }

    #[inline]
    pub(crate) fn set_reason(&self, reason: Reason) {
        drop(match self.cold() {
            Some(cold) => cold.reason.replace(reason),
            None => self.replace(reason),
        });
    }

    /// Whether it holds something that has to be dropped. If not it may be forgotten.
    #[inline]
    pub(crate) fn needs_drop(&self) -> bool {
        self.0.get().addr() & (COLD | reason::COUNTED) != 0
    }
}

impl Drop for ColdOrReason {
    fn drop(&mut self) {
        if self.cold().is_none() {
            return drop(self.replace(Reason::none()));
        }
        let cold = self.0.get().map_addr(|address| address & !COLD);
        // SAFETY: *Either*: it is the pointer of a box, which is this word's, and the word is not used again.
        drop(unsafe { Box::from_raw(cold.cast::<Cold>().cast_mut()) });
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;

    #[test]
    fn a_reason_is_kept_when_the_cold_part_is_made_and_can_be_replaced_before_and_after() {
        let said = |text: &str| Reason::said(text.to_owned(), Location::caller());
        let word = ColdOrReason::default();
        assert!(word.reason().is_none() && !word.needs_drop());
        word.set_reason(Reason::at(Location::caller()));
        assert!(word.reason().location().is_some() && !word.needs_drop(), "a line is forgotten");
        word.set_reason(said("one"));
        assert!(word.cold().is_none() && word.needs_drop());
        word.cold_or_new().is_orphan_of_shield.set(true);
        assert_eq!(word.reason(), said("one"));
        word.set_reason(said("two"));
        assert_eq!(word.reason(), said("two"));
        assert!(word.cold().is_some_and(|cold| cold.is_orphan_of_shield.get()));
        let never_cold = ColdOrReason::default();
        never_cold.set_reason(said("three")); // the sanitizers see whether both are freed, once
    }
}
