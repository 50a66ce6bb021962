//! **Queues**: first in first out, last in first out, smallest first. They differ in their [`Store`] alone.
//!
//! | file | idea |
//! |---|---|
//! | `store`, `heap` | how items are stored, and in which order they come out |
//! | `lines` | the three lines in which tasks wait, and what a dump sees |
//! | `mod` (this file), `errors` | the queue: waiting, shutting down, and a store that panics; its errors |
//!
//! It stands on `base`, `cells`, `trace`, `object` and `waiting`.

mod errors;
mod heap;
mod lines;
mod store;

use std::collections::VecDeque;
use std::fmt;

use crate::base::panic::{FirstPanic, quietly};
use crate::cells::{Cell, RefCell, RefMut};
use crate::waiting::{Wait, Waiters};
use lines::{GETTERS, JOINERS, Of, PUTTERS};

pub use errors::{GetNowaitError, PutError, PutNowaitError, QueueShutDown, TooManyTasksDone};
pub use heap::MinHeap;
pub use store::Store;

/// A queue between tasks: first in, first out. It can be bounded, joined and shut down.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::rc::Rc;
/// use loopwheel::{create_task, sync::Queue};
///
/// let queue = Rc::new(Queue::bounded(5));
/// let jobs = queue.clone();
/// let consumer = create_task(async move {
///     let mut sum = 0;
///     while let Ok(number) = jobs.get().await {
///         sum += number;
///         jobs.task_done().unwrap();
///     }
///     sum
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
#[doc(alias("channel", "mpsc", "backpressure", "back-pressure"))]
pub type Queue<T> = QueueOf<VecDeque<T>>;

/// Last in, first out; otherwise as [`Queue`].
///
/// # In asyncio
/// `asyncio.LifoQueue`.
pub type LifoQueue<T> = QueueOf<Vec<T>>;

/// Smallest first; otherwise as [`Queue`].
///
/// The `Ord` of the items may ask the queue for its length, but must not put, get or shut it down immediately: see [`QueueOf`].
///
/// # In asyncio
/// `asyncio.PriorityQueue`.
pub type PriorityQueue<T> = QueueOf<MinHeap<T>>;

/// A queue with the order of its [`Store`]; see [`Queue`].
///
/// # Foreign code
/// The order may be foreign code: the `Ord` of the items of a [`PriorityQueue`], or a [`Store`] of your own. If it panics, the
/// panic goes on from the operation that called it, and the queue stays consistent:
///
/// - the item of a `put` is in the queue and counted, provided that the store has kept it;
/// - the item that a `get` was about to return is still in the queue;
/// - an item that the store has lost counts as done, so that [`join`](QueueOf::join) does not wait for it.
///
/// Foreign code may call the methods that leave the items alone, such as `len`. Those that put, get or drop items panic then.
pub struct QueueOf<S: Store> {
    /// Borrowed only while one of its methods runs.
    items: RefCell<S>,
    /// The number of items, for a store that calls foreign code: that may ask while `items` is borrowed, in a `put` or a `get`.
    count: Cell<usize>,
    /// `usize::MAX` is no limit.
    capacity: usize,
    getters: Waiters,
    putters: Waiters,
    /// Items that were put and not reported as done. 64 bits: if none is ever reported, there may be more than fit into memory.
    unfinished: Cell<u64>,
    /// The tasks that wait until there are none.
    joiners: Waiters,
    is_shut_down: Cell<bool>,
}

impl<S: Store> QueueOf<S> {
    /// A queue that is never full.
    #[track_caller]
    pub fn unbounded() -> QueueOf<S> {
        QueueOf::bounded(usize::MAX)
    }

    /// A queue for at most this many items. **A capacity of zero is no limit**, as in asyncio.
    #[track_caller]
    pub fn bounded(capacity: usize) -> QueueOf<S> {
        QueueOf {
            items: RefCell::default(),
            count: Cell::new(0),
            capacity: if capacity == 0 { usize::MAX } else { capacity },
            getters: Waiters::of_new_object(),
            putters: Waiters::default(),
            unfinished: Cell::new(0),
            joiners: Waiters::default(),
            is_shut_down: Cell::new(false),
        }
    }

    /// Gives the queue a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> QueueOf<S> {
        self.first_line().set_name(name);
        self
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.getters.name()
    }

    /// Puts an item in, waiting while the queue is full.
    ///
    /// # Cancellation
    /// The item is not in the queue, and is dropped. Room that had become free goes to the next task that waits to put. To lose no
    /// item, wait for room before there is one: `docs/from-asyncio.md` has the recipe, under "Queues".
    ///
    /// # Errors
    /// If the queue is shut down, before or meanwhile. The error contains the item.
    ///
    /// # Panics
    /// If the order of the queue panics, or calls this method: see [`QueueOf`].
    pub async fn put(&self, item: S::Item) -> Result<(), PutError<S::Item>> {
        while self.is_full() && !self.is_shut_down() {
            Wait::new(&Of::<S, PUTTERS>(self)).await;
        }
        self.put_now(item)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    /// If the queue is full or shut down. The error contains the item.
    ///
    /// # Panics
    /// If the order of the queue panics, or calls this method: see [`QueueOf`].
    ///
    /// # In asyncio
    /// `queue.put_nowait(item)`.
    #[track_caller]
    pub fn put_nowait(&self, item: S::Item) -> Result<(), PutNowaitError<S::Item>> {
        if self.is_full() && !self.is_shut_down() {
            return Err(PutNowaitError::Full(item));
        }
        self.put_now(item).map_err(|PutError(item)| PutNowaitError::ShutDown(item))
    }

    #[inline]
    #[track_caller]
    fn put_now(&self, item: S::Item) -> Result<(), PutError<S::Item>> {
        if self.is_shut_down() {
            return Err(PutError(item));
        }
        if S::CALLS_FOREIGN_CODE {
            let mut operation = self.begin_operation();
            self.count.set(self.count.get() + 1);
            self.unfinished.set(self.unfinished.get() + 1);
            operation.store().keep(item);
            operation.end();
        } else {
            self.items.borrow_mut().keep(item);
            self.unfinished.set(self.unfinished.get() + 1);
        }
        if self.getters.is_busy() {
            self.note_and_call(&self.getters);
        }
        Ok(())
    }

    /// Begins an operation on a store that calls foreign code.
    #[track_caller]
    fn begin_operation(&self) -> Operation<'_, S> {
        let Ok(store) = self.items.try_borrow_mut() else { panic_nested() };
        Operation { queue: self, store: Some(store), taken_out: None }
    }

    /// Takes the next item out, waiting while the queue is empty.
    ///
    /// # Cancellation
    /// No item is lost: one that had arrived goes to the next task that waits.
    ///
    /// # Errors
    /// If the queue is empty and shut down.
    ///
    /// # Panics
    /// If the order of the queue panics, or calls this method: see [`QueueOf`].
    pub async fn get(&self) -> Result<S::Item, QueueShutDown> {
        loop {
            match self.get_nowait() {
                Ok(item) => return Ok(item),
                Err(GetNowaitError::ShutDown) => return Err(QueueShutDown),
                Err(GetNowaitError::Empty) => {} // wait after the match, or the future would hold the matched value meanwhile
            }
            Wait::new(&Of::<S, GETTERS>(self)).await;
        }
    }

    /// Takes the next item out if there is one.
    ///
    /// # Errors
    /// If the queue is empty. The error says whether it is shut down too.
    ///
    /// # Panics
    /// If the order of the queue panics, or calls this method: see [`QueueOf`].
    ///
    /// # In asyncio
    /// `queue.get_nowait()`.
    #[inline]
    #[track_caller]
    pub fn get_nowait(&self) -> Result<S::Item, GetNowaitError> {
        let taken_out = if S::CALLS_FOREIGN_CODE {
            let mut operation = self.begin_operation();
            operation.taken_out = operation.store().next();
            operation.end();
            operation.taken_out.take()
        } else {
            self.items.borrow_mut().next()
        };
        match taken_out {
            Some(item) => {
                if self.putters.is_busy() {
                    self.note_and_call(&self.putters);
                }
                Ok(item)
            }
            None if self.is_shut_down() => Err(GetNowaitError::ShutDown),
            None => Err(GetNowaitError::Empty),
        }
    }

    /// Reports that the work on an item that was taken out is done. [`join`](QueueOf::join) waits for these reports.
    ///
    /// # Errors
    /// If it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), TooManyTasksDone> {
        let unfinished = self.unfinished.get().checked_sub(1).ok_or(TooManyTasksDone)?;
        self.unfinished.set(unfinished);
        if self.joiners.is_busy() {
            self.note_and_end_joins();
        }
        Ok(())
    }

    /// Waits until every item that was put has been reported as done.
    ///
    /// # Cancellation
    /// Nothing is lost.
    pub async fn join(&self) {
        if self.unfinished.get() > 0 {
            Wait::new(&Of::<S, JOINERS>(self)).await;
        }
    }

    /// Shuts the queue down: from now on `put` fails, and `get` fails when the queue is empty. With `immediate` the items are
    /// dropped now and count as done.
    ///
    /// All tasks that wait to put or to get are woken.
    ///
    /// # Panics
    /// If the destructor of an item panics. The queue is shut down and empty all the same, the other items have been dropped, and
    /// all tasks that wait have been woken. And with `immediate`, if the order of the queue calls this method: see [`QueueOf`].
    #[track_caller]
    pub fn shutdown(&self, immediate: bool) {
        let mut left = None;
        let mut dropped = 0;
        if immediate {
            let empty = S::default(); // first: it may be foreign code, and may panic
            dropped = self.len() as u64;
            let Ok(mut items) = self.items.try_borrow_mut() else { panic_nested() };
            left = Some(std::mem::replace(&mut *items, empty));
            self.count.set(0);
        }
        self.is_shut_down.set(true);
        self.unfinished.set(self.unfinished.get().saturating_sub(dropped));
        self.note_and_end_joins();
        self.getters.call_all();
        self.putters.call_all();
        let mut panics = FirstPanic::default();
        if let Some(left) = left {
            drop_items(left, &mut panics); // last: destructors may run any code
        }
        panics.go_on();
    }

    /// Makes the queue consistent after a panic of its store: counts anew, and wakes the waiters that can go on.
    #[cold]
    fn recover(&self, mut store: RefMut<'_, S>, taken_out: Option<S::Item>) {
        let expected = self.count.get();
        if let Some(item) = taken_out {
            quietly(|| store.put_back(item));
        }
        let count = quietly(|| store.count()).unwrap_or(expected);
        drop(store); // a task that is woken below may use the queue
        let lost = expected.saturating_sub(count);
        self.count.set(count);
        self.unfinished.set(self.unfinished.get().saturating_sub(lost as u64));
        self.note_and_end_joins();
        if count > 0 {
            self.getters.call_one();
        }
        for _ in 0..lost {
            self.putters.call_one();
        }
    }

    /// Whether the queue has been shut down.
    pub fn is_shut_down(&self) -> bool {
        self.is_shut_down.get()
    }

    /// How many items are in the queue.
    ///
    /// # In asyncio
    /// `queue.qsize()`.
    pub fn len(&self) -> usize {
        if S::CALLS_FOREIGN_CODE { self.count.get() } else { self.items.borrow().count() }
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another item.
    pub fn is_full(&self) -> bool {
        self.len() >= self.capacity
    }

    /// How many items fit in; `None` is no limit.
    pub fn capacity(&self) -> Option<usize> {
        (self.capacity != usize::MAX).then_some(self.capacity)
    }
}

impl<S: Store> Default for QueueOf<S> {
    #[track_caller]
    fn default() -> QueueOf<S> {
        QueueOf::unbounded()
    }
}

/// Panics because the store is in the middle of another operation.
#[cold]
#[track_caller]
fn panic_nested() -> ! {
    panic!(
        "this queue is putting its items in order: the `Ord` of an item, or a `Store`, must not put into, get from or shut \
         down the queue that it is called by; do that in a task, or with `call_soon`"
    )
}

/// Drops the items of a store one by one, so that all are dropped even if the destructor of one panics.
fn drop_items<S: Store>(mut store: S, panics: &mut FirstPanic) {
    while let Some(Some(item)) = panics.catch(|| store.next()) {
        panics.catch(|| drop(item));
    }
    // Items are left only if `next` has panicked.
    while let Some(Some(item)) = panics.catch(|| store.next_unordered()) {
        panics.catch(|| drop(item));
    }
    panics.catch(|| drop(store));
}

/// An operation on a store that calls foreign code. If the store panics, the destructor makes the queue consistent again.
struct Operation<'a, S: Store> {
    queue: &'a QueueOf<S>,
    /// `None` when the store has done its part.
    store: Option<RefMut<'a, S>>,
    taken_out: Option<S::Item>,
}

impl<S: Store> Operation<'_, S> {
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

impl<S: Store> Drop for Operation<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            self.queue.recover(store, self.taken_out.take());
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
