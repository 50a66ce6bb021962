//! A condition: waiting, under a lock, until something is true.
//!
//! A wait has to take the lock again in every case, so it cannot just be dropped by a cancel: it catches the cancel, takes the
//! lock, and lets the cancel go on.

use std::cell::Cell;

use crate::catch::catch_cancel;
use crate::object::{Line, What};
use crate::sync::line::{Lock, NotLocked};
use crate::waiting::{Owner, Wait, Waiters};

/// A lock, and a line of tasks that wait to be notified.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::{cell::Cell, rc::Rc};
/// use loopwheel::{create_task, sync::Condition};
///
/// let (condition, ready) = (Rc::new(Condition::new()), Rc::new(Cell::new(false)));
/// let waiter = create_task({
///     let (condition, ready) = (condition.clone(), ready.clone());
///     async move {
///         let guard = condition.acquire().await;
///         guard.wait_for(|| ready.get()).await;
///     }
/// });
/// let guard = condition.acquire().await;
/// ready.set(true);
/// guard.notify(1);
/// drop(guard);
/// waiter.await.unwrap();
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Condition`.
#[derive(Debug)]
pub struct Condition {
    lock: Lock,
    waiters: Waiters,
    what: &'static What,
}

static CONDITION: What = What::the("condition");
static ITS_LOCK: What = What { kind: "condition", of: "the lock of " };

impl Condition {
    /// A condition with a lock of its own.
    #[track_caller]
    pub fn new() -> Condition {
        Condition::of(&CONDITION, &ITS_LOCK)
    }

    /// A condition inside another primitive. The two say what is waited for: a notification, and the lock.
    #[track_caller]
    pub(super) fn of(what: &'static What, its_lock: &'static What) -> Condition {
        Condition { lock: Lock::of(its_lock), waiters: Waiters::default(), what }
    }

    /// Gives the condition a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Condition {
        self.lock.line().set_name(name);
        self
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.lock.name()
    }

    /// Takes the condition's lock; see [`Lock::acquire`].
    ///
    /// # Cancellation
    /// As there.
    pub async fn acquire(&self) -> ConditionGuard<'_> {
        let serial = self.lock.acquire().await.into_serial();
        ConditionGuard { condition: self, holds: Cell::new(Some(serial)) }
    }

    /// Releases a lock whose guard was forgotten; see [`Lock::release`].
    ///
    /// # Errors
    /// If the lock is not held.
    pub fn release(&self) -> Result<(), NotLocked> {
        self.lock.release()
    }

    /// Whether the lock is held.
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// How many tasks wait to be notified.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }

    /// Releases the lock, waits to be notified, and takes the lock again.
    ///
    /// If you have the guard, [`ConditionGuard::wait`] does the same and cannot fail.
    ///
    /// # Cancellation
    /// The lock is taken again before the cancel goes on, however long that takes. The next waiter is notified, whether this one
    /// had been or not, so that no notification is lost. If the future is dropped hard the lock is *not* held afterwards.
    ///
    /// # Errors
    /// If the lock is not held.
    ///
    /// # In asyncio
    /// `await condition.wait()`.
    pub async fn wait(&self) -> Result<(), NotLocked> {
        self.lock.release()?;
        self.wait_and_relock(|_| ()).await;
        Ok(())
    }

    /// Wakes the first `n` waiters. Each goes on when it has the lock again.
    ///
    /// # Errors
    /// If the lock is not held.
    pub fn notify(&self, n: usize) -> Result<(), NotLocked> {
        if !self.is_locked() {
            return Err(NotLocked);
        }
        self.call(n);
        Ok(())
    }

    /// Wakes all waiters.
    ///
    /// # Errors
    /// If the lock is not held.
    pub fn notify_all(&self) -> Result<(), NotLocked> {
        self.notify(self.waiters.in_line())
    }

    fn call(&self, n: usize) {
        for _ in 0..n {
            if !self.waiters.call_one() {
                break;
            }
        }
    }

    /// Calls `relocked` with the serial of the new acquisition as soon as the lock is held again, before a cancel goes on.
    async fn wait_and_relock(&self, relocked: impl FnOnce(u64)) {
        /// Notifies the next waiter if this one does not go on. It may not have been notified itself: a waiter that is notified for
        /// nothing waits again, but a lost notification is lost for ever.
        struct HandOn<'a>(&'a Condition);
        impl Drop for HandOn<'_> {
            fn drop(&mut self) {
                self.0.call(1);
            }
        }
        let hand_on = HandOn(self);
        let mut cancelled = catch_cancel(Wait::new(self)).await.err();
        // The caller relies on the lock, so it is taken again in every case. A cancel that arrives meanwhile goes on afterwards.
        let serial = loop {
            match catch_cancel(self.lock.acquire()).await {
                Ok(guard) => break guard.into_serial(),
                Err(again) => cancelled = Some(again),
            }
        };
        relocked(serial);
        match cancelled {
            None => std::mem::forget(hand_on),
            Some(cancelled) => {
                drop(hand_on);
                cancelled.reraise().await;
            }
        }
    }
}

impl Default for Condition {
    #[track_caller]
    fn default() -> Condition {
        Condition::new()
    }
}

impl Owner for Condition {
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    fn line(&self) -> &Line {
        self.waiters.line_beside(|| self.lock.line(), self.what)
    }

    // No `gave_up`: `wait_and_relock` hands a notification on itself.
}

/// Holds a [`Condition`]'s lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct ConditionGuard<'a> {
    condition: &'a Condition,
    /// The serial of the lock's acquisition; `None` during a wait. A wait that is dropped hard leaves a guard that holds nothing.
    holds: Cell<Option<u64>>,
}

impl ConditionGuard<'_> {
    /// Releases the lock, waits to be notified, and takes the lock again. See [`Condition::wait`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Panics
    /// If an earlier wait of this guard was dropped hard: then the guard holds nothing.
    pub async fn wait(&self) {
        let serial = self.holds.take();
        let serial = serial
            .expect("the guard of a wait that was dropped holds nothing: acquire the lock anew");
        self.condition.lock.release_acquisition(serial);
        self.condition.wait_and_relock(|serial| self.holds.set(Some(serial))).await;
    }

    /// Waits until `is_true` returns true. It is asked at once, and again after each notification.
    ///
    /// # Cancellation
    /// As with [`wait`](ConditionGuard::wait).
    ///
    /// # In asyncio
    /// `await condition.wait_for(predicate)`.
    pub async fn wait_for(&self, mut is_true: impl FnMut() -> bool) {
        while !is_true() {
            self.wait().await;
        }
    }

    /// Wakes the first `n` waiters. They go on, one after another, when this guard is dropped.
    pub fn notify(&self, n: usize) {
        self.condition.call(n);
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.condition.call(self.condition.waiting());
    }

    /// Keeps the lock held without a guard; [`Condition::release`] releases it.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for ConditionGuard<'_> {
    fn drop(&mut self) {
        if let Some(serial) = self.holds.get() {
            self.condition.lock.release_acquisition(serial);
        }
    }
}
