//! **A chain of records**: what the ready queue is made of. Each record holds the next, so a wake-up allocates nothing.
//!
//! The invariant, *Chained*: a record is in a chain exactly while its [`Queued`] has the bit for it, in one chain, once. The chain
//! holds its first record, each record holds the next, and `last` is the last of them. Only this file can change [`Next`] and
//! [`Queued`].
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::cell::Cell;
use std::mem;

use super::{RecordRef, Uncounted};

/// A record's link to the one after it.
#[derive(Default)]
pub(super) struct Next(Cell<Option<RecordRef>>);

/// Whether a record is in a chain, and whether it hears.
#[derive(Default)]
pub(super) struct Queued(Cell<u8>);

impl RecordRef {
    /// While `run` runs, a push of this record does nothing, as if it were in a chain already. Says whether there was one.
    pub(crate) fn deaf<R>(&self, run: impl FnOnce() -> R) -> (R, bool) {
        /// `run` may panic.
        struct PutBack<'a>(&'a Queued, u8);
        impl Drop for PutBack<'_> {
            fn drop(&mut self) {
                let (Queued(bits), before) = (self.0, self.1);
                // Who was deaf to it before hears the same.
                let kept = if before & Queued::DEAF != 0 { Queued::WAS_PUSHED } else { 0 };
                bits.set(bits.get() & (Queued::IN_CHAIN | kept) | before);
            }
        }
        let Queued(bits) = &self.queued;
        let before = bits.get();
        let put_back = PutBack(&self.queued, before & !Queued::IN_CHAIN);
        bits.set(before & Queued::IN_CHAIN | Queued::DEAF);
        let returned = run();
        let was_pushed = bits.get() & Queued::WAS_PUSHED != 0;
        drop(put_back);
        (returned, was_pushed)
    }
}

impl Queued {
    const IN_CHAIN: u8 = 1;
    const DEAF: u8 = 2;
    /// While it was deaf.
    const WAS_PUSHED: u8 = 4;

    /// Whether a push does nothing.
    #[inline]
    pub(super) fn get(&self) -> bool {
        self.0.get() != 0
    }

    #[cold]
    fn note_push(&self) {
        if self.0.get() & Queued::DEAF != 0 {
            self.0.set(self.0.get() | Queued::WAS_PUSHED);
        }
    }
}

/// Records one after the other.
#[derive(Default)]
pub(crate) struct Chain {
    first: Cell<Option<RecordRef>>,
    last: Cell<Option<Uncounted>>,
}

impl Chain {
    /// False if the record is in a chain already.
    #[inline]
    pub(crate) fn push(&self, record: &RecordRef) -> bool {
        if record.queued.get() {
            record.queued.note_push();
            return false;
        }
        let link = Some(record.clone());
        record.queued.0.set(Queued::IN_CHAIN);
        let nothing = match self.last.replace(Some(record.uncounted())) {
            // SAFETY: *Chained*: the record before the last holds a count of it, or the chain does if it is the only one.
            Some(last) => unsafe { last.with(|last| last.next.0.replace(link)) },
            None => self.first.replace(link),
        };
        debug_assert!(nothing.is_none(), "nothing is behind the last record");
        mem::forget(nothing); // and so no destructor to call
        true
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<RecordRef> {
        let first = self.first.take()?;
        let next = first.next.0.take();
        if next.is_none() {
            self.last.set(None);
        }
        mem::forget(self.first.replace(next)); // of `None`: it was taken above
        first.queued.0.set(0);
        Some(first)
    }
}

/// One by one: a chain may be longer than the stack is deep.
impl Drop for Chain {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
