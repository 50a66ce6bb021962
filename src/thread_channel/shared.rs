//! **What both ends of a channel share**: the items, and what each end has to know of the other.
//!
//! A sender that finds the channel full could wait for a wake-up, and then try again. But another could be faster, and it would go
//! to the end of the line; and the wake-up of a sender that gives up would have to be handed on. So a sender leaves its *item* in the
//! line, under a number, and the thread that takes an item out lets the first of the line in. A sender that looks again learns
//! from its number whether its item is in. So while a sender waits the channel is full, and none overtakes it.
//!
//! The loop does not wait here. A task that finds nothing says so under the same lock (`is_awaited`), and the sender of the next item
//! clears it and pokes the loop. So a loop is poked once for many items, and not at all while its tasks are busy with others.
//!
//! No foreign code runs under the lock. `tests/loom.rs` runs this file under every interleaving.
//!
//! It stands on `base`, `cells` and `kept_waker`.

use std::collections::VecDeque;
use std::mem;

use crate::base::sync::{Arc, Mutex, MutexGuard, Thread, current, park};
use crate::cells::look_at_everything;
use crate::kept_waker::GuardedWaker;

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
    /// The senders that wait for room, by the numbers of their waits. When the channel is closed each takes its item back.
    blocked: VecDeque<Blocked<T>>,
    last_wait: u64,
}

struct Blocked<T> {
    wait: u64,
    item: T,
    /// `None` when it was woken.
    wakes: Option<Wakes>,
}

/// What a sender that waits for room is woken by.
pub(crate) enum Wakes {
    Thread(Thread),
    Task(Arc<GuardedWaker>),
}

impl Wakes {
    /// A task's waker may run any code: the caller holds no lock.
    fn wake(self) {
        match self {
            Wakes::Thread(thread) => thread.unpark(),
            Wakes::Task(waker) => GuardedWaker::wake(waker),
        }
    }
}

impl<T> State<T> {
    fn index_of(&self, wait: u64) -> Option<usize> {
        self.blocked.binary_search_by_key(&wait, |blocked| blocked.wait).ok()
    }

    fn push(&mut self, item: T) -> IsAwaited {
        self.items.push_back(item);
        self.arrived += 1;
        IsAwaited(mem::take(&mut self.is_awaited))
    }

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

/// Where the item of a sender is: in the channel, or in the line, under this number.
#[derive(Debug, PartialEq)]
pub(crate) enum Placed {
    Inside(IsAwaited),
    InLine(u64),
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
    /// How many senders wait for room.
    pub(crate) blocked: usize,
    pub(crate) is_closed: bool,
}

impl<T> Shared<T> {
    /// All uses of the channel go through this: an exploration has to know of each.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        look_at_everything();
        self.state.lock()
    }
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
        let mut state = self.lock();
        if state.is_closed {
            return Err(Refused::Closed(item));
        }
        if state.items.len() >= self.capacity {
            return Err(Refused::Full(item));
        }
        Ok(state.push(item))
    }

    /// Puts an item in, or into the line of those that wait for room. It comes back if the channel is closed.
    pub(crate) fn push_or_wait(&self, item: T, wakes: Wakes) -> Result<Placed, T> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(item);
        }
        if state.items.len() < self.capacity {
            return Ok(Placed::Inside(state.push(item)));
        }
        state.last_wait += 1;
        let wait = state.last_wait;
        state.blocked.push_back(Blocked { wait, item, wakes: Some(wakes) });
        Ok(Placed::InLine(wait))
    }

    /// Where the item is that was put into the line. It comes back if the channel was closed meanwhile.
    pub(crate) fn look_after(&self, wait: u64, wakes: Option<Wakes>) -> Result<Placed, T> {
        let mut state = self.lock();
        let Some(index) = state.index_of(wait) else {
            return Ok(Placed::Inside(IsAwaited(false))); // the loop poked itself
        };
        if state.is_closed {
            let blocked = state.blocked.remove(index);
            drop(state);
            return blocked.map_or(Ok(Placed::InLine(wait)), |blocked| Err(blocked.item));
        }
        let before = wakes.and_then(|wakes| state.blocked[index].wakes.replace(wakes));
        drop(state);
        drop(before); // after the lock: it may run anything
        Ok(Placed::InLine(wait))
    }

    /// Takes an item out of the line; `None` if it is in the channel.
    pub(crate) fn withdraw(&self, wait: u64) -> Option<T> {
        let mut state = self.lock();
        let index = state.index_of(wait)?;
        let blocked = state.blocked.remove(index);
        drop(state);
        blocked.map(|blocked| blocked.item)
    }

    /// Puts an item in; blocks the thread while there is no room. The item comes back if the channel is closed, before or meanwhile.
    pub(crate) fn push_blocking(&self, item: T) -> Result<IsAwaited, T> {
        let mut placed = match self.push(item) {
            Ok(awaited) => return Ok(awaited),
            Err(Refused::Closed(item)) => return Err(item),
            Err(Refused::Full(item)) => self.push_or_wait(item, Wakes::Thread(current()))?,
        };
        loop {
            match placed {
                Placed::Inside(awaited) => return Ok(awaited),
                Placed::InLine(wait) => {
                    park(); // it may return early: look again
                    placed = self.look_after(wait, None)?;
                }
            }
        }
    }

    pub(crate) fn add_sender(&self) {
        self.lock().senders += 1;
    }

    pub(crate) fn remove_sender(&self) -> IsAwaited {
        let mut state = self.lock();
        state.senders -= 1;
        let is_last = state.senders == 0;
        IsAwaited(is_last && mem::take(&mut state.is_awaited))
    }
}

/// The side of the loop.
impl<T> Shared<T> {
    pub(crate) fn look(&self) -> Look {
        let state = self.lock();
        let (items, senders, blocked) = (state.items.len(), state.senders, state.blocked.len());
        Look { items, senders, blocked, is_closed: state.is_closed }
    }

    /// Takes the first item, and lets the item in that has waited longest for room.
    pub(crate) fn take(&self) -> Result<(T, IsAwaited), Nothing> {
        let mut state = self.lock();
        let item = state.items.pop_front();
        state.arrived = state.arrived.min(state.items.len());
        let Some(item) = item else {
            return Err(if state.is_over() { Nothing::AnyMore } else { Nothing::Yet });
        };
        let first = if state.is_closed { None } else { state.blocked.pop_front() };
        let Some(Blocked { item: next, wakes, .. }) = first else {
            return Ok((item, IsAwaited(false)));
        };
        let awaited = state.push(next);
        drop(state);
        wakes.into_iter().for_each(Wakes::wake);
        Ok((item, awaited))
    }

    /// A task is about to wait. True if it has something to look at already; otherwise the next sender pokes the loop.
    pub(crate) fn begin_wait(&self) -> bool {
        let mut state = self.lock();
        let has_news = state.is_over() || state.arrived > 0;
        state.is_awaited = !has_news;
        has_news
    }

    /// How many tasks are to be called: one for each item that has come, or all if none will come any more. With zero, the next
    /// sender pokes the loop.
    pub(crate) fn take_arrived(&self) -> usize {
        let mut state = self.lock();
        if state.is_over() {
            return usize::MAX;
        }
        let arrived = mem::take(&mut state.arrived);
        state.is_awaited = arrived == 0;
        arrived
    }

    /// From now on nothing is taken from senders, and those that wait for room go on. What is in the channel stays.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        let all: Vec<_> = state.blocked.iter_mut().filter_map(|it| it.wakes.take()).collect();
        drop(state);
        all.into_iter().for_each(Wakes::wake);
    }

    /// What is left in the channel.
    pub(crate) fn take_all(&self) -> VecDeque<T> {
        mem::take(&mut self.lock().items)
    }
}
