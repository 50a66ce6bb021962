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

/// Whether a record is in a chain, and whether it ignores pushes.
#[derive(Default)]
pub(super) struct Queued(Cell<u8>);

impl Queued {
    const IN_CHAIN: u8 = 1;
    /// A push is noted and has no other effect.
    const DEAF: u8 = 2;
    /// There was a push while the record was deaf.
    const WAS_PUSHED: u8 = 4;

    /// True if a push would be ignored: the record is in a chain, or deaf. One load and one test.
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

/// The bits of a record from before [`stop_hearing`](RecordRef::stop_hearing). The calls may nest.
pub(crate) struct Heard(u8);

impl RecordRef {
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
    /// Adds the record at the end. False if it is in a chain already, or ignores pushes.
    #[inline]
    pub(crate) fn push(&self, record: &RecordRef) -> bool {
        if record.queued.get() {
            record.queued.note_push();
            return false;
        }
        let link = Some(record.clone());
        record.queued.0.set(Queued::IN_CHAIN);
        let nothing = match self.last.replace(Some(record.uncounted())) {
            // SAFETY: *Chained* and *Counted*: the last record is counted by the link of the record before it, or by `first`.
            Some(last) => unsafe { last.with(|last| last.next.0.replace(link)) },
            None => self.first.replace(link),
        };
        debug_assert!(nothing.is_none(), "nothing is behind the last record");
        mem::forget(nothing); // so the compiler emits no call of a destructor
        true
    }

    /// Takes the first record out of the chain.
    #[inline]
    pub(crate) fn pop(&self) -> Option<RecordRef> {
        let first = self.first.take()?;
        let next = first.next.0.take();
        if next.is_none() {
            self.last.set(None);
        }
        mem::forget(self.first.replace(next)); // it is `None`, as in `push`
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
