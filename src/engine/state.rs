//! **A task's state**: what is known of it whatever its type. Some bits, a few counts, and who waits for whom.
//!
//! Everything here is a `Cell`, or as good as one: handles never leave the loop's thread. What a bit means is said beside it. Those
//! of the stage change in `record.rs`, those of a cancel in `cancel.rs` (leave them until there), the rest in `life.rs` and where
//! handles and groups are.

use std::cell::Cell;
use std::ops::BitOr;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::extras::Extras;
use super::record::{Next, Queued, RecordRef, VTable};
use super::turn::Engine;
use super::waker::TaskId;
use super::watchers::FirstJoiner;
use crate::error::{Cancelled, TaskError};

/// The number of what is not a task but a callback of the loop: no name, in no list, cannot be cancelled as a task can.
pub(super) const NO_TASK: u32 = 0;

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        /// Bits of a task's state.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct Flag(u32);
        impl Flag { $($(#[$doc])* pub(crate) const $name: Flag = Flag(1 << $bit);)* }
    };
}

impl Flag {
    pub(crate) const NONE: Flag = Flag(0);
}

/// Several at once.
impl BitOr for Flag {
    type Output = Flag;

    fn bitor(self, other: Flag) -> Flag {
        Flag(self.0 | other.0)
    }
}

flags! {
    /// The stage holds the future. From birth until it is dropped.
    HOLDS_FUTURE = 0;
    /// The stage holds the outcome. From the end of the future until somebody takes it.
    HOLDS_OUTCOME = 1;
    /// The future is being polled, or the outcome looked at, further up this stack.
    POLLING = 2;
    /// The future has been polled at least once.
    STARTED = 3;
    /// The task is over: with a value, unless `FAILED`, `CANCELLED` or `PANICKED` is set too.
    DONE = 4;
    /// The task belongs to a group, which takes its error.
    GROUPED = 5;
    FAILED = 6;
    CANCELLED = 7;
    PANICKED = 8;
    /// A cancel waits for the task's next poll. Set by a cancel that nobody else took; until the poll, or until it is taken
    /// back or passed on.
    CANCEL_PENDING = 9;
    /// The pending cancel found the task asleep; asyncio has interrupted the sleep by then, so `uncancel`
    /// cannot take it back. Only with `CANCEL_PENDING`.
    CANCEL_FIRM = 10;
    /// A cancel was passed on to what the task awaits. Until that ends.
    CANCEL_FORWARDED = 11;
    /// Somebody wanted the task dropped while it was being polled; done at the end of the poll.
    DISCARD = 12;
    /// A handle that can take the outcome exists.
    HANDLE = 13;
    /// Somebody has seen how the task failed, or has been told.
    SEEN = 14;
    /// Its last poll may have left word of what it awaits. Until the next begins, or the end.
    AWAITS = 15;
    /// Code that is not ours keeps a waker of the task. Set once, never cleared: nothing says when the last such waker is
    /// gone. A loop whose sleeping tasks all lack it can be woken by nobody.
    WAKER_AT_LARGE = 16;
    /// It is a callback of the loop, and no task. From birth on.
    CALLBACK = 17;
}

/// What is known of a task whatever its type.
pub(crate) struct Header {
    /// What can be done with the rest of the record; see `record.rs`.
    pub(super) vtable: &'static VTable,
    /// The loop that the task lives on.
    pub(crate) home: Rc<Engine>,
    /// What the task is waiting for, if that is another task: a cancel is passed on to it.
    pub(super) awaiting: Cell<Option<RecordRef>>,
    /// Who waits for this one and came first, in a word; the rest are in `extras`.
    first_joiner: Cell<usize>,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(super) extras: Cell<Option<Box<Extras>>>,
    /// What wakers know it by.
    pub(crate) id: TaskId,
    /// Of a task in the ready queue, the next there.
    pub(super) next: Next,
    pub(super) references: Cell<u32>,
    /// Counts the tasks of a loop, for the names that it gives; [`NO_TASK`] is none.
    pub(crate) number: u32,
    /// Atomic not for other threads, who never come here, but because the compiler leaves an atomic's width alone: of a `Cell`
    /// it writes one byte and reads four, and a processor that has to put such a read together waits for it.
    flags: AtomicU32,
    /// Cancels asked for and not taken back.
    pub(crate) cancel_requests: Cell<u16>,
    /// The task stands in the ready queue. Not among the flags: a wake and a poll would wait for each other's writes there.
    pub(super) queued: Queued,
}

impl Header {
    pub(super) fn new(
        vtable: &'static VTable,
        home: Rc<Engine>,
        id: TaskId,
        number: u32,
        flags: Flag,
        spawned_at: &'static Location<'static>,
    ) -> Header {
        Header {
            vtable,
            home,
            awaiting: Cell::new(None),
            first_joiner: Cell::new(0),
            spawned_at,
            extras: Cell::new(None),
            id,
            next: Next::default(),
            references: Cell::new(1),
            number,
            flags: AtomicU32::new(flags.0),
            cancel_requests: Cell::new(0),
            queued: Queued::default(),
        }
    }

    /// Whether the flag is set; of several, any.
    #[inline]
    pub(crate) fn has(&self, flags: Flag) -> bool {
        self.flags.load(Relaxed) & flags.0 != 0
    }

    /// Whether `set` is set and `clear` is not.
    #[inline]
    pub(super) fn has_but_not(&self, set: Flag, clear: Flag) -> bool {
        self.flags.load(Relaxed) & (set.0 | clear.0) == set.0
    }

    #[inline]
    pub(crate) fn set(&self, flags: Flag) {
        self.flags.store(self.flags.load(Relaxed) | flags.0, Relaxed);
    }

    /// Sets some and clears others.
    #[inline]
    pub(super) fn set_and_clear(&self, set: Flag, clear: Flag) {
        self.flags.store(self.flags.load(Relaxed) & !clear.0 | set.0, Relaxed);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: Flag) {
        self.flags.store(self.flags.load(Relaxed) & !flags.0, Relaxed);
    }

    #[inline]
    pub(super) fn has_extras(&self) -> bool {
        let extras = self.extras.take();
        let has_extras = extras.is_some();
        self.extras.set(extras);
        has_extras
    }

    /// Looks at the rarely needed part, made on first use. `look` must not run code of others.
    pub(crate) fn with_extras<R>(&self, look: impl FnOnce(&mut Extras) -> R) -> R {
        let mut extras = self.extras.take().unwrap_or_default();
        let seen = look(&mut extras);
        self.extras.set(Some(extras));
        seen
    }

    /// The same, if there is such a part.
    #[inline]
    pub(crate) fn if_extras<R>(&self, look: impl FnOnce(&mut Extras) -> R) -> Option<R> {
        let mut extras = self.extras.take()?;
        let seen = look(&mut extras);
        self.extras.set(Some(extras));
        Some(seen)
    }

    #[inline]
    pub(crate) fn first_joiner(&self) -> FirstJoiner {
        FirstJoiner::of_word(self.first_joiner.get())
    }

    #[inline]
    pub(crate) fn set_first_joiner(&self, joiner: FirstJoiner) {
        self.first_joiner.set(joiner.in_word());
    }

    /// Nobody waits: who comes now is the first.
    #[inline]
    pub(crate) fn has_no_joiner(&self) -> bool {
        self.first_joiner.get() == 0
            && (!self.has_extras() || self.if_extras(|it| it.joiners.is_empty()) == Some(true))
    }

    /// How a task that is over ended, if it left nothing in the record that says so.
    pub(crate) fn ending<E>(&self) -> Option<TaskError<E>> {
        if self.has(Flag::CANCELLED) {
            let reason = self.if_extras(|extras| extras.reason.clone()).flatten();
            Some(TaskError::Cancelled(Cancelled { reason }))
        } else if self.has(Flag::PANICKED) {
            self.if_extras(|extras| extras.panic.clone()).flatten().map(TaskError::Panicked)
        } else if self.has(Flag::GROUPED) && self.has(Flag::FAILED) {
            Some(TaskError::Grouped)
        } else {
            None
        }
    }

    /// Whether the word that its last poll left of what it awaits still holds.
    pub(super) fn awaits_something(&self) -> bool {
        let awaiting = self.awaiting.take();
        let awaits_one = awaiting.is_some();
        self.awaiting.set(awaiting);
        awaits_one || self.if_extras(|extras| extras.awaits_something()) == Some(true)
    }

    pub(crate) fn set_awaiting(&self, awaited: Option<RecordRef>) -> Option<RecordRef> {
        self.awaiting.replace(awaited)
    }

    /// Whether it is a task, and not a callback.
    pub(crate) fn is_task(&self) -> bool {
        self.number != NO_TASK
    }

    pub(crate) fn awaiting(&self) -> Option<RecordRef> {
        let awaited = self.awaiting.take();
        self.awaiting.set(awaited.clone());
        awaited
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Header>() == 80);
