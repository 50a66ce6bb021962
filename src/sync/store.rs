//! Where a queue keeps its items: in the order in which they came, the other way round, or smallest first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

#[cfg(doc)]
use super::{MinHeap, PriorityQueue, QueueOf};

/// Where a queue keeps its items, and in which order it gives them out. The `Default` one is empty.
///
/// If a method panics the queue counts what is left, calls whatever tasks can go on, and the panic goes on: see
/// [`QueueOf`].
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
    /// What is kept.
    type Item;
    /// Whether a method may panic, or come back to the queue. A queue of a store that says `false` spares itself what it
    /// does for that case. If that is not true, the queue is still sound, but it may lose count.
    const CALLS_FOREIGN_CODE: bool = true;
    /// Keeps one more.
    fn keep(&mut self, item: Self::Item);
    /// Gives out the next.
    fn next(&mut self) -> Option<Self::Item>;
    /// How many are kept.
    fn count(&self) -> usize;

    /// Takes back the item that [`next`](Store::next) has just given out, because foreign code panicked before it could be
    /// handed over. It should be the next again.
    fn put_back(&mut self, item: Self::Item) {
        self.keep(item);
    }

    /// Gives out any item: how a queue that is shut down immediately empties a store whose [`next`](Store::next) panics.
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

/// A [`PriorityQueue`] has a [`MinHeap`] instead: if a comparison panics in `next`, this one drops the item that was to be
/// given out.
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
