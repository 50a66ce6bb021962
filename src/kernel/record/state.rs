//! **The state of a task**: bits in one word.
//!
//! There are two kinds. [`Stage`] bits say what the record's stage holds and whether it is lent. Memory safety rests on them, so
//! only this folder changes them. [`Flag`] bits say how the task is doing. Any file may set and clear them; a wrong one is a
//! bug but never undefined behaviour. Both kinds share a word, so one instruction can test them together: see [`Bits`].
//!
//! ```text
//!  spawn ─▶ HOLDS_FUTURE ──poll──▶ + STARTED ──last poll──▶ DONE │ HOLDS_OUTCOME (│ FAILED) ──take──▶ DONE (│ FAILED)
//!                └───────────────────────┴──cancelled, panicked──▶ DONE │ CANCELLED or PANICKED      (STARTED stays)
//! ```

use std::ops::BitOr;

/// Bits of either kind, mixed. Outside this folder they can be tested, but not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits(pub(super) u32);

/// Defines one constant for each line `NAME = number of the bit;`.
macro_rules! bits {
    ($kind:ident { $($(#[$doc:meta])* $name:ident = $bit:expr;)* }) => {
        impl $kind { $($(#[$doc])* pub(crate) const $name: $kind = $kind(1 << $bit);)* }

        impl From<$kind> for Bits {
            fn from(bits: $kind) -> Bits {
                Bits(bits.0)
            }
        }
    };
}

/// What the stage holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stage(pub(super) u32);

bits! { Stage {
    /// The stage holds the future. Set by `Header::new`; cleared just before the future is dropped. Never with `HOLDS_OUTCOME`.
    HOLDS_FUTURE = 0;
    /// The stage holds the outcome. Set after the last poll; cleared just before it is taken or dropped. Never with `HOLDS_FUTURE`.
    HOLDS_OUTCOME = 1;
    /// Foreign code further up the stack has a reference into the stage: the future is being polled, or the outcome inspected. Set
    /// by `begin_poll_unless` and `lend`, if one of the two above is; cleared when the `Polling` or `Lent` that they return is
    /// dropped. Also set by `forget_future`, and then never cleared.
    LENT = 2;
}}

/// How the task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flag(pub(super) u32);

bits! { Flag {
    /// The future has been polled. Set by `begin_poll_unless`; never cleared.
    STARTED = 3;
    /// The task has ended: with a value, unless one of the next three is set. Set by `Engine::end`; never cleared. Never with a
    /// flag of [`ONLY_ALIVE`](Flag::ONLY_ALIVE).
    DONE = 4;
    /// The task ended with an error. Set by `Engine::end`; never cleared. Only with `DONE`, never with the next two.
    FAILED = 5;
    /// The task was cancelled, or dropped from outside. Like `FAILED`: set by `Engine::end`, only with `DONE`, only one of three.
    CANCELLED = 6;
    /// The task panicked; the panic is in the cold part. Like `FAILED`: set by `Engine::end`, only with `DONE`, only one of three.
    PANICKED = 7;
    /// A handle exists that can take the outcome. Set by `Header::new`; cleared when the handle is dropped, when a claim takes the
    /// value, or for a main task when its run ends. Never with `CALLBACK`.
    HANDLE = 8;
    /// The record is a callback and not a task. Set by `Header::new`; never cleared. Never with `HANDLE`.
    CALLBACK = 9;
    /// Foreign code holds, or has held, a waker of the task. Set by the first clone while its loop is the current one; never cleared,
    /// because a waker does not report its drop. (A clone made elsewhere is noted in the mailbox, for the whole loop.)
    WAKER_ESCAPED = 10;
    /// Drop the task when its poll returns `Pending`: `after_pending` does. Set by `Engine::discard` while `LENT` is; never cleared.
    DISCARD = 11;
    /// The failure needs no report: it was reported, or code that can act on it has seen it or will. Set by handles, groups,
    /// gathers, a cancel that comes too late, and the report itself; cleared by a group that will not raise the error, and for a
    /// task whose shield was cancelled.
    SEEN = 12;

    // The rest belong to other rings, which explain them. The kernel only tests some of them around a poll.

    /// The task belongs to a group, which takes its error. Set by `group/` after the spawn; cleared by a group that will not raise.
    GROUPED = 13;
    /// The next poll is to deliver a cancel. Set by `cancel/` if nothing that the task awaits takes it, or by `scope/`; cleared by
    /// that poll, when the cancel is taken back or forwarded after all, and at the end.
    CANCEL_PENDING = 14;
    /// The pending cancel found the task waiting, so `uncancel` cannot take it back. Set by `cancel/`; cleared by the poll that
    /// delivers it, and at the end. Only with `CANCEL_PENDING`.
    CANCEL_FIRM = 15;
    /// A cancel was forwarded to the one task, or wait set, that this task awaits. Set by `cancel/`; cleared by the next poll,
    /// which delivers it, and at the end. If `CANCEL_PENDING` is set too, that one decides what the poll does.
    CANCEL_FORWARDED = 16;
    /// The last poll noted a task or wait set that the task awaits. Set by `cancel/`; cleared by the next poll, and at the end.
    AWAITS = 17;
    /// More than one checkpoint waited in the last poll. Set by `delivery/`, `scope/` and `cancel/`; cleared with `AWAITS`.
    AWAITS_SEVERAL = 18;
    /// A cancel was delivered, and its clean-up goes on. Set by `cancel/` after a poll; cleared by the next poll, and at the end.
    UNWINDING = 19;
    /// An observer is told of the task. Set and cleared by `trace/`.
    TRACED = 20;
}}

impl Flag {
    pub(crate) const NONE: Flag = Flag(0);

    /// With any of these a poll takes the slow path: there is work to do before it.
    pub(crate) const SLOW_PATH: Flag = Flag::CANCEL_PENDING
        .and(Flag::CANCEL_FORWARDED)
        .and(Flag::UNWINDING)
        .and(Flag::AWAITS)
        .and(Flag::AWAITS_SEVERAL);

    /// Meaningless once a task has ended, so `Engine::end` clears them.
    pub(crate) const ONLY_ALIVE: Flag = Flag::CANCEL_PENDING
        .and(Flag::CANCEL_FIRM)
        .and(Flag::CANCEL_FORWARDED)
        .and(Flag::UNWINDING);

    pub(crate) const fn and(self, other: Flag) -> Flag {
        Flag(self.0 | other.0)
    }
}

macro_rules! union {
    ($($one:ident | $other:ident = $union:ident;)*) => { $(
        impl BitOr<$other> for $one {
            type Output = $union;

            #[inline]
            fn bitor(self, other: $other) -> $union {
                $union(self.0 | other.0)
            }
        }
    )* };
}

union! {
    Flag | Flag = Flag;
    Stage | Stage = Bits;
    Stage | Flag = Bits;
    Bits | Flag = Bits;
}
