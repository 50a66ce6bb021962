//! A lock: one holder at a time.
//!
//! A release frees the lock and calls the first waiter; it does not hand the lock over. Until that waiter runs, new tasks queue
//! behind it, so the lock is fair. As in asyncio, waiters that are cancelled and have not run yet do not keep a new task out.

use std::fmt;

use thiserror::Error;

use crate::cells::Cell;
use crate::object::{HeldBy, Line, What, because_of};
use crate::trace;
use crate::waiting::{Owner, Wait, Waiters, WouldWait};

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
#[doc(alias = "Mutex")]
pub struct Lock {
    /// The task that holds it.
    holder: Cell<HeldBy>,
    /// The serial of the latest acquisition: a guard releases only its own. 64 bits never wrap, so no serial comes twice.
    acquired: Cell<u64>,
    waiters: Waiters,
    what: &'static What,
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
    #[track_caller]
    pub fn new() -> Lock {
        Lock::of(&LOCK)
    }

    /// A lock inside another primitive. `what` names what its waiters wait for.
    #[track_caller]
    pub(crate) fn of(what: &'static What) -> Lock {
        let holder = Cell::new(HeldBy::NOTHING);
        Lock { holder, acquired: Cell::new(0), waiters: Waiters::of_new_object(), what }
    }

    /// Gives the lock a name, for dumps and reports.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::sync::Lock;
    ///
    /// let lock = Lock::new().named("accounts");
    /// assert_eq!(lock.name().as_deref(), Some("accounts"));
    /// ```
    ///
    /// # In asyncio
    /// There are no names.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Lock {
        self.line().set_name(name);
        self
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.waiters.name()
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
        if self.is_free() && self.waiters.is_quiet() {
            return self.take(); // the usual case: there is nothing to note
        }
        if !self.can_be_taken() {
            Wait::new(self).await;
        }
        self.take_and_note()
    }

    #[inline]
    fn is_free(&self) -> bool {
        self.holder.get().is_nothing()
    }

    /// Whether it is free, and no waiter has a claim to it: a cancelled one has none.
    #[inline]
    fn can_be_taken(&self) -> bool {
        self.is_free() && (self.waiters.is_empty() || self.waiters.all_are_cancelled())
    }

    #[inline]
    fn take(&self) -> LockGuard<'_> {
        self.holder.set(HeldBy::running_task());
        self.acquired.set(self.acquired.get() + 1);
        LockGuard { lock: self, serial: self.acquired.get() }
    }

    #[inline]
    fn take_and_note(&self) -> LockGuard<'_> {
        let guard = self.take();
        self.note();
        if self.waiters.may_be_watched() {
            self.note_holder();
        }
        guard
    }

    #[cold]
    fn note_holder(&self) {
        if self.waiters.is_watched() {
            self.line().held();
        }
    }

    /// Notes the holder where a dump finds it, if it can be asked for: if a task waits for the lock, or it is watched.
    #[inline]
    fn note(&self) {
        if let Some(line) = self.waiters.line() {
            line.note_held_by(self.holder.get());
        }
    }

    /// Releases this acquisition, unless that was done before.
    pub(crate) fn release_acquisition(&self, serial: u64) {
        if self.acquired.get() == serial {
            let _ = self.release();
        }
    }

    /// Takes the lock if it is free and no task waits for it.
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_nowait(&self) -> Result<LockGuard<'_>, WouldWait> {
        if self.can_be_taken() { Ok(self.take_and_note()) } else { Err(WouldWait) }
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
        if self.holder.replace(HeldBy::NOTHING).is_nothing() {
            return Err(NotLocked);
        }
        if !self.waiters.is_quiet() {
            self.note_and_call();
        }
        Ok(())
    }

    #[inline]
    fn note_and_call(&self) {
        self.note();
        if self.waiters.may_be_watched() {
            self.note_release();
        } else {
            self.waiters.call_first_if_uncancelled();
        }
    }

    #[cold]
    fn note_release(&self) {
        let mut told = 0;
        if self.waiters.is_watched() {
            let line = self.line();
            line.released(0); // a lock has one holder at most
            told = line.tell(|object| trace::What::Released { object, free: None });
        }
        because_of(told, || self.waiters.call_first_if_uncancelled());
    }

    /// Whether the lock is held.
    ///
    /// Between a release and the next holder's turn it is not held, but a new task has to wait in line.
    pub fn is_locked(&self) -> bool {
        !self.is_free()
    }

    /// How many tasks wait for it.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }
}

static LOCK: What = What::the("lock");

impl Default for Lock {
    #[track_caller]
    fn default() -> Lock {
        Lock::new()
    }
}

impl Owner for Lock {
    #[inline]
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    #[inline]
    fn line(&self) -> &Line {
        let line = self.waiters.line_or_new(self.what);
        line.note_held_by(self.holder.get());
        line
    }

    #[inline]
    fn is_available(&self) -> bool {
        self.is_free()
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
        let guard = lock.acquire_nowait().expect("it is free");
        lock.release().expect("it is held");
        lock.acquired.set(lock.acquired.get() + u64::from(u32::MAX)); // as if so many had come and gone
        let other = lock.acquire_nowait().expect("it is free");
        drop(guard);
        assert!(lock.is_locked(), "the other one holds it");
        drop(other);
        assert!(!lock.is_locked());
    }
}
