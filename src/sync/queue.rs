//! Queues: first in first out, last in first out, and smallest first.
//!
//! One queue in three orders: what differs is the [`Store`] alone.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

use thiserror::Error;

use super::event::Event;
use super::waiters::{Owner, Wait, Waiters};

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
/// # In asyncio
/// `asyncio.PriorityQueue`.
pub type PriorityQueue<T> = QueueOf<BinaryHeap<Reverse<T>>>;

/// Where a queue keeps its items, and in which order it gives them out.
pub trait Store: Default {
    /// What is kept.
    type Item;
    /// Keeps one more.
    fn keep(&mut self, item: Self::Item);
    /// Gives out the next.
    fn next(&mut self) -> Option<Self::Item>;
    /// How many are kept.
    fn count(&self) -> usize;
}

impl<T> Store for VecDeque<T> {
    type Item = T;
    fn keep(&mut self, item: T) {
        self.push_back(item);
    }
    fn next(&mut self) -> Option<T> {
        self.pop_front()
    }
    fn count(&self) -> usize {
        self.len()
    }
}

impl<T> Store for Vec<T> {
    type Item = T;
    fn keep(&mut self, item: T) {
        self.push(item);
    }
    fn next(&mut self) -> Option<T> {
        self.pop()
    }
    fn count(&self) -> usize {
        self.len()
    }
}

impl<T: Ord> Store for BinaryHeap<Reverse<T>> {
    type Item = T;
    fn keep(&mut self, item: T) {
        self.push(Reverse(item));
    }
    fn next(&mut self) -> Option<T> {
        self.pop().map(|Reverse(item)| item)
    }
    fn count(&self) -> usize {
        self.len()
    }
}

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
pub struct QueueOf<S: Store> {
    items: RefCell<S>,
    /// `usize::MAX` is no limit.
    capacity: usize,
    getters: Waiters,
    putters: Waiters,
    /// Items that were put and not reported as done.
    unfinished: Cell<usize>,
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
    /// # In asyncio
    /// `queue.put_nowait(item)`.
    pub fn put_nowait(&self, item: S::Item) -> Result<(), TryPutError<S::Item>> {
        if self.is_full() && !self.is_shut_down() {
            return Err(TryPutError::Full(item));
        }
        self.put_now(item).map_err(|PutError(item)| TryPutError::ShutDown(item))
    }

    fn put_now(&self, item: S::Item) -> Result<(), PutError<S::Item>> {
        if self.is_shut_down() {
            return Err(PutError(item));
        }
        self.items.borrow_mut().keep(item);
        self.unfinished.set(self.unfinished.get() + 1);
        self.finished.clear();
        self.getters.call_first();
        Ok(())
    }

    /// Takes the next item out, waiting while the queue is empty.
    ///
    /// # Cancellation
    /// No item is lost: one that had come goes to the next who waits.
    ///
    /// # Errors
    /// If the queue is empty and shut down.
    pub async fn get(&self) -> Result<S::Item, QueueShutDown> {
        loop {
            match self.get_nowait() {
                Ok(item) => return Ok(item),
                Err(TryGetError::ShutDown) => return Err(QueueShutDown),
                Err(TryGetError::Empty) => Wait::new(&self.getters, &Getters(self)).await,
            }
        }
    }

    /// Takes the next item out if there is one.
    ///
    /// # Errors
    /// If the queue is empty; shut down too, maybe.
    ///
    /// # In asyncio
    /// `queue.get_nowait()`.
    pub fn get_nowait(&self) -> Result<S::Item, TryGetError> {
        let item = self.items.borrow_mut().next();
        match item {
            Some(item) => {
                self.putters.call_first();
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
    /// Everybody who waits is woken to find out.
    pub fn shutdown(&self, immediate: bool) {
        self.is_shut_down.set(true);
        if immediate {
            loop {
                let item = self.items.borrow_mut().next();
                let Some(item) = item else { break };
                drop(item); // after the borrow: it may run anything
                let unfinished = self.unfinished.get().saturating_sub(1);
                self.unfinished.set(unfinished);
            }
            if self.unfinished.get() == 0 {
                self.finished.set();
            }
        }
        self.getters.call_all();
        self.putters.call_all();
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
        self.items.borrow().count()
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

/// Those who wait for an item.
struct Getters<'a, S: Store>(&'a QueueOf<S>);

impl<S: Store> Owner for Getters<'_, S> {
    fn what(&self) -> &'static str {
        "an item of a queue"
    }

    fn gave_up(&self, called: bool) {
        if called && !self.0.is_empty() {
            self.0.getters.call_first();
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
            self.0.putters.call_first();
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
