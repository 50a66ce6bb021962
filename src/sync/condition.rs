//! A condition: waiting, under a lock, for something to become true.

use std::cell::Cell;

use super::lock::{Lock, NotLocked};
use super::waiters::{Owner, Wait, Waiters};
use crate::cancel::catch_cancel;

/// A lock, and a line of those who wait to be notified.
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
#[derive(Debug, Default)]
pub struct Condition {
    lock: Lock,
    waiters: Waiters,
}

impl Condition {
    /// A condition with a lock of its own.
    pub fn new() -> Condition {
        Condition::default()
    }

    /// Takes the condition's lock; see [`Lock::acquire`].
    ///
    /// # Cancellation
    /// As there.
    pub async fn acquire(&self) -> ConditionGuard<'_> {
        let number = self.lock.acquire().await.into_number();
        ConditionGuard { condition: self, holds: Cell::new(Some(number)) }
    }

    /// Releases a lock whose guard was forgotten; see [`Lock::release`].
    ///
    /// # Errors
    /// If nobody holds it.
    pub fn release(&self) -> Result<(), NotLocked> {
        self.lock.release()
    }

    /// Whether somebody holds the lock.
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// How many wait to be notified.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }

    /// Releases the lock, waits to be notified, and takes the lock again.
    ///
    /// With a guard in hand, [`ConditionGuard::wait`] is the same without the error.
    ///
    /// # Cancellation
    /// The lock is taken again before the cancel goes on, however long that takes; a notification that had come
    /// already goes to the next one. If this is dropped hard the lock is *not* held afterwards.
    ///
    /// # Errors
    /// If nobody holds the lock.
    ///
    /// # In asyncio
    /// `await condition.wait()`.
    pub async fn wait(&self) -> Result<(), NotLocked> {
        self.lock.release()?;
        self.wait_and_relock(|_| ()).await;
        Ok(())
    }

    /// Wakes the first `n` who wait; they go on when they have got the lock again.
    ///
    /// # Errors
    /// If nobody holds the lock.
    pub fn notify(&self, n: usize) -> Result<(), NotLocked> {
        if !self.is_locked() {
            return Err(NotLocked);
        }
        self.call(n);
        Ok(())
    }

    /// Wakes everybody who waits.
    ///
    /// # Errors
    /// If nobody holds the lock.
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

    /// `relocked` is called as soon as the lock is held again, before a cancel goes on.
    async fn wait_and_relock(&self, relocked: impl FnOnce(u64)) {
        /// Hands a notification on if its receiver does not come to use it.
        struct HandOn<'a>(&'a Condition);
        impl Drop for HandOn<'_> {
            fn drop(&mut self) {
                self.0.call(1);
            }
        }
        let hand_on = HandOn(self);
        let mut cancelled = catch_cancel(Wait::new(&self.waiters, self)).await.err();
        // The lock is taken again whatever happens, and a cancel meanwhile is kept for later.
        let number = loop {
            match catch_cancel(self.lock.acquire()).await {
                Ok(guard) => break guard.into_number(),
                Err(again) => cancelled = Some(again),
            }
        };
        relocked(number);
        match cancelled {
            None => std::mem::forget(hand_on),
            Some(cancelled) => {
                drop(hand_on);
                cancelled.reraise().await;
            }
        }
    }
}

impl Owner for Condition {
    fn what(&self) -> &'static str {
        "a condition"
    }

    /// What was called and gave up is handed on by `wait_and_relock`, which knows more.
    fn gave_up(&self, _called: bool) {}
}

/// Holds a [`Condition`]'s lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct ConditionGuard<'a> {
    condition: &'a Condition,
    /// `None` while it waits: a wait that is dropped hard leaves a guard that holds nothing.
    holds: Cell<Option<u64>>,
}

impl ConditionGuard<'_> {
    /// Releases the lock, waits to be notified, and takes the lock again. See [`Condition::wait`].
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Panics
    /// If an earlier wait of this guard was dropped hard: it holds nothing any more.
    pub async fn wait(&self) {
        let number = self.holds.take();
        let number = number.expect("the guard of a wait that was dropped holds nothing");
        self.condition.lock.release_of(number);
        self.condition.wait_and_relock(|number| self.holds.set(Some(number))).await;
    }

    /// Waits until `is_true`, being notified each time that it may have become so.
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

    /// Wakes the first `n` who wait; they go on when this guard is dropped.
    pub fn notify(&self, n: usize) {
        self.condition.call(n);
    }

    /// Wakes everybody who waits.
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
        if let Some(number) = self.holds.get() {
            self.condition.lock.release_of(number);
        }
    }
}
