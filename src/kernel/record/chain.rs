//! **A chain of records**: the linked list that the ready queue is made of.
//!
//! A `VecDeque<RecordRef>` would do, and would allocate when it grows. Here each record holds the link to the next one, so a push
//! allocates nothing and cannot fail. The price: a record can be in one chain only, and only once, which is what a queue of tasks
//! wants anyway.
//!
//! A record can also be made to ignore pushes for a while, and to note that there was one. The kernel does not use this: `scope/`
//! polls a future inside a task, and has to tell whether that poll woke the task.
//!
//! The invariant, *Chained*: a record is in a chain exactly while its [`Queued`] has the bit `IN_CHAIN`; it is in one chain, and
//! once. The chain holds a counted reference to its first record, and each record one to the next. `last` is the last record. Only
//! this file can change a [`Next`] or a [`Queued`].
//!
//! It rests on *Counted* of `mod.rs` too, and so on the count in `header.rs`.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::cell::Cell;
use std::mem;

use super::{RecordRef, Uncounted};

/// The link from a record to the next one in its chain.
#[derive(Default)]
pub(super) struct Next(Cell<Option<RecordRef>>);

/// Whether a record is in a chain, whether it ignores pushes, and whether they are watched.
#[derive(Default)]
pub(super) struct Queued(Cell<u8>);

impl Queued {
    const IN_CHAIN: u8 = 1;
    /// A push is noted and has no other effect.
    const DEAF: u8 = 2;
    /// There was a push while the record was deaf.
    const WAS_PUSHED: u8 = 4;
    /// Each push is told to an observer. A pop clears this bit; a watched turn sets it again.
    const WATCHED: u8 = 8;

    /// True if a push would be ignored: the record is in a chain, or deaf.
    #[inline]
    pub(super) fn get(&self) -> bool {
        self.0.get() & !Queued::WATCHED != 0
    }
}

/// The bits of a record from before [`stop_hearing`](RecordRef::stop_hearing). The calls may nest.
pub(crate) struct Heard(u8);

impl RecordRef {
    /// Whether each push is to be told to an observer.
    pub(crate) fn is_watched(&self) -> bool {
        self.queued.0.get() & Queued::WATCHED != 0
    }

    pub(crate) fn set_watched(&self, watched: bool) {
        let bits = self.queued.0.get() & !Queued::WATCHED;
        self.queued.0.set(if watched { bits | Queued::WATCHED } else { bits });
    }

    /// From now on a push of this record is only noted. [`hear`](RecordRef::hear) needs what this returns.
    pub(crate) fn stop_hearing(&self) -> Heard {
        let Queued(bits) = &self.queued;
        Heard(bits.replace(bits.get() & Queued::IN_CHAIN | Queued::DEAF) & !Queued::IN_CHAIN)
    }

    /// Ends that: `IN_CHAIN` stays as it is. Returns whether there was a push; if the calls nest, the outer one hears of it too.
    pub(crate) fn hear(&self, Heard(before): &Heard) -> bool {
        let Queued(bits) = &self.queued;
        let pushed = bits.get() & Queued::WAS_PUSHED;
        let noted = if before & Queued::DEAF != 0 { pushed } else { 0 };
        bits.set(bits.get() & Queued::IN_CHAIN | before | noted);
        pushed != 0
    }
}

/// Records in a row, first in, first out.
#[derive(Default)]
pub(crate) struct Chain {
    first: Cell<Option<RecordRef>>,
    last: Cell<Option<Uncounted>>,
}

impl Chain {
    /// Adds the record at the end, if it is not in a chain, not deaf and not watched: one load and one test.
    #[inline]
    pub(crate) fn push_if_plain(&self, record: &RecordRef) -> bool {
        let is_plain = record.queued.0.get() == 0;
        if is_plain {
            self.link(record);
        }
        is_plain
    }

    /// Adds the record at the end. False if it is in a chain already, or ignores pushes.
    pub(crate) fn push(&self, record: &RecordRef) -> bool {
        let bits = record.queued.0.get();
        if bits & Queued::DEAF != 0 {
            record.queued.0.set(bits | Queued::WAS_PUSHED);
        }
        let is_new = !record.queued.get();
        if is_new {
            self.link(record);
            record.queued.0.set(bits | Queued::IN_CHAIN);
        }
        is_new
    }

    /// Adds a record that is in no chain.
    #[inline]
    fn link(&self, record: &RecordRef) {
        let link = Some(record.clone());
        record.queued.0.set(Queued::IN_CHAIN);
        let nothing = match self.last.replace(Some(record.uncounted())) {
            // SAFETY: *Chained* and *Counted*: the last record is counted by the link of the record before it, or by `first`.
            Some(last) => unsafe { last.with(|last| last.next.0.replace(link)) },
            None => self.first.replace(link),
        };
        debug_assert!(nothing.is_none(), "nothing is behind the last record");
        mem::forget(nothing); // so the compiler emits no call of a destructor
    }

    /// Takes the first record out of the chain.
    #[inline]
    pub(crate) fn pop(&self) -> Option<RecordRef> {
        let first = self.first.take()?;
        let next = first.next.0.take();
        if next.is_none() {
            self.last.set(None);
        }
        mem::forget(self.first.replace(next)); // it is `None`, as in `link`
        first.queued.0.set(0);
        Some(first)
    }
}

/// Pops the records one by one. If each dropped the next, a long chain would overflow the stack.
impl Drop for Chain {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
