//! **A task's life**: how it begins, and how it ends.
//!
//! ```text
//!            (1) spawn          (2) poll               Pending
//!   no task ──────────▶ queued ──────────▶ being polled ─────────▶ waiting
//!                          ▲                     │   (3) wake         │
//!                          ├─────────────────────┴────────────────────┘
//!      (4) from being polled: end (or from queued, if cancelled there)   (5) from queued, waiting: discard
//!                     DONE: with a value, FAILED, CANCELLED or PANICKED
//! ```
//!
//! 1. [`Engine::spawn`]: the record takes a reserved slot and joins the ready queue; or it is polled at once (`eager.rs`).
//! 2. `Engine::poll_next` in `turn.rs`. 3. By a waker, a timer, a remote wake-up or a cancel.
//! 4. After the last poll, or in place of the first if the task is cancelled before it. The outcome stays while a handle may take it.
//!    The task's wakers are stale at once, and its slot is free. If it is queued, its entry stays, and the turn skips it.
//! 5. A *hard drop*: destructors run, clean-up that awaits does not. During a poll it is noted, and done if that gives `Pending`.

use std::panic::Location;
use std::rc::Rc;

use super::record::{self, CALLBACK_SERIAL, Flag, Polled, RecordRef, SpawnParams, Stage, TypedOf};
use super::table::FreeSlot;
use crate::base::id::TaskId;
use crate::base::kind::{Kind, Plain};
use crate::engine::Engine;
use crate::error::{Panic, TooManyTasks};

/// How many hard drops may nest on the stack.
const MAX_NESTED_DISCARDS: u32 = 64;

impl Engine {
    /// The parameters of a record for a slot that was reserved. [`begin`](Engine::begin) inserts the record there.
    pub(crate) fn spawn_params(
        self: &Rc<Self>,
        free_slot: FreeSlot,
        serial: u32,
        spawned_at: &'static Location<'static>,
    ) -> SpawnParams<'_> {
        let id = TaskId::new(self.loop_index(), free_slot.slot, free_slot.generation);
        let line = self.lines.number(spawned_at);
        SpawnParams { owner: self, id, serial, line }
    }

    /// Counts tasks. After 2³² − 1 it starts again at one: a serial names tasks, and orders those of about the same age.
    pub(crate) fn next_serial(&self) -> u32 {
        let last = self.last_serial.get();
        let serial = if last == u32::MAX { CALLBACK_SERIAL + 1 } else { last + 1 };
        self.last_serial.set(serial);
        serial
    }

    /// Reserves a slot for a task. That can fail; [`spawn`](Engine::spawn), which uses the slot, cannot.
    #[inline]
    pub(crate) fn reserve_for_task(&self) -> Result<FreeSlot, TooManyTasks> {
        let free_slot = self.tasks.table.borrow_mut().reserve_for_task();
        free_slot.ok_or_else(|| self.too_many_tasks())
    }

    #[cold]
    fn too_many_tasks(&self) -> TooManyTasks {
        TooManyTasks { limit: self.tasks.table.borrow().max_tasks() }
    }

    /// Creates a task and queues it. Its first poll is in the next turn, unless the loop starts its tasks eagerly.
    pub(crate) fn spawn<F: Future + 'static, K: Kind<F::Output, Value: 'static>>(
        self: &Rc<Self>,
        free_slot: FreeSlot,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> TypedOf<F, K> {
        let params = self.spawn_params(free_slot, self.next_serial(), spawned_at);
        let task = record::owned(kind, params, future);
        self.begin(&task);
        task
    }

    /// Creates the main task, whose future may borrow from the caller's stack. It ends at the latest when `body` does.
    pub(crate) fn spawn_main<F: Future, R>(
        self: &Rc<Self>,
        future: F,
        spawned_at: &'static Location<'static>,
        body: impl FnOnce(&TypedOf<F, Plain>) -> R,
    ) -> Result<R, TooManyTasks> {
        struct EndOnExit<'a>(&'a RecordRef);
        impl Drop for EndOnExit<'_> {
            fn drop(&mut self) {
                self.0.clear(Flag::HANDLE); // `body` was the handle: nothing takes an outcome after it
                self.0.owner.discard(self.0);
            }
        }
        let free_slot = self.tasks.table.borrow_mut().reserve_for_main();
        let Some(free_slot) = free_slot else { return Err(self.too_many_tasks()) };
        let params = self.spawn_params(free_slot, self.next_serial(), spawned_at);
        Ok(record::scoped(Plain, params, future, |task| {
            let _end = EndOnExit(task);
            self.begin_main(task);
            self.begin(task);
            body(task)
        }))
    }

    /// Inserts a new record into the table and queues it.
    #[inline]
    pub(crate) fn begin(&self, record: &RecordRef) {
        self.prepare(record);
        self.tasks.table.borrow_mut().insert(record.clone());
        self.tasks.ready.push(record);
    }

    /// Ends a task: with a value, or as the flag `how` says. Its future is gone, or forgotten.
    pub(crate) fn end(&self, record: &RecordRef, how: Flag) {
        debug_assert!(!record.has(Flag::CANCELLED) || how == Flag::CANCELLED, "a task ends once");
        record.set_and_clear(Flag::DONE | how, Flag::ONLY_ALIVE);
        if record.has(Flag::AWAITS | Flag::AWAITS_SEVERAL | Flag::TRACED) {
            return self.end_slow_path(record, how); // clears these flags, and calls this again
        }
        // From here on the wakers of the task are stale, and a new joiner finds that the task is `DONE`.
        drop(self.tasks.remove(record)); // not inside the borrow of the table
        let cold = record.cold_if_any();
        if cold.is_some() {
            self.report_orphan_of_shield(record);
            self.end_locals(record);
        }
        // Only now, with the task consistent, wake the joiners, oldest first: they may run foreign code, which may use the task.
        record.wake_first_joiner();
        if let Some(cold) = cold {
            record.wake_other_joiners(cold);
        }
        // Without a handle a failure would go unseen: it is reported, once.
        if !record.has(Flag::HANDLE) {
            self.drop_unclaimed_outcome(record);
        }
    }

    /// Ends a task whose last poll returned `polled`.
    pub(crate) fn end_as(&self, record: &RecordRef, polled: Polled) {
        let how = match polled {
            Polled::Pending | Polled::Value => Flag::NONE, // never `Pending`
            Polled::Failure => Flag::FAILED,
            Polled::Panicked => Flag::PANICKED,
        };
        self.end(record, how);
    }

    /// Drops what the stage holds, and ends the task: as cancelled, or as panicked if that destructor panicked.
    pub(crate) fn end_cancelled(&self, record: &RecordRef) {
        let panic = record.drop_future().or_else(|| record.drop_outcome()); // at most one of them is there
        match panic {
            None if record.has(Flag::DONE) => {} // a destructor has ended the task meanwhile
            Some(payload) if record.has(Flag::DONE) => self.report_panic(record, payload),
            Some(payload) => {
                record.cold().panic.replace(Some(Panic::new(payload)));
                self.end(record, Flag::PANICKED);
            }
            None => self.end(record, Flag::CANCELLED),
        }
    }

    /// Drops a task hard: destructors run, clean-up that awaits does not.
    ///
    /// A destructor may drop a group, and so its tasks, and so on. Up to [`MAX_NESTED_DISCARDS`] such drops nest, so that the code
    /// around a group finds its tasks gone. Deeper ones are put on a list until the outermost is done, because groups may nest
    /// deeper than the stack.
    pub(crate) fn discard(&self, record: &RecordRef) {
        if record.has(Stage::LENT) {
            record.set(Flag::DISCARD); // `after_pending` acts on it
        } else if !record.has(Flag::DONE) && self.nested_discards.get() == MAX_NESTED_DISCARDS {
            self.to_discard.borrow_mut().push(record.clone());
        } else if !record.has(Flag::DONE) {
            self.discard_now(record);
        }
    }

    fn discard_now(&self, record: &RecordRef) {
        let nested = self.nested_discards.get();
        self.nested_discards.set(nested + 1);
        self.end_cancelled(record); // never panics, so the count is restored
        if nested == 0 {
            loop {
                let next = self.to_discard.borrow_mut().pop();
                let Some(next) = next else { break };
                self.discard(&next); // the count is one still: so it drains no list itself
            }
        }
        self.nested_discards.set(nested);
    }
}
