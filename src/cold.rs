//! **The cold part of a record**: data that few tasks need.
//!
//! In the header it would make every task larger. It is allocated on first use and stays until the record is freed, so most tasks
//! never have one. Each field is a cell of its own, so code that uses one field never blocks code that uses another. No foreign
//! code runs inside a borrow.
//!
//! As in `engine.rs`, each field belongs to one ring, and this file only creates and empties it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::awaited::AwaitedNotes;
use crate::cancel::CancelDetails;
use crate::error::Panic;
use crate::join::Joiners;
use crate::kept_waker::ForeignWakers;
use crate::scope::Scope;
use crate::task_local::TaskLocals;

/// The rarely used data of one task.
#[derive(Default)]
pub(crate) struct Cold {
    /// The panic of a task with the flag [`PANICKED`](crate::kernel::record::Flag::PANICKED).
    pub(crate) panic: RefCell<Option<Panic>>,
    /// The name that the user gave the task. A cause of a cancel shares it, and may be sent to another thread.
    pub(crate) name: RefCell<Option<Arc<str>>>,
    pub(crate) locals: TaskLocals,
    /// All joiners except the first, which is in the header.
    pub(crate) joiners: RefCell<Joiners>,
    /// The foreign wakers that the task's checkpoints keep.
    pub(crate) foreign_wakers: RefCell<ForeignWakers>,
    pub(crate) awaited: AwaitedNotes,
    pub(crate) cancel: CancelDetails,
    /// The task as a scope: the outermost one around its future, where a cancel that nothing catches ends up.
    pub(crate) scope: Scope,
    /// A task that awaited this one through `shield` was cancelled: a failure is reported even if a handle takes it.
    pub(crate) is_orphan_of_shield: Cell<bool>,
}

impl Cold {
    /// Drops everything that may run foreign code. That code may use the record, which is consistent.
    pub(crate) fn empty(&self) {
        self.locals.empty();
        drop(self.joiners.take());
        self.awaited.empty();
        drop(self.panic.take());
        self.scope.is_over();
    }
}
