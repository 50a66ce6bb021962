//! Several permits at once.
//!
//! A task could take them one by one. Then two tasks may each hold a part, and wait for the other's for ever. So it gets all at once,
//! when it is the first in the line and so many are free.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use super::{OwnedPermit, Semaphore};
use crate::object::{Line, because_of};
use crate::trace;
use crate::wait_list::WaitKey;
use crate::waiting::{Owner, Wait, Waiters, WouldWait};

impl Semaphore {
    /// Waits until so many permits are free and every task that came before has its own, and takes them all at once. With zero it
    /// does not wait.
    ///
    /// A task that waits for many is not passed over by those that want fewer: they wait behind it, in the order in which they came.
    /// To wait for all permits is to wait until no other task holds one.
    ///
    /// # Cancellation
    /// Only the position in the line is lost. Permits that were granted already go to the next waiters.
    ///
    /// # Panics
    /// If a [`BoundedSemaphore`](crate::sync::BoundedSemaphore) can never have so many permits.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::sync::Semaphore;
    ///
    /// let megabytes = Semaphore::new(100);
    /// let room = megabytes.acquire_many(64).await;
    /// assert_eq!(megabytes.available(), 36);
    /// drop(room);
    /// assert_eq!(megabytes.available(), 100);
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// There is none; several `acquire` in a row can lock up with those of another task.
    #[track_caller]
    pub fn acquire_many(&self, permits: usize) -> impl Future<Output = Permits<'_>> {
        self.refuse_more_than_there_can_be(permits);
        self.acquire_several(permits)
    }

    /// Like [`acquire_many`](Semaphore::acquire_many), with permits that keep the semaphore.
    ///
    /// # Cancellation
    /// As there.
    #[track_caller]
    pub fn acquire_many_owned(self: Rc<Self>, permits: usize) -> impl Future<Output = OwnedPermit> {
        OwnedPermit::acquire_several(self, permits)
    }

    #[track_caller]
    pub(super) fn refuse_more_than_there_can_be(&self, permits: usize) {
        assert!(
            permits <= self.bound,
            "a semaphore that never has more than {} permits cannot give {permits} at once: ask for fewer",
            self.bound
        );
    }

    pub(super) async fn acquire_several(&self, count: usize) -> Permits<'_> {
        if count > 0 && (self.value.get() < count || self.is_locked()) {
            let several = Several { semaphore: self, count, key: Cell::new(None) };
            Wait::new(&several).await; // the call has granted the permits
            if self.value.get() > 0 {
                self.grant(); // others may have come free before this waiter ran
            }
        } else {
            self.value.set(self.value.get() - count);
        }
        self.permits(count)
    }

    /// Takes so many permits if they are free and no task waits.
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_many_nowait(&self, permits: usize) -> Result<Permits<'_>, WouldWait> {
        if permits > 0 && (self.value.get() < permits || self.is_locked()) {
            return Err(WouldWait);
        }
        self.value.set(self.value.get() - permits);
        Ok(self.permits(permits))
    }

    /// Permits that were taken from the count.
    fn permits(&self, count: usize) -> Permits<'_> {
        let is_held = count > 0 && self.waiters.may_be_watched();
        let token = if is_held { self.note_holder() } else { 0 };
        Permits { semaphore: self, count, token }
    }

    #[inline]
    pub(super) fn several_are_wanted(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    /// Grants the first waiter that is not cancelled what it wants. False if there is none, or too little is free for it.
    #[cold]
    #[inline(never)]
    pub(super) fn grant_to_first_that_can(&self) -> bool {
        let Some(key) = self.waiters.first_uncancelled() else { return false };
        let wanted = self.wanted.borrow().get(&key.number()).copied().unwrap_or(1);
        let Some(left) = self.value.get().checked_sub(wanted) else { return false };
        self.value.set(left); // first: a foreign waker may run any code
        self.wanted.borrow_mut().remove(&key.number());
        self.waiters.call_this(key)
    }

    fn put_back(&self, count: usize) {
        // A bounded semaphore may be full: granted permits were released by hand meanwhile.
        self.value.set(self.value.get().saturating_add(count).min(self.bound));
    }
}

/// A waiter that wants several permits.
struct Several<'a> {
    semaphore: &'a Semaphore,
    count: usize,
    key: Cell<Option<WaitKey>>,
}

impl Owner for Several<'_> {
    fn waiters(&self) -> &Waiters {
        &self.semaphore.waiters
    }

    fn line(&self) -> &Line {
        self.semaphore.line()
    }

    fn joined(&self, key: WaitKey) {
        self.key.set(Some(key));
        self.semaphore.wanted.borrow_mut().insert(key.number(), self.count);
        self.semaphore.waiters.watch();
    }

    fn gave_up(&self, called: bool) {
        if called {
            self.semaphore.put_back(self.count);
        } else if let Some(key) = self.key.take() {
            self.semaphore.wanted.borrow_mut().remove(&key.number());
        }
    }

    fn is_available(&self) -> bool {
        self.semaphore.is_available()
    }

    fn hand_out(&self) {
        self.semaphore.hand_out();
    }
}

/// Several permits of a [`Semaphore`], given back when this is dropped; see [`Semaphore::acquire_many`].
#[derive(Debug)]
#[must_use = "the permits are given back when this is dropped"]
pub struct Permits<'a> {
    pub(super) semaphore: &'a Semaphore,
    pub(super) count: usize,
    /// As that of a [`Permit`](super::Permit): they are one hold.
    pub(super) token: u32,
}

impl Permits<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits taken without a guard; [`Semaphore::release`] gives back one of them.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        if self.count == 0 {
            return;
        }
        let semaphore = self.semaphore;
        semaphore.put_back(self.count);
        let mut told = 0;
        if semaphore.waiters.may_be_watched() && semaphore.is_watched() {
            let line = semaphore.line();
            line.released(self.token);
            let free = Some(semaphore.value.get());
            told = line.tell(|object| trace::What::Released { object, free });
        }
        because_of(told, || semaphore.grant());
    }
}
