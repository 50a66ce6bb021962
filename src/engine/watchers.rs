//! **Watchers**: who waits for the ends of many tasks at once, a crowd or a group.
//!
//! A task's header has room for one word that says who waits for its end. Mostly that is a task. Or it is a watcher, by its
//! seat in the loop's table and the number that it gave the task: so gathering a hundred thousand tasks allocates nothing for
//! each. Whoever finds the word taken, or his numbers too big for it, is in the task's cold part.

use std::rc::Rc;

use super::cold::Joiner;
use super::record::RecordRef;
use super::turn::Engine;
use super::waitlist::WaitKey;
use super::waker::{MAX_LOOPS, MAX_SLOTS, TaskId, pack, unpack};

/// Who watches several tasks.
pub(crate) trait Watcher {
    /// A task is over. The engine is not borrowed, but in the middle of things: for what is quickly done.
    fn ended(self: Rc<Self>, number: usize, record: &RecordRef);
}

/// Who waits for a task's end and came first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FirstJoiner {
    Nobody,
    Task(TaskId),
    /// A watcher on the task's own loop.
    Watcher {
        seat: usize,
        number: usize,
    },
}

impl FirstJoiner {
    /// A task's word has a generation, which is never zero; so a word without one is free to mean a watcher.
    pub(super) fn in_word(self) -> usize {
        match self {
            FirstJoiner::Nobody => 0,
            FirstJoiner::Task(id) => id.word(),
            FirstJoiner::Watcher { seat, number } => pack(seat + 1, number, 0),
        }
    }

    pub(super) fn of_word(word: usize) -> FirstJoiner {
        match unpack(word) {
            (0, 0, 0) => FirstJoiner::Nobody,
            (seat, number, 0) => FirstJoiner::Watcher { seat: seat - 1, number },
            _ => TaskId::of_word(word).map_or(FirstJoiner::Nobody, FirstJoiner::Task),
        }
    }
}

/// The watchers of one loop.
#[derive(Default)]
pub(crate) struct Watchers {
    seats: Vec<Option<Rc<dyn Watcher>>>,
    free: Vec<usize>,
}

impl Watchers {
    fn sit(&mut self, watcher: Rc<dyn Watcher>) -> usize {
        if let Some(seat) = self.free.pop() {
            self.seats[seat] = Some(watcher);
            return seat;
        }
        self.seats.push(Some(watcher));
        self.seats.len() - 1
    }

    fn rise(&mut self, seat: usize) -> Option<Rc<dyn Watcher>> {
        self.free.push(seat);
        self.seats[seat].take()
    }

    pub(super) fn at(&self, seat: usize) -> Option<Rc<dyn Watcher>> {
        self.seats.get(seat)?.clone()
    }
}

/// A watcher's seat; it is given up when this is dropped, which the watcher must see to.
pub(crate) struct Seat {
    home: Rc<Engine>,
    number: usize,
}

impl Seat {
    pub(crate) fn take(home: &Rc<Engine>, watcher: Rc<dyn Watcher>) -> Seat {
        let number = home.watchers.borrow_mut().sit(watcher);
        Seat { home: home.clone(), number }
    }

    /// Watches a task that is not over, under this number. The key is for a watcher in the cold part.
    #[inline]
    pub(crate) fn watch(
        &self,
        record: &RecordRef,
        number: usize,
        watcher: impl FnOnce() -> Rc<dyn Watcher>,
    ) -> Option<WaitKey> {
        let fits = self.number + 1 < MAX_LOOPS && number < MAX_SLOTS;
        if fits && Rc::ptr_eq(&self.home, &record.home) && record.has_no_joiner() {
            record.set_first_joiner(self.joiner(number));
            return None;
        }
        let watcher = Joiner::Watcher(watcher(), number);
        Some(record.cold().joiners.borrow_mut().join(watcher))
    }

    /// Watches it no more.
    pub(crate) fn leave(&self, record: &RecordRef, number: usize, key: Option<WaitKey>) {
        if let Some(key) = key {
            let left = record.cold().joiners.borrow_mut().leave(key);
            drop(left); // after the borrow: it may be the last reference
        } else if record.first_joiner() == self.joiner(number) {
            record.set_first_joiner(FirstJoiner::Nobody);
        }
    }

    fn joiner(&self, number: usize) -> FirstJoiner {
        FirstJoiner::Watcher { seat: self.number, number }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let watcher = self.home.watchers.borrow_mut().rise(self.number);
        drop(watcher); // after the borrow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_who_was_packed() {
        let task = FirstJoiner::Task(TaskId::new(MAX_LOOPS - 1, 5, 1));
        let watchers = [(0, 0), (7, 1), (MAX_LOOPS - 2, MAX_SLOTS - 1)]
            .map(|(seat, number)| FirstJoiner::Watcher { seat, number });
        for joiner in watchers.into_iter().chain([FirstJoiner::Nobody, task]) {
            assert_eq!(FirstJoiner::of_word(joiner.in_word()), joiner);
        }
    }
}
