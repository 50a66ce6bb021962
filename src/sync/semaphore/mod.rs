//! **Semaphores**: a number of permits.
//!
//! A call grants the permit: the count goes down before the called waiter runs, so a new task cannot take that permit first. A
//! called waiter that gives up gives its permit back.
//!
//! A task may want several permits at once (`many`). It has one place in the line like any other, and is called when all its permits
//! are free; so those behind it wait, though fewer would do for them. How many it wants is noted beside the line, and while such a
//! note is there the object counts as watched: so the operations of a semaphore without big requests do not test for them.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | one permit at a time |
//! | `many` | several permits at once |
//! | `owned` | permits that keep their semaphore |
//! | `bounded` | a semaphore that cannot have more permits than it began with |
//!
//! It stands on `cells`, `wait_list`, `object`, `trace` and `waiting`.

mod bounded;
mod many;
mod owned;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::cells::{Cell, RefCell};
use crate::object::{Line, State, What, because_of};
use crate::trace;
use crate::waiting::{Owner, Wait, Waiters, WouldWait};

pub use bounded::{BoundedSemaphore, ReleasedTooOften};
pub use many::Permits;
pub use owned::OwnedPermit;

/// A number of permits, each held by one task at a time. The others get one in the order in which they came.
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
    /// The most permits that may be free at one time.
    bound: usize,
    waiters: Waiters,
    /// How many permits the waiters in the line want that want several, by the numbers of their keys.
    wanted: RefCell<BTreeMap<usize, usize>>,
}

impl Semaphore {
    /// A semaphore with this many permits. With zero, [`release`](Semaphore::release) creates the first.
    #[track_caller]
    pub fn new(permits: usize) -> Semaphore {
        let waiters = Waiters::of_new_object();
        Semaphore {
            value: Cell::new(permits),
            bound: usize::MAX,
            waiters,
            wanted: RefCell::default(),
        }
    }

    /// Gives the semaphore a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Semaphore {
        self.line().set_name(name);
        self
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.waiters.name()
    }

    /// Waits until a permit is free and every task that came before has one, and takes it.
    ///
    /// It is given back when the [`Permit`] is dropped. A future of `acquire` that is kept and not polled (it lost a `select!`)
    /// keeps its position in the line, and may hold a permit that was granted to it: drop it.
    ///
    /// # Cancellation
    /// Only the position in the line is lost. A permit that was granted already goes to the next waiter.
    ///
    /// # In asyncio
    /// `async with semaphore`, or `await semaphore.acquire()` and [`Permit::forget`].
    pub async fn acquire(&self) -> Permit<'_> {
        if self.value.get() > 0 && self.waiters.is_quiet() {
            self.value.set(self.value.get() - 1); // the usual case: there is nothing to note
            return Permit { semaphore: self, token: 0 };
        }
        if self.is_locked() {
            Wait::new(self).await; // the call has granted the permit
            if self.value.get() > 0 {
                self.grant(); // others may have come free before this waiter ran
            }
        } else {
            self.value.set(self.value.get() - 1);
        }
        self.permit()
    }

    /// Like [`acquire`](Semaphore::acquire), with a permit that keeps the semaphore: it can be moved into a task, or kept in a struct.
    ///
    /// # Cancellation
    /// As there.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::rc::Rc;
    /// use std::time::Duration;
    /// use loopwheel::{create_task, sleep, sync::Semaphore};
    ///
    /// let two = Rc::new(Semaphore::new(2));
    /// for _ in 0..10 {
    ///     let permit = two.clone().acquire_owned().await; // no task is created before it may run
    ///     create_task(async move {
    ///         sleep(Duration::from_secs(1)).await;
    ///         drop(permit);
    ///     });
    /// }
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `await semaphore.acquire()`: there no permit is bound to a block of code.
    pub async fn acquire_owned(self: Rc<Self>) -> OwnedPermit {
        let token = self.acquire().await.into_token();
        OwnedPermit::of(self, 1, token)
    }

    /// Like [`acquire_nowait`](Semaphore::acquire_nowait), with a permit that keeps the semaphore.
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_owned_nowait(self: Rc<Self>) -> Result<OwnedPermit, WouldWait> {
        let token = self.acquire_nowait()?.into_token();
        Ok(OwnedPermit::of(self, 1, token))
    }

    /// A permit that was taken from the count.
    #[inline]
    fn permit(&self) -> Permit<'_> {
        let token = if self.waiters.may_be_watched() { self.note_holder() } else { 0 };
        Permit { semaphore: self, token }
    }

    #[cold]
    fn note_holder(&self) -> u32 {
        if self.is_watched() { self.line().held() } else { 0 }
    }

    /// Whether the object is watched. While a task waits for several permits it counts as watched by its operations, which so come
    /// to the paths that grant several.
    #[cold]
    fn is_watched(&self) -> bool {
        let is_watched = self.waiters.is_watched();
        if self.several_are_wanted() {
            self.waiters.watch(); // the loop has unset that, if it does not watch
        }
        is_watched
    }

    /// Takes a permit if one is free and no task waits.
    ///
    /// # Errors
    /// If it would have to wait.
    pub fn acquire_nowait(&self) -> Result<Permit<'_>, WouldWait> {
        if self.is_locked() {
            return Err(WouldWait);
        }
        self.value.set(self.value.get() - 1);
        Ok(self.permit())
    }

    /// Gives back a permit that was [forgotten](Permit::forget), or creates a new one.
    ///
    /// # Panics
    /// If there would be more than `usize::MAX` permits.
    ///
    /// # In asyncio
    /// `semaphore.release()`.
    #[track_caller]
    pub fn release(&self) {
        self.give_back(0);
    }

    /// Gives back the permit with this token, or one that has none.
    #[inline]
    #[track_caller]
    fn give_back(&self, token: u32) {
        let value =
            self.value.get().checked_add(1).expect("a semaphore cannot have more than usize::MAX permits: `release` gives back one that was forgotten");
        if self.waiters.is_busy() {
            self.note_and_call(token, value);
        } else {
            self.value.set(value);
        }
    }

    #[inline]
    fn note_and_call(&self, token: u32, value: usize) {
        if self.waiters.may_be_watched() {
            self.note_release(token, value);
        } else {
            self.call_or_keep(value);
        }
    }

    #[cold]
    fn note_release(&self, token: u32, value: usize) {
        let mut told = 0;
        if self.is_watched() {
            let line = self.line();
            line.released(token);
            line.note(State::Free { free: value, most: self.bound });
            told = line.tell(|object| trace::What::Released { object, free: Some(value) });
        }
        // An observer may have taken a permit meanwhile, or given one back.
        let value = self.value.get().saturating_add(1);
        because_of(told, || {
            if self.several_are_wanted() {
                self.value.set(value);
                self.grant();
            } else {
                self.call_or_keep(value);
            }
        });
    }

    #[inline]
    fn call_or_keep(&self, value: usize) {
        if self.waiters.in_line() == 0 || !self.waiters.call_first_uncancelled() {
            self.value.set(value);
        }
    }

    /// Whether [`acquire`](Semaphore::acquire) would have to wait.
    ///
    /// # In asyncio
    /// `semaphore.locked()`.
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.value.get() == 0 || !(self.waiters.is_empty() || self.waiters.all_are_cancelled())
    }

    /// How many permits are free. (They may be too few for the first task that waits, if it wants several: then
    /// [`is_locked`](Semaphore::is_locked) is true.)
    pub fn available(&self) -> usize {
        self.value.get()
    }

    /// How many tasks wait for one.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }

    /// Grants a free permit to the first waiter that is not cancelled. False if there is none.
    fn grant_first(&self) -> bool {
        if self.several_are_wanted() {
            return self.grant_to_first_that_can();
        }
        self.value.set(self.value.get() - 1); // first: a foreign waker may run any code
        let granted = self.waiters.call_first_uncancelled();
        if !granted {
            self.value.set(self.value.get() + 1);
        }
        granted
    }

    /// Grants all free permits: several may have come free while the first waiter had been called and had not run.
    fn grant(&self) {
        while self.value.get() > 0 && self.waiters.in_line() > 0 && self.grant_first() {}
    }
}

static SEMAPHORE: What = What { kind: "semaphore", of: "a permit of " };

impl Owner for Semaphore {
    #[inline]
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    #[inline]
    fn line(&self) -> &Line {
        let line = self.waiters.line_or_new(&SEMAPHORE);
        line.note(State::Free { free: self.value.get(), most: self.bound });
        line
    }

    fn gave_up(&self, called: bool) {
        let value = self.value.get();
        // A bounded semaphore may be full: the granted permit was released by hand meanwhile.
        if called && value < self.bound {
            self.value.set(value + 1);
        }
    }

    #[inline]
    fn is_available(&self) -> bool {
        self.value.get() > 0
    }

    #[cold]
    #[inline(never)]
    fn hand_out(&self) {
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
    /// While the semaphore is watched: names this permit among its holders. Zero otherwise.
    token: u32,
}

impl Permit<'_> {
    /// Keeps the permit taken without a guard; [`Semaphore::release`] gives it back.
    pub fn forget(self) {
        std::mem::forget(self);
    }

    /// The same; the token that names it goes to the permit that takes its place.
    fn into_token(self) -> u32 {
        let token = self.token;
        self.forget();
        token
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // A bounded semaphore may be full: this permit was released by hand.
        if self.semaphore.value.get() < self.semaphore.bound {
            self.semaphore.give_back(self.token);
        }
    }
}
