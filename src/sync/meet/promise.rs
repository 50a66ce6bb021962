//! A promise: a value that is set once, and waited for until then.

use std::fmt;
use std::rc::Rc;

use thiserror::Error;

use crate::cells::OnceCell;
use crate::object::What;
use crate::sync::line::Event;

/// A value that one task sets once and other tasks wait for. A clone is the same promise.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{call_soon, sync::Promise};
///
/// let promise = Promise::new();
/// let setter = promise.clone();
/// call_soon(move || setter.set(42).unwrap());
/// assert_eq!(promise.wait().await, 42);
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Future`, with `set_result`. For `set_exception` let the value be a `Result`.
#[doc(alias = "oneshot")]
#[doc(alias = "watch")]
#[doc(alias = "Future")]
pub struct Promise<T> {
    state: Rc<State<T>>,
}

struct State<T> {
    /// Never taken out and never replaced, so the `Clone` of the value may use the promise.
    value: OnceCell<T>,
    is_set: Event,
}

/// The promise was set before. Contains the value that came too late.
///
/// # In asyncio
/// `InvalidStateError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the promise has been set before: set it once, or ask `is_set` first")]
pub struct AlreadySet<T>(pub T);

static PROMISE: What = What::the("promise");

impl<T> Promise<T> {
    /// A promise that is not set.
    #[track_caller]
    pub fn new() -> Promise<T> {
        Promise { state: Rc::new(State { value: OnceCell::new(), is_set: Event::of(&PROMISE) }) }
    }

    /// Gives the promise and its clones a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Promise<T> {
        self.state.is_set.set_name(name);
        self
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.state.is_set.name()
    }

    /// Sets the value and wakes all tasks that wait for it.
    ///
    /// # Errors
    /// If the promise was set before. The error contains the value.
    pub fn set(&self, value: T) -> Result<(), AlreadySet<T>> {
        self.state.value.set(value).map_err(AlreadySet)?;
        self.state.is_set.set();
        Ok(())
    }

    /// Whether the promise is set.
    pub fn is_set(&self) -> bool {
        self.state.is_set.is_set()
    }
}

impl<T: Clone> Promise<T> {
    /// Waits until the promise is set, and returns a clone of the value.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn wait(&self) -> T {
        self.state.is_set.wait().await;
        self.get().expect("a set promise has a value")
    }

    /// A clone of the value, if the promise is set.
    pub fn get(&self) -> Option<T> {
        self.state.value.get().cloned()
    }
}

impl<T> Default for Promise<T> {
    #[track_caller]
    fn default() -> Promise<T> {
        Promise::new()
    }
}

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Promise<T> {
        Promise { state: self.state.clone() }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}
