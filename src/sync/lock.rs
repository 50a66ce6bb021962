//! A lock: one at a time.

use std::cell::Cell;
use std::fmt;

use thiserror::Error;

use super::waiters::{Owner, Wait, Waiters};

/// One task at a time may hold it; the others get it in the order in which they came.
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
    /// Counts the acquisitions: a guard only releases its own. 64 bits never come round, so a guard that is kept for ever
    /// cannot meet its number again.
    acquired: Cell<u64>,
    waiters: Waiters,
}

/// A lock was released that nobody held, or a condition was used without its lock.
///
/// # In asyncio
/// `RuntimeError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the lock is not held: acquire it first, and release it once")]
pub struct NotLocked;

impl Lock {
    /// A lock that nobody holds.
    pub fn new() -> Lock {
        Lock::default()
    }

    /// Waits until the lock is free and everybody who came before has had it, and takes it.
    ///
    /// It is released when the guard is dropped.
    ///
    /// # Cancellation
    /// The place in the line is lost, nothing else: if it was this one's turn already, the next one gets it.
    ///
    /// # In asyncio
    /// `async with lock`, or `await lock.acquire()` and [`LockGuard::forget`].
    pub async fn acquire(&self) -> LockGuard<'_> {
        if !self.can_be_taken() {
            Wait::new(&self.waiters, self).await;
        }
        self.take()
    }

    /// It is free, and nobody is before who comes now, but those whose cancel is on its way.
    #[inline]
    fn can_be_taken(&self) -> bool {
        !self.locked.get() && (self.waiters.is_empty() || self.waiters.all_are_cancelled())
    }

    fn take(&self) -> LockGuard<'_> {
        self.locked.set(true);
        self.acquired.set(self.acquired.get() + 1);
        LockGuard { lock: self, number: self.acquired.get() }
    }

    /// Releases what the holder of this number has, if it has it still.
    pub(super) fn release_of(&self, number: u64) {
        if self.acquired.get() == number {
            let _ = self.release();
        }
    }

    /// Takes the lock if it is free and nobody waits for it.
    pub fn try_acquire(&self) -> Option<LockGuard<'_>> {
        self.can_be_taken().then(|| self.take())
    }

    /// Releases a lock whose guard was [forgotten](LockGuard::forget), from wherever one is. A guard that is still there
    /// holds nothing from then on.
    ///
    /// # Errors
    /// If nobody holds it.
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

    /// Whether somebody holds it.
    ///
    /// Between a release and the next holder's turn nobody does; but who comes then waits in line.
    pub fn is_locked(&self) -> bool {
        self.locked.get()
    }

    /// How many wait for it.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }
}

impl Owner for Lock {
    fn what(&self) -> &'static str {
        "a lock"
    }

    fn gave_up(&self, _called: bool) {
        if self.is_open() {
            self.call_on();
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        !self.locked.get()
    }

    #[cold]
    #[inline(never)]
    fn call_on(&self) {
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
    number: u64,
}

impl LockGuard<'_> {
    /// Keeps the lock held without a guard; [`Lock::release`] releases it.
    pub fn forget(self) {
        std::mem::forget(self);
    }

    /// The same, for a guard of another kind.
    pub(super) fn into_number(self) -> u64 {
        let number = self.number;
        self.forget();
        number
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        self.lock.release_of(self.number); // somebody may have released it by hand
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
