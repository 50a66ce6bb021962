//! The heap of a [`PriorityQueue`](super::PriorityQueue).
//!
//! It is not `std`'s, because that one drops the item that it is about to give out if a comparison panics. This one
//! compares first and moves after: when foreign code runs every item is in its place.

use super::store::Store;

/// Where a [`PriorityQueue`](super::PriorityQueue) keeps its items: a binary heap that gives out the smallest first.
///
/// If a comparison of two items panics no item is lost: [`keep`](Store::keep) has kept the new one, and
/// [`next`](Store::next) has changed nothing. Their order may be wrong from then on, as it may be with an `Ord` that
/// contradicts itself.
///
/// # Examples
/// ```
/// use loopwheel::sync::{MinHeap, Store};
///
/// let mut heap = MinHeap::default();
/// for number in [2, 3, 1] {
///     heap.keep(number);
/// }
/// assert_eq!(heap.next(), Some(1));
/// assert_eq!(heap.count(), 2);
/// ```
///
/// # In asyncio
/// The `heapq` list of `asyncio.PriorityQueue`.
#[derive(Debug, Clone)]
pub struct MinHeap<T> {
    /// An item is not greater than its children, which are at twice its index plus one and plus two.
    items: Vec<T>,
}

impl<T> Default for MinHeap<T> {
    fn default() -> MinHeap<T> {
        MinHeap { items: Vec::new() }
    }
}

fn parent(place: usize) -> usize {
    (place - 1) / 2
}

impl<T: Ord> MinHeap<T> {
    /// Where the last item belongs: at its own place or at that of one of its ancestors.
    fn place_of_newest(&self, newest: usize) -> usize {
        let mut place = newest;
        while place > 0 && self.items[newest] < self.items[parent(place)] {
            place = parent(place);
        }
        place
    }

    /// Where the last item belongs when the root has left and the items on the way there have moved up. It is looked for
    /// from the bottom, as most of the last belong there.
    fn place_of_last(&self, last: usize) -> usize {
        let mut place = 0;
        let mut child = 1;
        while child + 1 < last {
            if self.items[child + 1] <= self.items[child] {
                child += 1;
            }
            place = child;
            child = 2 * place + 1;
        }
        if child + 1 == last {
            place = child;
        }
        while place > 0 && self.items[last] < self.items[place] {
            place = parent(place);
        }
        place
    }
}

impl<T: Ord> Store for MinHeap<T> {
    type Item = T;

    fn keep(&mut self, item: T) {
        let mut at = self.items.len();
        self.items.push(item);
        let place = self.place_of_newest(at);
        while at > place {
            self.items.swap(at, parent(at));
            at = parent(at);
        }
    }

    fn next(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        if last == 0 {
            return self.items.pop();
        }
        let mut at = self.place_of_last(last);
        let mut moving = self.items.pop()?;
        loop {
            std::mem::swap(&mut self.items[at], &mut moving);
            if at == 0 {
                return Some(moving);
            }
            at = parent(at);
        }
    }

    fn count(&self) -> usize {
        self.items.len()
    }

    fn next_unordered(&mut self) -> Option<T> {
        self.items.pop()
    }
}
