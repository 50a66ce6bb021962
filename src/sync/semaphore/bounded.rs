//! A semaphore that cannot have more permits than it began with.

use std::future::Future;
use std::rc::Rc;

use thiserror::Error;

use super::{OwnedPermit, Permit, Permits, Semaphore};
use crate::waiting::WouldWait;

/// A bounded semaphore was released more often than it was acquired.
///
/// # In asyncio
/// `ValueError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the semaphore was released more often than it was acquired: a permit is released by its drop, and by `release` if it was forgotten"
)]
pub struct ReleasedTooOften;

/// A [`Semaphore`] that cannot have more permits than it began with.
///
/// # In asyncio
/// `asyncio.BoundedSemaphore`.
#[derive(Debug)]
pub struct BoundedSemaphore {
    pub(super) semaphore: Semaphore,
}

impl BoundedSemaphore {
    /// A semaphore with this many permits, and never more.
    #[track_caller]
    pub fn new(permits: usize) -> BoundedSemaphore {
        BoundedSemaphore { semaphore: Semaphore { bound: permits, ..Semaphore::new(permits) } }
    }

    /// See [`Semaphore::named`].
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> BoundedSemaphore {
        BoundedSemaphore { semaphore: self.semaphore.named(name) }
    }

    /// See [`Semaphore::name`].
    pub fn name(&self) -> Option<String> {
        self.semaphore.name()
    }

    /// See [`Semaphore::acquire`].
    ///
    /// # Cancellation
    /// As there.
    pub async fn acquire(&self) -> Permit<'_> {
        self.semaphore.acquire().await
    }

    /// See [`Semaphore::acquire_many`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Panics
    /// If it could never have so many permits.
    #[track_caller]
    pub fn acquire_many(&self, permits: usize) -> impl Future<Output = Permits<'_>> {
        self.semaphore.acquire_many(permits)
    }

    /// See [`Semaphore::acquire_owned`].
    ///
    /// # Cancellation
    /// As there.
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedPermit {
        let token = self.semaphore.acquire().await.into_token();
        OwnedPermit::of(self, 1, token)
    }

    /// See [`Semaphore::acquire_many_owned`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Panics
    /// If it could never have so many permits.
    #[track_caller]
    pub fn acquire_many_owned(self: Rc<Self>, permits: usize) -> impl Future<Output = OwnedPermit> {
        OwnedPermit::acquire_several(self, permits)
    }

    /// See [`Semaphore::acquire_owned_nowait`].
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_owned_nowait(self: Rc<Self>) -> Result<OwnedPermit, WouldWait> {
        let token = self.semaphore.acquire_nowait()?.into_token();
        Ok(OwnedPermit::of(self, 1, token))
    }

    /// See [`Semaphore::acquire_many_nowait`].
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_many_nowait(&self, permits: usize) -> Result<Permits<'_>, WouldWait> {
        self.semaphore.acquire_many_nowait(permits)
    }

    /// See [`Semaphore::acquire_nowait`].
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_nowait(&self) -> Result<Permit<'_>, WouldWait> {
        self.semaphore.acquire_nowait()
    }

    /// See [`Semaphore::release`].
    ///
    /// # Errors
    /// If all permits are free already.
    pub fn release(&self) -> Result<(), ReleasedTooOften> {
        if self.semaphore.available() >= self.semaphore.bound {
            return Err(ReleasedTooOften);
        }
        self.semaphore.release();
        Ok(())
    }

    /// See [`Semaphore::is_locked`].
    pub fn is_locked(&self) -> bool {
        self.semaphore.is_locked()
    }

    /// See [`Semaphore::available`].
    pub fn available(&self) -> usize {
        self.semaphore.available()
    }
    /// See [`Semaphore::waiting`].
    pub fn waiting(&self) -> usize {
        self.semaphore.waiting()
    }
}
