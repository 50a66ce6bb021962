//! A permit that keeps its semaphore.

use std::fmt;
use std::rc::Rc;

use super::{BoundedSemaphore, Permit, Semaphore};

/// What has a semaphore: one type of permits for both kinds.
pub(super) trait HasSemaphore {
    fn semaphore(&self) -> &Semaphore;
}

impl HasSemaphore for Semaphore {
    fn semaphore(&self) -> &Semaphore {
        self
    }
}

impl HasSemaphore for BoundedSemaphore {
    fn semaphore(&self) -> &Semaphore {
        &self.semaphore
    }
}

/// A permit that keeps its semaphore, given back when it is dropped; see [`Semaphore::acquire_owned`].
#[must_use = "the permit is given back when it is dropped"]
pub struct OwnedPermit {
    /// `None` when it is forgotten.
    of: Option<Rc<dyn HasSemaphore>>,
    token: u32,
}

impl OwnedPermit {
    pub(super) fn of(semaphore: Rc<impl HasSemaphore + 'static>, token: u32) -> OwnedPermit {
        OwnedPermit { of: Some(semaphore), token }
    }

    /// Keeps the permit taken without a guard; [`Semaphore::release`] gives it back.
    pub fn forget(mut self) {
        self.of = None; // the semaphore itself is not leaked
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            drop(Permit { semaphore: of.semaphore(), token: self.token });
        }
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
