//! Queues: first in first out, last in first out, and smallest first.
//!
//! One queue in three orders: what differs is the [`Store`] alone.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::fmt;
use std::mem;

use thiserror::Error;

use super::event::Event;
use super::heap::MinHeap;
use super::store::Store;
use super::waiters::{Owner, Wait, Waiters};
use crate::engine::foreign::{FirstPanic, quietly};

/// First in, first out. A queue of tasks' work: bounded, joinable, and to be shut down.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::rc::Rc;
/// use loopwheel::{create_task, sync::Queue};
///
/// let queue = Rc::new(Queue::bounded(5));
/// let consumer = create_task({
///     let queue = queue.clone();
///     async move {
///         let mut sum = 0;
///         while let Ok(number) = queue.get().await {
///             sum += number;
///             queue.task_done().unwrap();
///         }
///         sum
///     }
/// });
/// for number in 1..=10 {
///     queue.put(number).await.unwrap();
/// }
/// queue.join().await; // all have been done
/// queue.shutdown(false);
/// assert_eq!(consumer.await, Ok(55));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Queue`.
pub type Queue<T> = QueueOf<VecDeque<T>>;

/// Last in, first out; otherwise as [`Queue`].
///
/// # In asyncio
/// `asyncio.LifoQueue`.
pub type LifoQueue<T> = QueueOf<Vec<T>>;

/// Smallest first; otherwise as [`Queue`].
///
/// The `Ord` of the items may ask the queue for its length. It must not put into the queue, get from it or shut it down
/// immediately: that panics, see [`QueueOf`].
///
/// # In asyncio
/// `asyncio.PriorityQueue`.
pub type PriorityQueue<T> = QueueOf<MinHeap<T>>;

/// The queue is shut down, and nothing is left in it.
///
/// # In asyncio
/// `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down")]
pub struct QueueShutDown;

/// The queue is shut down; here is the item that could not be put.
///
/// # In asyncio
/// `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the queue is shut down: nothing can be put")]
pub struct PutError<T>(pub T);

/// Why an item could not be put at once; here it is.
///
/// # In asyncio
/// `QueueFull`, `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TryPutError<T> {
    /// There is no room.
    #[error("the queue is full: `put` waits for room")]
    Full(T),
    /// It is shut down.
    #[error("the queue is shut down: nothing can be put")]
    ShutDown(T),
}

/// Why no item could be got at once.
///
/// # In asyncio
/// `QueueEmpty`, `QueueShutDown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TryGetError {
    /// There is none.
    #[error("the queue is empty: `get` waits for an item")]
    Empty,
    /// There is none, and there will be none.
    #[error("the queue is shut down")]
    ShutDown,
}

/// `task_done` was called more often than there were items.
///
/// # In asyncio
/// `ValueError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`task_done` was called more often than items were put")]
pub struct TooManyTasksDone;

/// A queue with some order; see [`Queue`].
///
/// # Foreign code
/// The order may be foreign code: the `Ord` of the items of a [`PriorityQueue`], or a [`Store`] of your own. If it panics,
/// the panic goes on from the operation that called it, and the queue is whole:
///
/// - the item of a `put` is in the queue and counted, provided that the store has kept it;
/// - the item that a `get` was about to give out is in the queue still;
/// - an item that the store has lost counts as done, so that [`join`](QueueOf::join) does not wait for it.
///
/// While it runs, it may ask the queue for its length, and everything else that neither puts nor gets. `put`, `put_nowait`,
/// `get`, `get_nowait` and `shutdown(true)` of that queue panic in it.
pub struct QueueOf<S: Store> {
    /// Borrowed while its methods run, and never else.
    items: RefCell<S>,
    /// How many are in it, if the store calls foreign code, which may ask while `items` is borrowed. An item that is being
    /// put counts already, and one that is being got counts still.
    count: Cell<usize>,
    /// `usize::MAX` is no limit.
    capacity: usize,
    getters: Waiters,
    putters: Waiters,
    /// Items that were put and not reported as done. They may be more than any memory holds, if they are never reported.
    unfinished: Cell<u64>,
    finished: Event,
    is_shut_down: Cell<bool>,
}

impl<S: Store> QueueOf<S> {
    /// A queue that is never full.
    pub fn unbounded() -> QueueOf<S> {
        QueueOf::bounded(usize::MAX)
    }

    /// A queue for at most so many items. With a capacity of zero it has no limit, as in asyncio.
    pub fn bounded(capacity: usize) -> QueueOf<S> {
        let finished = Event::of("the items of a queue to be done");
        finished.set();
        QueueOf {
            items: RefCell::default(),
            count: Cell::new(0),
            capacity: if capacity == 0 { usize::MAX } else { capacity },
            getters: Waiters::default(),
            putters: Waiters::default(),
            unfinished: Cell::new(0),
            finished,
            is_shut_down: Cell::new(false),
        }
    }

    /// Puts an item in, waiting while the queue is full.
    ///
    /// # Cancellation
    /// The item is not in the queue, and is dropped. Room that had come free goes to the next one.
    ///
    /// # Errors
    /// If the queue is shut down, before or meanwhile; the item comes back.
    ///
    /// # Panics
    /// If the order of the queue panics, or if this is called from inside of it: see [`QueueOf`].
    pub async fn put(&self, item: S::Item) -> Result<(), PutError<S::Item>> {
        while self.is_full() && !self.is_shut_down() {
            Wait::new(&self.putters, &Putters(self)).await;
        }
        self.put_now(item)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    /// If the queue is full or shut down; the item comes back.
    ///
    /// # Panics
    /// If the order of the queue panics, or if this is called from inside of it: see [`QueueOf`].
    ///
    /// # In asyncio
    /// `queue.put_nowait(item)`.
    #[track_caller]
    pub fn put_nowait(&self, item: S::Item) -> Result<(), TryPutError<S::Item>> {
        if self.is_full() && !self.is_shut_down() {
            return Err(TryPutError::Full(item));
        }
        self.put_now(item).map_err(|PutError(item)| TryPutError::ShutDown(item))
    }

    #[inline]
    #[track_caller]
    fn put_now(&self, item: S::Item) -> Result<(), PutError<S::Item>> {
        if self.is_shut_down() {
            return Err(PutError(item));
        }
        if S::CALLS_FOREIGN_CODE {
            let mut work = self.work();
            self.count.set(self.count.get() + 1);
            self.unfinished.set(self.unfinished.get() + 1);
            self.finished.clear();
            work.store().keep(item);
            work.end();
        } else {
            self.items.borrow_mut().keep(item);
            self.unfinished.set(self.unfinished.get() + 1);
            self.finished.clear();
        }
        self.getters.call_one();
        Ok(())
    }

    /// Begins to work on the store.
    #[inline]
    #[track_caller]
    fn work(&self) -> Work<'_, S> {
        let Ok(store) = self.items.try_borrow_mut() else { refuse() };
        Work { queue: self, store: Some(store), taken_out: None }
    }

    /// Takes the next item out, waiting while the queue is empty.
    ///
    /// # Cancellation
    /// No item is lost: one that had come goes to the next who waits.
    ///
    /// # Errors
    /// If the queue is empty and shut down.
    ///
    /// # Panics
    /// If the order of the queue panics, or if this is called from inside of it: see [`QueueOf`].
    pub async fn get(&self) -> Result<S::Item, QueueShutDown> {
        loop {
            match self.get_nowait() {
                Ok(item) => return Ok(item),
                Err(TryGetError::ShutDown) => return Err(QueueShutDown),
                Err(TryGetError::Empty) => {} // and the wait comes after: in here it would keep what is matched
            }
            Wait::new(&self.getters, &Getters(self)).await;
        }
    }

    /// Takes the next item out if there is one.
    ///
    /// # Errors
    /// If the queue is empty; shut down too, maybe.
    ///
    /// # Panics
    /// If the order of the queue panics, or if this is called from inside of it: see [`QueueOf`].
    ///
    /// # In asyncio
    /// `queue.get_nowait()`.
    #[inline]
    #[track_caller]
    pub fn get_nowait(&self) -> Result<S::Item, TryGetError> {
        let taken_out = if S::CALLS_FOREIGN_CODE {
            let mut work = self.work();
            work.taken_out = work.store().next();
            work.end();
            work.taken_out.take()
        } else {
            self.items.borrow_mut().next()
        };
        match taken_out {
            Some(item) => {
                self.putters.call_one();
                Ok(item)
            }
            None if self.is_shut_down() => Err(TryGetError::ShutDown),
            None => Err(TryGetError::Empty),
        }
    }

    /// Reports that an item that was got has been dealt with; for [`join`](QueueOf::join).
    ///
    /// # Errors
    /// If it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), TooManyTasksDone> {
        let unfinished = self.unfinished.get().checked_sub(1).ok_or(TooManyTasksDone)?;
        self.unfinished.set(unfinished);
        if unfinished == 0 {
            self.finished.set();
        }
        Ok(())
    }

    /// Waits until every item that was put has been reported as done.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn join(&self) {
        self.finished.wait().await;
    }

    /// Closes the queue: nothing can be put any more, and when it is empty nothing can be got. With `immediate` it is
    /// emptied now, and the items count as done.
    ///
    /// All that wait are woken to find out.
    ///
    /// # Panics
    /// If the destructor of an item panics; the queue is shut down and empty all the same, the other items have been
    /// dropped, and all that wait have been woken. And with `immediate`, if it is called from inside the order of the
    /// queue: see [`QueueOf`].
    #[track_caller]
    pub fn shutdown(&self, immediate: bool) {
        let mut left = None;
        let mut dropped = 0;
        if immediate {
            let empty = S::default(); // may be foreign code, and nothing has happened yet
            dropped = self.len() as u64;
            let Ok(mut items) = self.items.try_borrow_mut() else { refuse() };
            left = Some(mem::replace(&mut *items, empty));
            self.count.set(0);
        }
        self.is_shut_down.set(true);
        if immediate {
            self.unfinished.set(self.unfinished.get().saturating_sub(dropped));
            if self.unfinished.get() == 0 {
                self.finished.set();
            }
        }
        self.getters.call_all();
        self.putters.call_all();
        let mut panics = FirstPanic::default();
        if let Some(left) = left {
            drop_items(left, &mut panics); // last, for destructors may run anything
        }
        panics.go_on();
    }

    /// The store has panicked.
    #[cold]
    #[inline(never)]
    fn set_right(&self, mut store: RefMut<'_, S>, taken_out: Option<S::Item>) {
        let expected = self.count.get();
        if let Some(item) = taken_out {
            quietly(|| store.put_back(item));
        }
        let count = quietly(|| store.count()).unwrap_or(expected);
        drop(store); // what is woken may come back
        let lost = expected.saturating_sub(count);
        self.count.set(count);
        self.unfinished.set(self.unfinished.get().saturating_sub(lost as u64));
        if lost > 0 && self.unfinished.get() == 0 {
            self.finished.set();
        }
        if count > 0 {
            self.getters.call_one();
        }
        for _ in 0..lost {
            self.putters.call_one();
        }
    }

    /// Whether it has been shut down.
    pub fn is_shut_down(&self) -> bool {
        self.is_shut_down.get()
    }

    /// How many items are in it.
    ///
    /// # In asyncio
    /// `queue.qsize()`.
    pub fn len(&self) -> usize {
        if S::CALLS_FOREIGN_CODE { self.count.get() } else { self.items.borrow().count() }
    }

    /// Whether no item is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no item more would go in.
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// How many items it takes; `None` is no limit.
    pub fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }
}

impl<S: Store> Default for QueueOf<S> {
    fn default() -> QueueOf<S> {
        QueueOf::unbounded()
    }
}

/// The operation cannot be done now, because the store is at work on another one.
#[cold]
#[track_caller]
fn refuse() -> ! {
    panic!(
        "this queue is putting its items in order: the `Ord` of an item, or a `Store`, must not put into, get from or shut \
         down the queue that it is called by; do that in a task, or with `call_soon`"
    )
}

/// Drops what is in a store item by item, so that one that panics keeps none of the others from being dropped.
fn drop_items<S: Store>(mut store: S, panics: &mut FirstPanic) {
    while let Some(Some(item)) = panics.catch(|| store.next()) {
        panics.catch(|| drop(item));
    }
    // Nothing, unless the order has panicked.
    while let Some(Some(item)) = panics.catch(|| store.next_unordered()) {
        panics.catch(|| drop(item));
    }
    panics.catch(|| drop(store));
}

/// An operation on the store, which may be foreign code. Should that panic, this sets right what the queue has counted, and
/// wakes the waiters for which there is something.
struct Work<'a, S: Store> {
    queue: &'a QueueOf<S>,
    /// `None` when it has done its part.
    store: Option<RefMut<'a, S>>,
    /// The item that was taken out of the store.
    taken_out: Option<S::Item>,
}

impl<S: Store> Work<'_, S> {
    #[inline]
    fn store(&mut self) -> &mut S {
        self.store.as_mut().expect("the operation has not ended")
    }

    /// The store has done its part without a panic.
    #[inline]
    fn end(&mut self) {
        let count = self.store().count();
        self.queue.count.set(count);
        self.store = None;
    }
}

impl<S: Store> Drop for Work<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            self.queue.set_right(store, self.taken_out.take());
        }
    }
}

/// Those who wait for an item.
struct Getters<'a, S: Store>(&'a QueueOf<S>);

impl<S: Store> Owner for Getters<'_, S> {
    fn what(&self) -> &'static str {
        "an item of a queue"
    }

    fn gave_up(&self, called: bool) {
        if called && !self.0.is_empty() {
            self.0.getters.call_one();
        }
    }
}

/// Those who wait for room.
struct Putters<'a, S: Store>(&'a QueueOf<S>);

impl<S: Store> Owner for Putters<'_, S> {
    fn what(&self) -> &'static str {
        "room in a queue"
    }

    fn gave_up(&self, called: bool) {
        if called && !self.0.is_full() {
            self.0.putters.call_one();
        }
    }
}

impl<S: Store> fmt::Debug for QueueOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("getters", &self.getters)
            .field("putters", &self.putters)
            .field("unfinished", &self.unfinished.get())
            .field("is_shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}
