//! How a queue stores its items: first in first out, last in first out, or smallest first.

#[cfg(doc)]
use super::heap::MinHeap;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The items of a queue, and the order in which it gives them out. The `Default` store is empty.
///
/// If a method panics, the queue counts the items that are left and wakes the tasks that can go on; then the panic goes on. See
/// [`QueueOf`](super::QueueOf).
///
/// # Examples
/// A queue that keeps each item once, as in asyncio a `Queue` whose `_put` adds to a set:
/// ```
/// use std::collections::BTreeSet;
/// use loopwheel::sync::{QueueOf, Store};
///
/// #[derive(Default)]
/// struct Once(BTreeSet<u32>);
///
/// impl Store for Once {
///     type Item = u32;
///     fn keep(&mut self, item: u32) {
///         self.0.insert(item);
///     }
///     fn next(&mut self) -> Option<u32> {
///         self.0.pop_first()
///     }
///     fn count(&self) -> usize {
///         self.0.len()
///     }
/// }
///
/// let queue = QueueOf::<Once>::unbounded();
/// for number in [2, 1, 2] {
///     queue.put_nowait(number).unwrap();
/// }
/// assert_eq!((queue.len(), queue.get_nowait()), (2, Ok(1)));
/// ```
pub trait Store: Default {
    /// The type of the items.
    type Item;
    /// Whether a method may panic or call the queue. With `false` the queue omits its precautions for that case. If `false` is
    /// wrong the queue is still sound, but it may lose count.
    const CALLS_FOREIGN_CODE: bool = true;
    /// Adds an item.
    fn keep(&mut self, item: Self::Item);
    /// Removes the next item and returns it.
    fn next(&mut self) -> Option<Self::Item>;
    /// How many items are stored.
    fn count(&self) -> usize;

    /// Takes back the item that [`next`](Store::next) has just returned, because foreign code panicked before the queue could hand
    /// it over. It should be the next item again.
    fn put_back(&mut self, item: Self::Item) {
        self.keep(item);
    }

    /// Removes any item and returns it. A queue that is shut down immediately uses this to empty a store whose
    /// [`next`](Store::next) panics.
    fn next_unordered(&mut self) -> Option<Self::Item> {
        self.next()
    }
}

impl<T> Store for VecDeque<T> {
    type Item = T;
    const CALLS_FOREIGN_CODE: bool = false;
    fn keep(&mut self, item: T) {
        self.push_back(item);
    }
    fn next(&mut self) -> Option<T> {
        self.pop_front()
    }
    fn count(&self) -> usize {
        self.len()
    }
    fn put_back(&mut self, item: T) {
        self.push_front(item);
    }
}

impl<T> Store for Vec<T> {
    type Item = T;
    const CALLS_FOREIGN_CODE: bool = false;
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

/// A [`PriorityQueue`](super::PriorityQueue) uses a [`MinHeap`] instead: if a comparison panics in `next`, a `BinaryHeap` drops the item that it was
/// about to return.
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
