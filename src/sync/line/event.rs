//! An event: a flag that tasks wait for.

use std::cell::Cell;
use std::fmt;

use super::{Owner, Wait, Waiters};

/// A flag. Tasks wait until it is set.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::rc::Rc;
/// use loopwheel::{create_task, sync::Event};
///
/// let event = Rc::new(Event::new());
/// let waiter = create_task({
///     let event = event.clone();
///     async move { event.wait().await }
/// });
/// event.set();
/// waiter.await.unwrap();
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Event`.
pub struct Event {
    set: Cell<bool>,
    waiters: Waiters,
    /// What its waiters wait for, for the deadlock report.
    what: &'static str,
}

impl Event {
    /// An event that is not set.
    pub fn new() -> Event {
        Event::of("an event")
    }

    /// An event inside another primitive. `what` names what its waiters wait for.
    pub(crate) fn of(what: &'static str) -> Event {
        Event { set: Cell::new(false), waiters: Waiters::default(), what }
    }

    /// Waits until the event is set. A task that was waiting then goes on, even if the event is cleared before that task runs.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn wait(&self) {
        if !self.set.get() {
            Wait::new(&self.waiters, self).await;
        }
    }

    /// Sets the event and wakes all tasks that wait for it.
    pub fn set(&self) {
        if !self.set.replace(true) {
            self.waiters.call_all();
        }
    }

    /// Clears the event: from now on tasks wait again.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the event is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// How many tasks wait for it.
    pub fn waiting(&self) -> usize {
        self.waiters.in_line()
    }
}

impl Default for Event {
    fn default() -> Event {
        Event::new()
    }
}

impl Owner for Event {
    fn what(&self) -> &'static str {
        self.what
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiters", &self.waiters)
            .finish_non_exhaustive()
    }
}
