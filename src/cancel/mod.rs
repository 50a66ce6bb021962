//! **Cancelling a task**: from `task.cancel()` to the polls in which the cancel is delivered.
//!
//! | file | idea |
//! |---|---|
//! | `request` | a cancel is counted, and forwarded to what the task awaits |
//! | `awaited` | what a task awaits: the notes that its last poll has left |
//! | `walk` | the tasks that a cancel reaches, and by how many ways |
//! | `poll` | the polls of a cancelled task |
//!
//! How a cancel gets into a future, and out again, is in `delivery/` and `scope/`.
//!
//! It stands on `base`, `reason`, the kernel, `kept_waker`, `delivery` and `scope`.

mod awaited;
mod poll;
mod request;
mod walk;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::kernel::record::{Header, RecordRef};
use awaited::AwaitedTasks;

/// A wait set: a cancel of the task that awaits it is forwarded to its tasks.
pub(crate) trait CancelTargets {
    /// The tasks in it that have not ended.
    fn targets(&self) -> Vec<RecordRef>;

    /// The caller has forwarded a cancel to them.
    fn note_forwarded(&self);
}

/// The part of a task's cold part that belongs to this ring.
#[derive(Default)]
pub(crate) struct CancelDetails {
    /// How many cancels were requested, if there are too many for the header.
    many_requests: Cell<u32>,
    /// How many of the requests are of time limits and groups that have not taken them back.
    of_scopes: Cell<u32>,
    /// The tasks that are awaited besides the one in the header: in the branches of a foreign `join!`.
    also_awaited: RefCell<AwaitedTasks>,
    /// The first wait set that is awaited, and the others.
    awaited_set: RefCell<Option<Rc<dyn CancelTargets>>>,
    also_awaited_sets: RefCell<Vec<Rc<dyn CancelTargets>>>,
}

impl CancelDetails {
    fn awaits_something(&self) -> bool {
        !self.also_awaited.borrow().is_empty() || self.awaited_set.borrow().is_some()
    }

    /// Must not be called inside a borrow: it may drop the last reference to a task, which may run anything.
    #[inline(never)]
    fn forget_awaited(&self) {
        if self.awaits_something() {
            self.empty();
        }
    }

    /// Drops all notes.
    pub(crate) fn empty(&self) {
        drop((self.also_awaited.take(), self.awaited_set.take()));
        if !self.also_awaited_sets.borrow().is_empty() {
            drop(self.also_awaited_sets.take());
        }
    }
}

impl Header {
    /// How many cancels were requested and not taken back.
    ///
    /// The header has two bytes for the count. Their largest value means that the count is in the cold part.
    #[inline]
    pub(crate) fn cancel_requests(&self) -> u32 {
        match self.cancel_requests.get() {
            u16::MAX => self.cold().cancel.many_requests.get(),
            few => few.into(),
        }
    }

    #[inline]
    fn has_cancel_requests(&self) -> bool {
        self.cancel_requests.get() > 0
    }

    fn set_cancel_requests(&self, requests: u32) {
        let few = u16::try_from(requests).unwrap_or(u16::MAX);
        if few == u16::MAX {
            self.cold().cancel.many_requests.set(requests);
        }
        self.cancel_requests.set(few);
    }
}
