//! The three lines of a queue: for an item, for room, and for the end of the work on all items. They are lines of one object, and
//! the first one keeps the state of the queue for a dump.

use std::ptr;

use super::{QueueOf, Store};
use crate::object::{Line, State, What, because_of};
use crate::trace::What::{Done, Got, Put};
use crate::waiting::{Owner, Waiters};

impl<S: Store> QueueOf<S> {
    /// An item was put, or got: notes the state, and calls a waiter.
    pub(super) fn note_and_call(&self, waiters: &Waiters) {
        if waiters.may_be_watched() {
            return self.tell_and_call(waiters);
        }
        self.first_line();
        waiters.call_one();
    }

    #[cold]
    fn tell_and_call(&self, waiters: &Waiters) {
        let (items, is_put) = (self.len(), ptr::eq(waiters, &raw const self.getters));
        let told = |object| if is_put { Put { object, items } } else { Got { object, items } };
        let is_noted = self.is_to_be_noted(waiters) || waiters.in_line() > 0;
        let told = if is_noted { self.first_line().tell(told) } else { 0 };
        because_of(told, || waiters.call_one());
    }

    /// Whether a dump may ask for the state. While a task waits in `join`, each operation notes what is unfinished.
    pub(super) fn is_to_be_noted(&self, waiters: &Waiters) -> bool {
        let (is_watched, is_joined) = (waiters.is_watched(), self.joiners.in_line() > 0);
        if is_joined {
            waiters.watch(); // the loop has unset that, if it does not watch
        }
        is_watched || is_joined
    }

    /// The line that keeps the state, which is noted now.
    pub(super) fn first_line(&self) -> &Line {
        let line = self.getters.line_or_new(&WAITED_FOR[GETTERS]);
        let (len, capacity, unfinished) = (self.len(), self.capacity, self.unfinished.get());
        line.note(State::Items { len, capacity, unfinished });
        line
    }

    /// Items were reported as done, or lost: notes that, and calls the tasks in `join` if they were the last.
    pub(super) fn note_and_end_joins(&self) {
        if self.is_to_be_noted(&self.joiners) {
            self.first_line().tell(|object| Done { object, left: self.unfinished.get() });
        }
        if self.unfinished.get() == 0 {
            self.joiners.call_all();
        }
    }
}

static WAITED_FOR: [What; 3] = [
    What { kind: "queue", of: "an item of " },
    What { kind: "queue", of: "room in " },
    What { kind: "queue", of: "the work on the items of " },
];

pub(super) const GETTERS: usize = 0;
pub(super) const PUTTERS: usize = 1;
pub(super) const JOINERS: usize = 2;

/// The owner of one line.
pub(super) struct Of<'a, S: Store, const LINE: usize>(pub(super) &'a QueueOf<S>);

impl<S: Store, const LINE: usize> Owner for Of<'_, S, LINE> {
    fn waiters(&self) -> &Waiters {
        [&self.0.getters, &self.0.putters, &self.0.joiners][LINE]
    }

    fn line(&self) -> &Line {
        let first = self.0.first_line();
        if LINE == JOINERS {
            self.0.getters.watch(); // from now on each operation notes what is unfinished
            self.0.putters.watch();
        }
        self.waiters().line_beside(|| first, &WAITED_FOR[LINE])
    }

    fn gave_up(&self, called: bool) {
        let next_can_go_on =
            LINE == GETTERS && !self.0.is_empty() || LINE == PUTTERS && !self.0.is_full();
        if called && next_can_go_on {
            self.waiters().call_one();
        }
    }
}
