//! A lock: one holder at a time.
//!
//! A release frees the lock and calls the first waiter; it does not hand the lock over. Until that waiter runs, new tasks queue
//! behind it, so the lock is fair. As in asyncio, waiters that are cancelled and have not run yet do not keep a new task out.

use std::cell::Cell;
use std::fmt;

use thiserror::Error;

use super::{Owner, Wait, Waiters};

/// A lock that one task at a time may hold. The others get it in the order in which they came.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::rc::Rc;
/// use loopwheel::{create_task, sync::Lock, yield_now};
///
/// let lock = Rc::new(Lock::new());
/// let guard = lock.acquire().await;
/// let other = create_task({
///     let lock = lock.clone();
///     async move { drop(lock.acquire().await) }
/// });
/// yield_now().await;
/// assert!(!other.is_done());
/// drop(guard); // the other one's turn
/// other.await.unwrap();
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Lock`.
#[derive(Default)]
pub struct Lock {
    locked: Cell<bool>,
    /// The serial of the latest acquisition: a guard releases only its own. 64 bits never wrap, so no serial comes twice.
    acquired: Cell<u64>,
    waiters: Waiters,
}

/// A lock was released while it was not held, or a condition was used without its lock.
///
/// # In asyncio
/// `RuntimeError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the lock is not held: acquire it first, and release it once")]
pub struct NotLocked;

impl Lock {
    /// A lock that is free.
    pub fn new() -> Lock {
        Lock::default()
    }

    /// Waits until the lock is free and every task that came before has had it, and takes it.
    ///
    /// The lock is released when the guard is dropped.
    ///
    /// # Cancellation
    /// Only the position in the line is lost. If it was this task's turn already, the next waiter gets the lock.
    ///
    /// # In asyncio
    /// `async with lock`, or `await lock.acquire()` and [`LockGuard::forget`].
    pub async fn acquire(&self) -> LockGuard<'_> {
        if !self.can_be_taken() {
            Wait::new(&self.waiters, self).await;
        }
        self.take()
    }

    /// Whether it is free, and no waiter has a claim to it: a cancelled one has none.
    #[inline]
    fn can_be_taken(&self) -> bool {
        !self.locked.get() && (self.waiters.is_empty() || self.waiters.all_are_cancelled())
    }

    fn take(&self) -> LockGuard<'_> {
        self.locked.set(true);
        self.acquired.set(self.acquired.get() + 1);
        LockGuard { lock: self, serial: self.acquired.get() }
    }

    /// Releases this acquisition, unless that was done before.
    pub(crate) fn release_acquisition(&self, serial: u64) {
        if self.acquired.get() == serial {
            let _ = self.release();
        }
    }

    /// Takes the lock if it is free and no task waits for it.
    pub fn try_acquire(&self) -> Option<LockGuard<'_>> {
        self.can_be_taken().then(|| self.take())
    }

    /// Releases a lock whose guard was [forgotten](LockGuard::forget). Any task may do that. A guard that still exists holds
    /// nothing from then on.
    ///
    /// # Errors
    /// If the lock is not held.
    ///
    /// # In asyncio
    /// `lock.release()`.
    pub fn release(&self) -> Result<(), NotLocked> {
        if !self.locked.replace(false) {
            return Err(NotLocked);
        }
        self.waiters.call_first_if_uncancelled();
        Ok(())
    }

    /// Whether the lock is held.
    ///
    /// Between a release and the next holder's turn it is not held, but a new task has to wait in line.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// How many tasks wait for it.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }
}

impl Owner for Lock {
    fn what(&self) -> &'static str {
        "a lock"
    }

    #[inline]
    fn is_available(&self) -> bool {
        !self.locked.get()
    }

    #[cold]
    #[inline(never)]
    fn hand_out(&self) {
        if !self.waiters.one_is_called() {
            self.waiters.call_first_if_uncancelled();
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("locked", &self.is_locked())
            .field("waiters", &self.waiters)
            .finish_non_exhaustive()
    }
}

/// Holds a [`Lock`] until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard<'a> {
    lock: &'a Lock,
    serial: u64,
}

impl LockGuard<'_> {
    /// Keeps the lock held without a guard; [`Lock::release`] releases it.
    pub fn forget(self) {
        std::mem::forget(self);
    }

    /// Keeps the lock held, for another kind of guard, which releases it by this serial.
    pub(crate) fn into_serial(self) -> u64 {
        let serial = self.serial;
        self.forget();
        serial
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        self.lock.release_acquisition(self.serial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_that_is_kept_over_four_billion_acquisitions_releases_none_but_its_own() {
        let lock = Lock::new();
        let guard = lock.try_acquire().expect("it is free");
        lock.release().expect("it is held");
        lock.acquired.set(lock.acquired.get() + u64::from(u32::MAX)); // as if so many had come and gone
        let other = lock.try_acquire().expect("it is free");
        drop(guard);
        assert!(lock.is_locked(), "the other one holds it");
        drop(other);
        assert!(!lock.is_locked());
    }
}
