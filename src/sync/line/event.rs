//! An event: a flag that tasks wait for.

use std::fmt;

use crate::cells::Cell;
use crate::object::{GROUP, Line, What, because_of};
use crate::trace;
use crate::waiting::{Owner, Wait, Waiters};

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
#[doc(alias = "Notify")]
pub struct Event {
    set: Cell<bool>,
    waiters: Waiters,
    what: &'static What,
}

impl Event {
    /// An event that is not set.
    #[track_caller]
    pub fn new() -> Event {
        Event::of(&EVENT)
    }

    /// An event inside another primitive. `what` names what its waiters wait for.
    #[track_caller]
    pub(crate) fn of(what: &'static What) -> Event {
        Event { set: Cell::new(false), waiters: Waiters::of_new_object(), what }
    }

    /// The event that no child of a group runs.
    pub(crate) fn of_a_group() -> Event {
        Event { set: Cell::new(false), waiters: Waiters::default(), what: &TASKS_OF_A_GROUP }
    }

    /// Gives the event a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Event {
        self.set_name(name);
        self
    }

    pub(crate) fn set_name(&self, name: impl Into<String>) {
        self.line().set_name(name);
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.waiters.name()
    }

    /// Waits until the event is set. A task that was waiting then goes on, even if the event is cleared before that task runs.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn wait(&self) {
        if !self.set.get() {
            Wait::new(self).await;
        }
    }

    /// Sets the event and wakes all tasks that wait for it.
    pub fn set(&self) {
        if !self.set.replace(true) && self.waiters.is_busy() {
            self.tell_and_call_all();
        }
    }

    fn tell_and_call_all(&self) {
        let mut told = 0;
        if self.waiters.is_watched() {
            told = self.line().tell(|object| trace::What::Set { object });
        }
        because_of(told, || self.waiters.call_all());
    }

    /// Clears the event: from now on tasks wait again.
    pub fn clear(&self) {
        if self.set.replace(false) && self.waiters.is_watched() {
            self.line().tell(|object| trace::What::Cleared { object });
        }
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
    #[track_caller]
    fn default() -> Event {
        Event::new()
    }
}

static EVENT: What = What::the("event");
static TASKS_OF_A_GROUP: What = What { kind: GROUP, of: "the tasks of " };

impl Owner for Event {
    #[inline]
    fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    #[inline]
    fn line(&self) -> &Line {
        self.waiters.line_or_new(self.what)
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
