//! **What both ends of a channel share**: the items, and what each end has to know of the other.
//!
//! A thread that finds the channel full is noted under the lock, with a number of its own, and parks. Taking an item
//! unparks the thread that has waited longest. A thread that goes on for any other reason first takes its note away: a stale note would
//! take an unpark that another thread needs, and that thread would sleep although there is room.
//!
//! The loop does not wait here. A task that finds nothing says so under the same lock (`is_awaited`), and the sender of the next item
//! clears it and pokes the loop. So a loop is poked once for many items, and not at all while its tasks are busy with others.
//!
//! No foreign code runs under the lock. `tests/loom.rs` runs this file under every interleaving.

use std::collections::VecDeque;
use std::mem;

use crate::base::sync::{Mutex, Thread, current, park};

pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    senders: usize,
    /// The receiver or the loop is gone.
    is_closed: bool,
    /// How many of the items have come since the loop looked last. It calls a task for each.
    arrived: usize,
    /// A task waits for an item: the next sender pokes the loop.
    is_awaited: bool,
    /// The threads that wait for room, by the numbers of their waits.
    blocked: VecDeque<(u64, Thread)>,
    last_wait: u64,
}

impl<T> State<T> {
    /// No item will come any more.
    fn is_over(&self) -> bool {
        self.senders == 0 || self.is_closed
    }
}

/// Something changed that the loop waits for: it is to be poked, outside the lock.
#[must_use]
#[derive(Debug, PartialEq)]
pub(crate) struct IsAwaited(pub(crate) bool);

/// Why an item was not taken, with the item.
#[derive(Debug, PartialEq)]
pub(crate) enum Refused<T> {
    Full(T),
    Closed(T),
}

/// Why there is no item to take.
#[derive(Debug, PartialEq)]
pub(crate) enum Nothing {
    Yet,
    AnyMore,
}

/// How a channel stands at one moment.
#[derive(Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) items: usize,
    pub(crate) senders: usize,
    pub(crate) is_closed: bool,
}

/// The side of the senders.
impl<T> Shared<T> {
    /// With one sender.
    pub(crate) fn new(capacity: usize) -> Shared<T> {
        let state = State {
            items: VecDeque::new(),
            senders: 1,
            is_closed: false,
            arrived: 0,
            is_awaited: false,
            blocked: VecDeque::new(),
            last_wait: 0,
        };
        Shared { state: Mutex::new(state), capacity }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Puts an item in, if there is room.
    pub(crate) fn push(&self, item: T) -> Result<IsAwaited, Refused<T>> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Refused::Closed(item));
        }
        if state.items.len() >= self.capacity {
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        state.arrived += 1;
        Ok(IsAwaited(mem::take(&mut state.is_awaited)))
    }

    /// Puts an item in; blocks the thread while there is no room. The item comes back if the channel is closed, before or meanwhile.
    pub(crate) fn push_blocking(&self, mut item: T) -> Result<IsAwaited, T> {
        let mut wait = None;
        loop {
            let mut state = self.state.lock();
            if let Some(wait) = wait.take()
                && let Ok(index) = state.blocked.binary_search_by_key(&wait, |(wait, _)| *wait)
            {
                state.blocked.remove(index); // it was not unparked for the room
            }
            if !state.is_closed && state.items.len() >= self.capacity {
                state.last_wait += 1;
                let number = state.last_wait;
                state.blocked.push_back((number, current()));
                wait = Some(number);
                drop(state);
                park(); // it may return early: look again
                continue;
            }
            drop(state);
            // Another sender may have taken the room since: then the wait begins anew.
            match self.push(item) {
                Ok(awaited) => return Ok(awaited),
                Err(Refused::Closed(item)) => return Err(item),
                Err(Refused::Full(back)) => item = back,
            }
        }
    }

    pub(crate) fn add_sender(&self) {
        self.state.lock().senders += 1;
    }

    pub(crate) fn remove_sender(&self) -> IsAwaited {
        let mut state = self.state.lock();
        state.senders -= 1;
        let is_last = state.senders == 0;
        IsAwaited(is_last && mem::take(&mut state.is_awaited))
    }
}

/// The side of the loop.
impl<T> Shared<T> {
    pub(crate) fn look(&self) -> Look {
        let state = self.state.lock();
        let (items, senders) = (state.items.len(), state.senders);
        Look { items, senders, is_closed: state.is_closed }
    }

    /// Takes the first item, and lets the thread go on that has waited longest for room.
    pub(crate) fn take(&self) -> Result<T, Nothing> {
        let mut state = self.state.lock();
        let item = state.items.pop_front();
        state.arrived = state.arrived.min(state.items.len());
        let Some(item) = item else {
            return Err(if state.is_over() { Nothing::AnyMore } else { Nothing::Yet });
        };
        let unblocked = state.blocked.pop_front();
        drop(state);
        if let Some((_, thread)) = unblocked {
            thread.unpark();
        }
        Ok(item)
    }

    /// A task is about to wait. True if it has something to look at already; otherwise the next sender pokes the loop.
    pub(crate) fn begin_wait(&self) -> bool {
        let mut state = self.state.lock();
        let has_news = state.is_over() || state.arrived > 0;
        state.is_awaited = !has_news;
        has_news
    }

    /// How many tasks are to be called: one for each item that has come, or all if none will come any more. With zero, the next
    /// sender pokes the loop.
    pub(crate) fn take_arrived(&self) -> usize {
        let mut state = self.state.lock();
        if state.is_over() {
            return usize::MAX;
        }
        let arrived = mem::take(&mut state.arrived);
        state.is_awaited = arrived == 0;
        arrived
    }

    /// From now on nothing is taken from senders, and those that wait for room go on. What is in the channel stays.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let blocked = mem::take(&mut state.blocked);
        drop(state);
        for (_, thread) in blocked {
            thread.unpark();
        }
    }

    /// What is left in the channel.
    pub(crate) fn take_all(&self) -> VecDeque<T> {
        mem::take(&mut self.state.lock().items)
    }
}
