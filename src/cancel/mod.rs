//! **Cancelling a task**: from `task.cancel()` to the polls in which the cancel is delivered.
//!
//! | file | idea |
//! |---|---|
//! | `request` | a cancel is counted, and forwarded to what the task awaits |
//! | `walk` | the tasks that a cancel reaches, and by how many ways |
//! | `poll` | the polls of a cancelled task |
//!
//! How a cancel gets into a future, and out again, is in `delivery/` and `scope/`.
//!
//! It stands on `base`, `reason`, the kernel, `kept_waker`, `trace`, `delivery`, `scope` and `awaited`.

mod poll;
mod request;
mod walk;

use std::cell::Cell;

use crate::kernel::record::Header;

/// The part of a task's cold part that belongs to this ring.
#[derive(Default)]
pub(crate) struct CancelDetails {
    /// How many cancels were requested, if there are too many for the header.
    many_requests: Cell<u32>,
    /// How many of the requests are of time limits and groups that have not taken them back.
    of_scopes: Cell<u32>,
    /// How many protections in the task hold a cancel back.
    pub(crate) holding_back: Cell<u32>,
}

impl Header {
    /// How many cancels were requested and not taken back.
    ///
    /// The header has one byte for the count. Its largest value means that the count is in the cold part.
    #[inline]
    pub(crate) fn cancel_requests(&self) -> u32 {
        match self.cancel_requests.get() {
            u8::MAX => self.cold().cancel.many_requests.get(),
            few => few.into(),
        }
    }

    #[inline]
    fn has_cancel_requests(&self) -> bool {
        self.cancel_requests.get() > 0
    }

    fn set_cancel_requests(&self, requests: u32) {
        let few = u8::try_from(requests).unwrap_or(u8::MAX);
        if few == u8::MAX {
            self.cold().cancel.many_requests.set(requests);
        }
        self.cancel_requests.set(few);
    }
}
