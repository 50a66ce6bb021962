//! **The header of a task**: what is known of it whatever its type. Some bits, a few counts, and what waits for what.
//!
//! Handles never leave the thread of their loop, so everything here is a `Cell`, or as good as one. There are two kinds of bits
//! in the one word of flags:
//!
//! - [`Stage`] bits say what the record's stage holds, and whether it is lent out. Memory safety rests on them, so only the
//!   files of this folder can change them (*Contents* and *Lent* in `mod.rs`).
//! - [`Flag`] bits say how the task is doing. Any file of the engine may set and clear them; a wrong one is a bug, but never
//!   undefined behaviour.
//!
//! Both can be tested together, in one instruction: that is what [`Bits`] is for.
//!
//! This is the one file without `unsafe` that the unsafe files of this folder rest on.

use std::cell::{Cell, OnceCell};
use std::ops::BitOr;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::RecordRef;
use super::chain::{Next, Queued};
use super::stage::VTable;
use crate::engine::cold::Cold;
use crate::engine::reason::Reason;
use crate::engine::turn::Engine;
use crate::engine::waker::TaskId;
use crate::engine::watchers::FirstJoiner;
use crate::error::{Cancelled, TaskError};

/// The number of what is not a task but a callback of the loop: it has no name, is in no list, and cannot be cancelled as a
/// task can.
pub(crate) const NO_TASK: u32 = 0;

/// Some bits of the word of flags, of either kind: to be tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits(u32);

macro_rules! bits {
    ($kind:ident { $($(#[$doc:meta])* $visibility:vis $name:ident = $bit:expr;)* }) => {
        impl $kind { $($(#[$doc])* $visibility const $name: $kind = $kind(1 << $bit);)* }

        impl From<$kind> for Bits {
            fn from(bits: $kind) -> Bits {
                Bits(bits.0)
            }
        }
    };
}

/// What the stage holds. To be tested by all, and changed by this folder alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage(u32);

bits! { Stage {
    /// The stage holds the future. Set at birth; cleared just before the future is dropped.
    pub(crate) HOLDS_FUTURE = 0;
    /// The stage holds the outcome. Set when the future has ended; cleared just before the outcome is moved out or dropped.
    pub(crate) HOLDS_OUTCOME = 1;
    /// A reference into the stage is in the hands of foreign code further up this stack: the future is being polled, or the
    /// outcome inspected. Set by [`Polling`](super::Polling) and `Lent` in `outcome.rs`, cleared when they are dropped.
    pub(crate) LENT = 2;
}}

/// How the task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag(u32);

bits! { Flag {
    /// The future has been polled at least once.
    pub(crate) STARTED = 3;
    /// The task is over: with a value, unless `FAILED`, `CANCELLED` or `PANICKED` is set too.
    pub(crate) DONE = 4;
    /// The task belongs to a group, which takes its error.
    pub(crate) GROUPED = 5;
    pub(crate) FAILED = 6;
    pub(crate) CANCELLED = 7;
    pub(crate) PANICKED = 8;
    /// A cancel waits for the task's next poll. Set by a cancel that was not passed on; cleared by that poll, or when the
    /// cancel is taken back or passed on.
    pub(crate) CANCEL_PENDING = 9;
    /// The pending cancel found the task asleep; asyncio has interrupted the sleep by then, so `uncancel` cannot take it back.
    /// Only together with `CANCEL_PENDING`.
    pub(crate) CANCEL_FIRM = 10;
    /// A cancel was passed on to the one thing that the task awaits. Cleared by the next poll, which delivers it there.
    pub(crate) CANCEL_FORWARDED = 11;
    /// Set by `discard` during a poll: the turn drops the task when the poll returns.
    pub(crate) DISCARD = 12;
    /// A handle that can take the outcome exists.
    pub(crate) HANDLE = 13;
    /// The failure has been seen, or reported.
    pub(crate) SEEN = 14;
    /// The last poll may have noted what the task awaits. Cleared when the next poll begins, and at the end.
    pub(crate) AWAITS = 15;
    /// Foreign code keeps a waker of the task. Never cleared, for nothing says when the last such waker is gone. A loop whose
    /// sleeping tasks all lack this flag can be woken by nothing from outside.
    pub(crate) WAKER_AT_LARGE = 16;
    /// It is a callback of the loop, and no task. Set at birth.
    pub(crate) CALLBACK = 17;
    /// More than one checkpoint waited in the last poll. Cleared when the next poll begins.
    pub(crate) AWAITS_SEVERAL = 18;
    /// A cancel is being delivered: something in the task was interrupted, and something holds or is alive. Set at the end of a
    /// poll, and cleared when the next begins.
    pub(crate) UNWINDING = 19;
    /// It is known why it was cancelled: the header's reason is to be dropped. Never cleared.
    pub(crate) REASON = 20;
}}

impl Flag {
    pub(crate) const NONE: Flag = Flag(0);

    pub(crate) const fn and(self, other: Flag) -> Flag {
        Flag(self.0 | other.0)
    }
}

impl BitOr for Flag {
    type Output = Flag;

    #[inline]
    fn bitor(self, other: Flag) -> Flag {
        self.and(other)
    }
}

impl BitOr<Flag> for Stage {
    type Output = Bits;

    #[inline]
    fn bitor(self, other: Flag) -> Bits {
        Bits(self.0 | other.0)
    }
}

impl BitOr for Stage {
    type Output = Bits;

    #[inline]
    fn bitor(self, other: Stage) -> Bits {
        Bits(self.0 | other.0)
    }
}

impl BitOr<Flag> for Bits {
    type Output = Bits;

    #[inline]
    fn bitor(self, other: Flag) -> Bits {
        Bits(self.0 | other.0)
    }
}

/// What is known of a task whatever its type.
pub(crate) struct Header {
    /// What can be done with the rest of the record; see `stage.rs`.
    pub(super) vtable: &'static VTable,
    /// The loop that the task lives on.
    pub(crate) home: Rc<Engine>,
    /// What the task is waiting for, if that is another task: a cancel is passed on to it.
    awaiting: Cell<Option<RecordRef>>,
    /// The joiner that came first, in a word; the others are in the cold part.
    first_joiner: Cell<usize>,
    pub(crate) spawned_at: &'static Location<'static>,
    /// What few tasks need. Made on first use, and there until the record is freed.
    pub(super) cold: OnceCell<Box<Cold>>,
    /// Why it was cancelled last, if that is known.
    reason: Cell<Reason>,
    /// The number inside the task's wakers.
    pub(crate) id: TaskId,
    /// Of a task in the ready queue, the next one there.
    pub(super) next: Next,
    pub(super) references: References,
    /// Counts the tasks of a loop, for the names that it gives; [`NO_TASK`] for a callback.
    pub(crate) number: u32,
    /// An atomic for its width, not for threads: with a `Cell` the compiler writes one byte and reads four, and the load stalls
    /// on the partial store.
    flags: AtomicU32,
    /// Cancels asked for and not taken back; see [`Header::cancel_requests`].
    cancel_requests: Cell<u16>,
    /// The task is in the ready queue. Not among the flags: a wake and a poll would wait for each other's writes there.
    pub(super) queued: Queued,
}

impl Header {
    pub(super) fn new(
        vtable: &'static VTable,
        home: Rc<Engine>,
        id: TaskId,
        number: u32,
        flags: Bits,
        spawned_at: &'static Location<'static>,
    ) -> Header {
        Header {
            vtable,
            home,
            awaiting: Cell::new(None),
            first_joiner: Cell::new(0),
            spawned_at,
            cold: OnceCell::new(),
            reason: Cell::new(Reason::none()),
            id,
            next: Next::default(),
            references: References(Cell::new(1)),
            number,
            flags: AtomicU32::new(flags.0),
            cancel_requests: Cell::new(0),
            queued: Queued::default(),
        }
    }

    /// Whether the bit is set; of several, any.
    #[inline]
    pub(crate) fn has(&self, bits: impl Into<Bits>) -> bool {
        self.flags.load(Relaxed) & bits.into().0 != 0
    }

    /// Whether all of `set` are set and all of `clear` are not.
    #[inline]
    pub(crate) fn has_but_not(&self, set: impl Into<Bits>, clear: impl Into<Bits>) -> bool {
        let (set, clear) = (set.into().0, clear.into().0);
        self.flags.load(Relaxed) & (set | clear) == set
    }

    #[inline]
    pub(crate) fn set(&self, flags: Flag) {
        self.change(Bits(flags.0), Bits(0));
    }

    #[inline]
    pub(crate) fn clear(&self, flags: Flag) {
        self.change(Bits(0), Bits(flags.0));
    }

    #[inline]
    pub(crate) fn set_and_clear(&self, set: Flag, clear: Flag) {
        self.change(Bits(set.0), Bits(clear.0));
    }

    /// Changes bits of either kind: for this folder alone.
    #[inline]
    pub(super) fn change(&self, set: Bits, clear: Bits) {
        self.flags.store(self.flags.load(Relaxed) & !clear.0 | set.0, Relaxed);
    }

    #[inline]
    pub(super) fn set_stage(&self, stage: Stage) {
        self.change(Bits(stage.0), Bits(0));
    }

    #[inline]
    pub(super) fn clear_stage(&self, stage: Stage) {
        self.change(Bits(0), Bits(stage.0));
    }

    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        self.queued.get()
    }

    /// The cold part, made if it is not there yet.
    #[inline]
    pub(crate) fn cold(&self) -> &Cold {
        self.cold.get_or_init(Box::default)
    }

    /// The cold part, if anything was ever written there.
    #[inline]
    pub(crate) fn cold_if_any(&self) -> Option<&Cold> {
        self.cold.get().map(|cold| &**cold)
    }

    #[inline]
    pub(crate) fn first_joiner(&self) -> FirstJoiner {
        FirstJoiner::of_word(self.first_joiner.get())
    }

    #[inline]
    pub(crate) fn set_first_joiner(&self, joiner: FirstJoiner) {
        self.first_joiner.set(joiner.in_word());
    }

    /// Whether the next joiner is the first.
    #[inline]
    pub(crate) fn has_no_joiner(&self) -> bool {
        self.first_joiner.get() == 0
            && self.cold_if_any().is_none_or(|cold| cold.joiners.borrow().is_empty())
    }

    /// How many cancels were asked for and not taken back.
    ///
    /// The header has two bytes for it. The largest number that they can hold means: the count is in the cold part.
    #[inline]
    pub(crate) fn cancel_requests(&self) -> u32 {
        match self.cancel_requests.get() {
            u16::MAX => self.cold().many_cancel_requests.get(),
            few => few.into(),
        }
    }

    #[inline]
    pub(crate) fn has_cancel_requests(&self) -> bool {
        self.cancel_requests.get() > 0
    }

    pub(crate) fn set_cancel_requests(&self, requests: u32) {
        let few = u16::try_from(requests).unwrap_or(u16::MAX);
        if few == u16::MAX {
            self.cold().many_cancel_requests.set(requests);
        }
        self.cancel_requests.set(few);
    }

    /// How a task that is over ended, if it left nothing in the record that says so.
    pub(crate) fn ending<E>(&self) -> Option<TaskError<E>> {
        if self.has(Flag::CANCELLED) {
            Some(TaskError::Cancelled(Cancelled { reason: self.reason() }))
        } else if self.has(Flag::PANICKED) {
            self.cold_if_any()?.panic.borrow().clone().map(TaskError::Panicked)
        } else if self.has(Flag::GROUPED) && self.has(Flag::FAILED) {
            Some(TaskError::Grouped)
        } else {
            None
        }
    }

    /// Why it is cancelled, or was, if that is known.
    pub(crate) fn reason(&self) -> Reason {
        let reason = self.reason.take();
        self.reason.set(reason.clone());
        reason
    }

    pub(crate) fn set_reason(&self, reason: Reason) {
        if !reason.is_none() || self.has(Flag::REASON) {
            self.set(Flag::REASON);
            self.reason.set(reason);
        }
    }

    pub(crate) fn set_awaiting(&self, awaited: Option<RecordRef>) -> Option<RecordRef> {
        self.awaiting.replace(awaited)
    }

    pub(crate) fn awaiting(&self) -> Option<RecordRef> {
        let awaited = self.awaiting.take();
        self.awaiting.set(awaited.clone());
        awaited
    }

    /// Whether it is a task, and not a callback.
    pub(crate) fn is_task(&self) -> bool {
        self.number != NO_TASK
    }
}

/// How many [`RecordRef`]s there are to a record. Only this folder counts.
pub(super) struct References(Cell<u32>);

impl References {
    #[inline]
    pub(super) fn get(&self) -> u32 {
        self.0.get()
    }

    #[inline]
    pub(super) fn set(&self, references: u32) {
        self.0.set(references);
    }
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Header>() == 88);
