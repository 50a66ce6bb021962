//! Permits that keep their semaphore.

use std::fmt;
use std::future::Future;
use std::rc::Rc;

use super::{BoundedSemaphore, Permit, Permits, Semaphore};

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

/// A permit, or several, that keeps its semaphore, given back when it is dropped; see [`Semaphore::acquire_owned`] and
/// [`Semaphore::acquire_many_owned`].
#[must_use = "the permit is given back when it is dropped"]
pub struct OwnedPermit {
    /// `None` when it is forgotten.
    of: Option<Rc<dyn HasSemaphore>>,
    count: usize,
    token: u32,
}

impl OwnedPermit {
    pub(super) fn of(
        semaphore: Rc<impl HasSemaphore + 'static>,
        count: usize,
        token: u32,
    ) -> OwnedPermit {
        OwnedPermit { of: Some(semaphore), count, token }
    }

    #[track_caller]
    pub(super) fn acquire_several(
        of: Rc<impl HasSemaphore + 'static>,
        count: usize,
    ) -> impl Future<Output = OwnedPermit> {
        of.semaphore().refuse_more_than_there_can_be(count);
        async move {
            let permits = of.semaphore().acquire_several(count).await;
            let token = permits.token;
            permits.forget();
            OwnedPermit::of(of, count, token)
        }
    }

    /// How many permits it is.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps what it is taken without a guard; [`Semaphore::release`] gives back one permit.
    pub fn forget(mut self) {
        self.of = None; // the semaphore itself is not leaked
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if let Some(of) = self.of.take() {
            let (semaphore, count, token) = (of.semaphore(), self.count, self.token);
            if count == 1 {
                drop(Permit { semaphore, token });
            } else {
                drop(Permits { semaphore, count, token });
            }
        }
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit").finish_non_exhaustive()
    }
}
