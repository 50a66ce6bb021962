//! **The header of a record**: the part that does not depend on the type of the future.
//!
//! A record never leaves the thread of its loop, so what changes is in cells (`state` apart). Data that few tasks need is in the cold
//! part (`cold.rs`), which is allocated on first use: a task that is only spawned, polled and awaited has none.
//!
//! Only this folder can change the fields that memory safety rests on: `vtable`, `references` and the `Stage` bits
//! of `state`. The kernel gives no meaning to the fields of other rings (`awaited`, `first_joiner`, `cancel_requests`).

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use super::RecordRef;
use super::queued::Queued;
use super::stage::VTable;
use super::state::{Bits, Flag, Stage};
use crate::base::id::TaskId;
use crate::cold::{Cold, ColdOrReason};
use crate::engine::Engine;
use crate::error::{Cancelled, TaskError};
use crate::reason::Reason;

/// The serial of a callback: a function that the loop calls. It has a record, but no name; no list has it; a cancel drops it.
pub(crate) const CALLBACK_SERIAL: u32 = 0;

/// The part of a record that does not depend on the type of the future.
pub(crate) struct Header {
    /// The functions for the type of the future; see `stage.rs`.
    pub(super) vtable: &'static VTable,
    /// The loop that the task belongs to. The record keeps it alive.
    pub(crate) owner: Rc<Engine>,
    /// The task that this one awaits. Owned by `cancel/`.
    pub(crate) awaited: Cell<Option<RecordRef>>,
    /// The first joiner, packed into a word; the others are in the cold part. Owned by `join/`.
    pub(crate) first_joiner: Cell<usize>,
    /// The cold part, and why the task is cancelled, or was.
    pub(super) cold: ColdOrReason,
    /// The word inside the task's wakers.
    pub(crate) id: TaskId,
    /// How many [`RecordRef`]s to this record exist (*Counted*).
    pub(super) references: Cell<u32>,
    /// The task's number among the tasks of its loop, in the order of their spawns; [`CALLBACK_SERIAL`] for a callback.
    pub(crate) serial: u32,
    /// The bits of `state.rs`. An atomic for its width, not for threads: with a `Cell` the compiler writes one byte and reads four,
    /// and the load stalls on the partial store.
    state: AtomicU32,
    /// The number of the line at which the task was spawned (`lines.rs`).
    line: u16,
    /// Cancels that were requested and not taken back. Owned by `cancel/`.
    pub(crate) cancel_requests: Cell<u8>,
    /// Whether a push is ignored: queued, or deaf. Not a bit of `state`: a wake-up and a poll would stall on each other's stores.
    pub(super) queued: Queued,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Header>() == 64);

/// The fields of a new record that the loop chooses.
#[derive(Clone, Copy)]
pub(crate) struct SpawnParams<'a> {
    pub(crate) owner: &'a Rc<Engine>,
    pub(crate) id: TaskId,
    pub(crate) serial: u32,
    /// The number of the line.
    pub(crate) line: u16,
}

impl Header {
    pub(super) fn new(vtable: &'static VTable, params: SpawnParams<'_>) -> Header {
        let SpawnParams { owner, id, serial, line } = params;
        let kind = if serial == CALLBACK_SERIAL { Flag::CALLBACK } else { Flag::HANDLE };
        Header {
            vtable,
            owner: owner.clone(),
            awaited: Cell::new(None),
            first_joiner: Cell::new(0),
            cold: ColdOrReason::default(),
            id,
            references: Cell::new(1),
            serial,
            state: AtomicU32::new((Stage::HOLDS_FUTURE | kind).0),
            line,
            cancel_requests: Cell::new(0),
            queued: Queued::default(),
        }
    }

    /// Whether any of these bits is set.
    #[inline]
    pub(crate) fn has(&self, bits: impl Into<Bits>) -> bool {
        self.state.load(Relaxed) & bits.into().0 != 0
    }

    /// Whether all of `set` are set and all of `clear` are not.
    #[inline]
    pub(crate) fn has_but_not(&self, set: impl Into<Bits>, clear: impl Into<Bits>) -> bool {
        let (set, clear) = (set.into().0, clear.into().0);
        self.state.load(Relaxed) & (set | clear) == set
    }

    #[inline]
    pub(crate) fn set(&self, flags: Flag) {
        self.change(flags, Flag::NONE);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: Flag) {
        self.change(Flag::NONE, flags);
    }

    #[inline]
    pub(crate) fn set_and_clear(&self, set: Flag, clear: Flag) {
        self.change(set, clear);
    }

    /// Sets the bits `set` and clears the bits `clear`, of either kind.
    #[inline]
    pub(super) fn change(&self, set: impl Into<Bits>, clear: impl Into<Bits>) {
        let (set, clear) = (set.into().0, clear.into().0);
        self.state.store(self.state.load(Relaxed) & !clear | set, Relaxed);
    }

    /// Sets the bits `set` if all of `required` are set and none of `against` is. Returns the bits from before.
    #[inline]
    pub(super) fn set_if(&self, set: Bits, required: Stage, against: Bits) -> Option<u32> {
        let before = self.state.load(Relaxed);
        let fits = before & (required.0 | against.0) == required.0;
        fits.then(|| self.state.store(before | set.0, Relaxed)).map(|()| before)
    }

    /// Whether this is a task, and not a callback.
    pub(crate) fn is_task(&self) -> bool {
        self.serial != CALLBACK_SERIAL
    }

    /// The cold part, allocated if there is none yet.
    #[inline]
    pub(crate) fn cold(&self) -> &Cold {
        self.cold.cold_or_new()
    }

    /// The cold part, if there is one.
    #[inline]
    pub(crate) fn cold_if_any(&self) -> Option<&Cold> {
        self.cold.cold()
    }

    /// The name that the user gave the task, or else `Task-` and its serial.
    pub(crate) fn name(&self) -> String {
        let given = self.cold_if_any().and_then(|cold| cold.name.borrow().clone());
        given.map_or_else(|| format!("Task-{}", self.serial), |name| name.as_ref().to_owned())
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.owner.lines.line(self.line)
    }

    pub(crate) fn reason(&self) -> Reason {
        self.cold.reason()
    }

    pub(crate) fn set_reason(&self, reason: Reason) {
        self.cold.set_reason(reason);
    }

    /// What a handle is told if the outcome is not for it: the task was cancelled, or panicked, or its group takes the error.
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
}
