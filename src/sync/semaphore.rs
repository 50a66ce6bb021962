//! Semaphores: so many at a time.

use std::cell::Cell;
use std::fmt;

use thiserror::Error;

use super::waiters::{Owner, Wait, Waiters};

/// So many may hold a permit at one time; the others get one in the order in which they came.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::sync::Semaphore;
///
/// let three = Semaphore::new(3);
/// let permit = three.acquire().await;
/// assert_eq!(three.available(), 2);
/// drop(permit);
/// assert_eq!(three.available(), 3);
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Semaphore`.
pub struct Semaphore {
    value: Cell<usize>,
    /// How many permits there may be.
    bound: usize,
    waiters: Waiters,
}

impl Semaphore {
    /// A semaphore with so many permits. With none, [`release`](Semaphore::release) makes the first.
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { value: Cell::new(permits), bound: usize::MAX, waiters: Waiters::default() }
    }

    /// Waits for a permit: until one is free and everybody who came before has one.
    ///
    /// It is given back when the [`Permit`] is dropped. A future of this that is kept and not polled (it lost a `select!`) keeps its
    /// place in the line, and may hold a permit that was granted to it: drop it.
    ///
    /// # Cancellation
    /// The place in the line is lost, nothing else: a permit that was granted already goes to the next one.
    ///
    /// # In asyncio
    /// `async with semaphore`, or `await semaphore.acquire()` and [`Permit::forget`].
    pub async fn acquire(&self) -> Permit<'_> {
        if self.is_locked() {
            Wait::new(&self.waiters, self).await; // the call has granted the permit
            if self.value.get() > 0 {
                self.grant();
            }
        } else {
            self.value.set(self.value.get() - 1);
        }
        Permit { semaphore: self }
    }

    /// Takes a permit if one is free and nobody waits.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        (!self.is_locked()).then(|| {
            self.value.set(self.value.get() - 1);
            Permit { semaphore: self }
        })
    }

    /// Gives back a permit that was [forgotten](Permit::forget), or makes a new one.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX`.
    ///
    /// # In asyncio
    /// `semaphore.release()`.
    #[track_caller]
    pub fn release(&self) {
        let value =
            self.value.get().checked_add(1).expect("a semaphore of more than usize::MAX permits");
        if self.waiters.in_line() == 0 || !self.waiters.call_first_uncancelled() {
            self.value.set(value);
        }
    }

    /// Whether an acquire would have to wait.
    ///
    /// # In asyncio
    /// `semaphore.locked()`.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.value.get() == 0 || !(self.waiters.is_empty() || self.waiters.all_are_cancelled())
    }

    /// How many permits are free.
    pub fn available(&self) -> usize {
        self.value.get()
    }

    /// How many wait for one.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }

    #[inline]
    fn grant_one(&self) -> bool {
        self.waiters.in_line() > 0 && self.grant_first()
    }

    fn grant_first(&self) -> bool {
        self.value.set(self.value.get() - 1); // first: a foreign waker may run anything
        let granted = self.waiters.call_first_uncancelled();
        if !granted {
            self.value.set(self.value.get() + 1);
        }
        granted
    }

    /// Grants what there is: permits may have come free while they all had to wait for the first in the line.
    fn grant(&self) {
        while self.value.get() > 0 && self.grant_one() {}
    }

    /// One more is free, unless that is one too many: somebody may have released by hand what was granted already.
    fn give_back(&self) {
        let value = self.value.get();
        if value < self.bound {
            self.value.set(value + 1);
        }
    }
}

impl Owner for Semaphore {
    fn what(&self) -> &'static str {
        "a semaphore"
    }

    fn gave_up(&self, called: bool) {
        if called {
            self.give_back();
        }
        if self.is_open() {
            self.call_on();
        }
    }

    #[inline]
    fn is_open(&self) -> bool {
        self.value.get() > 0
    }

    #[cold]
    #[inline(never)]
    fn call_on(&self) {
        self.grant();
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("waiters", &self.waiters)
            .finish_non_exhaustive()
    }
}

/// A permit of a [`Semaphore`], given back when it is dropped.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Permit<'_> {
    /// Keeps the permit taken without a guard; [`Semaphore::release`] gives it back.
    pub fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Of a bounded one somebody may have released it by hand: then there is nothing to give back.
        if self.semaphore.value.get() < self.semaphore.bound {
            self.semaphore.release();
        }
    }
}

/// A bounded semaphore was released more often than it was acquired.
///
/// # In asyncio
/// `ValueError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the semaphore was released more often than it was acquired")]
pub struct ReleasedTooOften;

/// A [`Semaphore`] that cannot have more permits than it began with.
///
/// # In asyncio
/// `asyncio.BoundedSemaphore`.
#[derive(Debug)]
pub struct BoundedSemaphore {
    semaphore: Semaphore,
}

impl BoundedSemaphore {
    /// A semaphore with so many permits, and never more.
    pub fn new(permits: usize) -> BoundedSemaphore {
        BoundedSemaphore { semaphore: Semaphore { bound: permits, ..Semaphore::new(permits) } }
    }

    /// See [`Semaphore::acquire`].
    ///
    /// # Cancellation
    /// As there.
    pub async fn acquire(&self) -> Permit<'_> {
        self.semaphore.acquire().await
    }

    /// See [`Semaphore::try_acquire`].
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.semaphore.try_acquire()
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
}
