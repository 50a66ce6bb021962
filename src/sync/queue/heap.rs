//! The heap of a [`PriorityQueue`](super::PriorityQueue).
//!
//! `std`'s `BinaryHeap` moves items while it compares them. If a comparison panics in `pop`, the item that it was about to return
//! is dropped. This heap compares first and moves after, so no item is out of the vector while foreign code runs.

use super::store::Store;

/// The store of a [`PriorityQueue`](super::PriorityQueue): a binary heap that gives out the smallest item first.
///
/// If a comparison of two items panics, no item is lost: [`keep`](Store::keep) has kept the new item, and [`next`](Store::next) has
/// changed nothing. The order of the items may be wrong from then on, as it may be with an `Ord` that contradicts itself.
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
    /// The children of the item at `index` are at `2 * index + 1` and `2 * index + 2`. No item is greater than its children.
    items: Vec<T>,
}

impl<T> Default for MinHeap<T> {
    fn default() -> MinHeap<T> {
        MinHeap { items: Vec::new() }
    }
}

fn parent(index: usize) -> usize {
    (index - 1) / 2
}

impl<T: Ord> MinHeap<T> {
    /// The index at which the last item belongs after a push: its own, or that of an ancestor.
    fn index_of_newest(&self, newest: usize) -> usize {
        let mut index = newest;
        while index > 0 && self.items[newest] < self.items[parent(index)] {
            index = parent(index);
        }
        index
    }

    /// The index at which the last item belongs after a pop: the root leaves, and the smaller child moves up at each level.
    fn index_of_last(&self, last: usize) -> usize {
        // Down to the bottom first, and up from there: most last items belong near the bottom, so this compares less.
        let mut index = 0;
        let mut child = 1;
        while child + 1 < last {
            if self.items[child + 1] <= self.items[child] {
                child += 1;
            }
            index = child;
            child = 2 * index + 1;
        }
        if child + 1 == last {
            index = child;
        }
        while index > 0 && self.items[last] < self.items[index] {
            index = parent(index);
        }
        index
    }
}

impl<T: Ord> Store for MinHeap<T> {
    type Item = T;

    fn keep(&mut self, item: T) {
        let mut index = self.items.len();
        self.items.push(item);
        let target = self.index_of_newest(index);
        while index > target {
            self.items.swap(index, parent(index));
            index = parent(index);
        }
    }

    fn next(&mut self) -> Option<T> {
        let last = self.items.len().checked_sub(1)?;
        if last == 0 {
            return self.items.pop();
        }
        let mut index = self.index_of_last(last);
        let mut moving = self.items.pop()?;
        // The last item goes in at `index`; each item above it moves up by one, and the root comes out.
        loop {
            std::mem::swap(&mut self.items[index], &mut moving);
            if index == 0 {
                return Some(moving);
            }
            index = parent(index);
        }
    }

    fn count(&self) -> usize {
        self.items.len()
    }

    fn next_unordered(&mut self) -> Option<T> {
        self.items.pop()
    }
}
