//! **A chain of records**: what the ready queue is made of. Each record holds the next, so a wake-up allocates nothing.
//!
//! The invariant, *Chained*: a record is in a chain exactly while its [`Queued`] says so, in one chain, once. The chain holds its
//! first record, each record holds the next, and `last` is the last of them. Only this file can change [`Next`] and [`Queued`].
//!
//! It rests on no file without `unsafe`.

#![allow(unsafe_code)] // an island: see the list in `.ci/run`

use std::cell::Cell;
use std::mem;

use super::{RecordRef, Uncounted};

/// A record's link to the one after it.
#[derive(Default)]
pub(super) struct Next(Cell<Option<RecordRef>>);

/// Whether a record is in a chain.
#[derive(Default)]
pub(super) struct Queued(Cell<bool>);

impl RecordRef {
    /// While `run` runs, a push of this record does nothing, as if it were in a chain already.
    ///
    /// *Chained* says that it is in one; meanwhile no chain leads to it, which is all that the chains rest on.
    pub(crate) fn deaf<R>(&self, run: impl FnOnce() -> R) -> R {
        struct Hears<'a>(&'a RecordRef);
        impl Drop for Hears<'_> {
            fn drop(&mut self) {
                self.0.queued.0.set(false);
            }
        }
        let _hears = (!self.queued.0.replace(true)).then(|| Hears(self));
        run()
    }
}

impl Queued {
    #[inline]
    pub(super) fn get(&self) -> bool {
        self.0.get()
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
            return false;
        }
        let link = Some(record.clone());
        record.queued.0.set(true);
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
