//! **Whether a task is queued**: one byte in the header of its record.
//!
//! A task is in the ready queue once or not at all, so a wake-up looks here first: one load and one test. A record can also be made to
//! ignore wake-ups for a while, and to note that there was one. The kernel does not use this: `scope/` polls a future inside a task,
//! and has to tell whether that poll woke the task.

use std::cell::Cell;

use super::RecordRef;

/// Whether a record is in the ready queue, whether it ignores pushes, and whether they are watched.
#[derive(Default)]
pub(super) struct Queued(Cell<u8>);

impl Queued {
    const IN_QUEUE: u8 = 1;
    /// A push is noted and has no other effect.
    const DEAF: u8 = 2;
    /// There was a push while the record was deaf.
    const WAS_PUSHED: u8 = 4;
    /// Each push is told to an observer. A pop clears this bit; a watched turn sets it again.
    const WATCHED: u8 = 8;
}

/// The bits of a record from before [`stop_hearing`](RecordRef::stop_hearing). The calls may nest.
pub(crate) struct Heard(u8);

impl RecordRef {
    /// Whether a push is ignored: the task is in the ready queue, or deaf.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.0.get() & !Queued::WATCHED != 0
    }

    /// Not queued, not deaf and not watched.
    #[inline]
    pub(in crate::kernel) fn is_plain(&self) -> bool {
        self.queued.0.get() == 0
    }

    /// The reference that the ready queue holds of a plain task.
    #[inline]
    pub(in crate::kernel) fn queued_clone(&self) -> RecordRef {
        self.queued.0.set(Queued::IN_QUEUE);
        self.clone()
    }

    /// Says that the task is in the ready queue. False if it is already, or ignores pushes.
    pub(in crate::kernel) fn begin_queued(&self) -> bool {
        let Queued(bits) = &self.queued;
        let is_new = !self.is_queued();
        if is_new {
            bits.set(bits.get() | Queued::IN_QUEUE);
        } else if bits.get() & Queued::DEAF != 0 {
            bits.set(bits.get() | Queued::WAS_PUSHED);
        }
        is_new
    }

    /// The task is not in the queue any more.
    #[inline]
    pub(in crate::kernel) fn end_queued(&self) {
        self.queued.0.set(0);
    }

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
        Heard(bits.replace(bits.get() & Queued::IN_QUEUE | Queued::DEAF) & !Queued::IN_QUEUE)
    }

    /// Ends that: `IN_QUEUE` stays as it is. Returns whether there was a push; if the calls nest, the outer one hears of it too.
    pub(crate) fn hear(&self, Heard(before): &Heard) -> bool {
        let Queued(bits) = &self.queued;
        let pushed = bits.get() & Queued::WAS_PUSHED;
        let noted = if before & Queued::DEAF != 0 { pushed } else { 0 };
        bits.set(bits.get() & Queued::IN_QUEUE | before | noted);
        pushed != 0
    }
}
