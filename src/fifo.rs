//! **A queue in blocks**: first in, first out, without a limit, and no larger than what is in it.
//!
//! A `VecDeque` would do. It copies itself when it grows, keeps the memory of its longest moment, and checks on each access whether
//! it wraps around. A linked list through the tasks would do too: it costs a pointer in each of them, queued or not, and the next
//! task is known only when the one before has been loaded. Here the values are in blocks, which are linked. A block
//! that has become empty is kept for the next one, so a short queue goes round in two blocks and never allocates.
//!
//! ```text
//!   taken from            added to
//!      ▼                     ▼
//!   [· · a b] ─▶ [c d e f] ─▶ [g h · ·]            spare: [· · · ·]
//!        ▲                         ▲
//!      popped                    pushed
//! ```
//!
//! Two counters are all there is to know: how many values were ever added, and how many were taken. The lowest bits of each are a
//! place in a block. They never go back, so they are *positions* too: one that is noted can be compared later.
//!
//! The invariant, *Filled*: exactly the positions from `popped` up to `pushed` hold a value. `first` is the block of the position
//! `popped`, and `last` that of `pushed`; each block from `first` on links to the next, up to `last`. Each of them and the spare block came
//! from a box, and nothing else refers to it. No foreign code runs inside a call: values are only moved in and out.
//!
//! It rests on no file without `unsafe`. It stands on std.

#![allow(unsafe_code)] // an island: `tests/rings.rs` lists them

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr;

/// How many values are in a block: a power of two.
const BLOCK: usize = 256;

struct Block<T> {
    places: [UnsafeCell<MaybeUninit<T>>; BLOCK],
    next: Cell<*mut Block<T>>,
}

impl<T> Block<T> {
    fn new() -> *mut Block<T> {
        let places = [const { UnsafeCell::new(MaybeUninit::uninit()) }; BLOCK];
        Box::into_raw(Box::new(Block { places, next: Cell::new(ptr::null_mut()) }))
    }

    /// The place of a position.
    #[inline]
    fn at(&self, position: u64) -> *mut MaybeUninit<T> {
        self.places[place(position)].get()
    }
}

/// Values, first in, first out.
pub(crate) struct Fifo<T> {
    first: Cell<*mut Block<T>>,
    last: Cell<*mut Block<T>>,
    /// An empty block, or null.
    spare: Cell<*mut Block<T>>,
    pushed: Cell<u64>,
    popped: Cell<u64>,
}

impl<T> Default for Fifo<T> {
    fn default() -> Fifo<T> {
        Fifo::from_position(0)
    }
}

impl<T> Fifo<T> {
    /// An empty queue, whose first value will have this position.
    pub(crate) fn from_position(position: u64) -> Fifo<T> {
        let block = Cell::new(Block::new());
        let (pushed, popped) = (Cell::new(position), Cell::new(position));
        Fifo {
            first: block.clone(),
            last: block,
            spare: Cell::new(ptr::null_mut()),
            pushed,
            popped,
        }
    }

    /// The position of the next value that is added.
    #[inline]
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed.get()
    }

    /// The position of the next value that is taken.
    #[inline]
    pub(crate) fn popped(&self) -> u64 {
        self.popped.get()
    }

    pub(crate) fn push(&self, value: T) {
        let position = self.pushed.get();
        self.put(position, value);
        if place(position + 1) == 0 {
            self.add_block();
        }
        self.pushed.set(position + 1);
    }

    /// Adds the value that `make` returns, but not at the last place of a block, which takes a call: then it is false.
    #[inline]
    pub(crate) fn push_within_block(&self, make: impl FnOnce() -> T) -> bool {
        let position = self.pushed.get();
        let is_within = place(position + 1) != 0;
        if is_within {
            self.put(position, make());
            self.pushed.set(position + 1);
        }
        is_within
    }

    #[inline]
    fn put(&self, position: u64, value: T) {
        // SAFETY: *Filled*: `last` is a block.
        let block = unsafe { &*self.last.get() };
        // SAFETY: *Filled*: it is the block of `pushed`, which this position is, and there is no value there.
        unsafe { block.at(position).write(MaybeUninit::new(value)) };
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<T> {
        let position = self.popped.get();
        if position == self.pushed.get() {
            return None;
        }
        // SAFETY: *Filled*: `first` is a block.
        let block = unsafe { &*self.first.get() };
        // SAFETY: *Filled*: it is the block of `popped`, which this position is.
        let value = unsafe { block.at(position).read() };
        if place(position + 1) == 0 {
            self.remove_block();
        }
        self.popped.set(position + 1); // from here on there is no value there
        // SAFETY: *Filled*: there was a value.
        Some(unsafe { value.assume_init() })
    }

    /// Moves a value to the front: those before it move back by a place. No position is added or taken. Nothing happens if there are
    /// not so many values.
    #[cfg(any(test, feature = "explore"))]
    pub(crate) fn bring_forward(&self, index: usize) {
        let position = self.popped.get() + index as u64;
        if position >= self.pushed.get() {
            return;
        }
        let places = self.places_until(position);
        for pair in places.windows(2).rev() {
            // SAFETY: *Filled*: both places hold a value, and they are two positions, so two places. The values are only moved.
            unsafe { ptr::swap(pair[0], pair[1]) };
        }
    }

    /// Copies of all values, the oldest first. The clone must not use the queue.
    #[cfg(any(test, feature = "explore"))]
    pub(crate) fn copies(&self) -> Vec<T>
    where
        T: Clone,
    {
        let Some(last) = self.pushed.get().checked_sub(1).filter(|last| *last >= self.popped.get())
        else {
            return Vec::new();
        };
        let copy = |place: *mut MaybeUninit<T>| {
            // SAFETY: *Filled*: it is the place of a position that holds a value.
            let value = unsafe { &*place };
            // SAFETY: *Filled*: as above.
            unsafe { value.assume_init_ref() }.clone()
        };
        self.places_until(last).into_iter().map(copy).collect()
    }

    /// The places of the values from the first one up to this position, which holds one.
    #[cfg(any(test, feature = "explore"))]
    fn places_until(&self, last: u64) -> Vec<*mut MaybeUninit<T>> {
        let mut block = self.first.get();
        let positions = self.popped.get()..=last;
        let places = positions.map(|position| {
            // SAFETY: *Filled*: the blocks from `first` on are linked, up to that of `pushed`, and this position comes before it.
            let held = unsafe { &*block };
            if place(position + 1) == 0 {
                block = held.next.get();
            }
            held.at(position)
        });
        places.collect()
    }

    /// The last block is full: the next position is in a new one.
    #[cold]
    #[inline(never)]
    fn add_block(&self) {
        let spare = self.spare.replace(ptr::null_mut());
        let block = if spare.is_null() { Block::new() } else { spare };
        // SAFETY: *Filled*: `last` is a block.
        unsafe { &*self.last.get() }.next.set(block);
        self.last.set(block);
    }

    /// The first block is empty: the next position is in the one behind it. `push` has added that when this one was full.
    #[cold]
    #[inline(never)]
    fn remove_block(&self) {
        let empty = self.first.get();
        // SAFETY: *Filled*: `first` is a block.
        self.first.set(unsafe { &*empty }.next.get());
        let spare = self.spare.replace(empty);
        if !spare.is_null() {
            // SAFETY: *Filled*: the spare block came from a box, and nothing refers to it any more.
            drop(unsafe { Box::from_raw(spare) });
        }
    }
}

/// The place of a position in its block.
#[inline]
fn place(position: u64) -> usize {
    position as usize % BLOCK
}

/// Drops the values one by one, the oldest first.
impl<T> Drop for Fifo<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
        for block in [self.first.get(), self.spare.get()] {
            if !block.is_null() {
                // SAFETY: *Filled*: the queue is empty, so `first` is `last`; both came from boxes, and nothing refers to them any more.
                drop(unsafe { Box::from_raw(block) });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::rc::Rc;

    use super::*;
    use crate::testing::Dice;

    #[test]
    fn it_is_a_vec_deque_for_any_mix_of_pushes_and_pops() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (queue, mut model) =
                (Fifo::from_position(u64::from(u32::MAX) - 300), VecDeque::new());
            for step in 0..20_000 {
                // Phases that fill and phases that drain the queue: it is empty and long again and again.
                if dice.below(10) < if (step / 2_000) % 2 == 0 { 8 } else { 2 } {
                    queue.push(Rc::new(step)); // an `Rc`: a value that is lost, or dropped twice, is seen by the sanitizer
                    model.push_back(step);
                } else {
                    assert_eq!(queue.pop().as_deref(), model.pop_front().as_ref());
                }
                assert_eq!((queue.pushed() - queue.popped()) as usize, model.len());
            }
        }
    }

    #[test]
    fn a_value_that_is_brought_forward_is_the_next_and_the_others_stay_in_their_order() {
        for start in [0, BLOCK as u64 - 2] {
            let queue = Fifo::from_position(start);
            let mut model: VecDeque<Rc<usize>> = (0..3 * BLOCK).map(Rc::new).collect();
            for value in &model {
                queue.push(value.clone());
            }
            for index in [0, 1, 5, BLOCK + 3, 3 * BLOCK - 5, 7 * BLOCK] {
                queue.bring_forward(index);
                if let Some(value) = model.remove(index) {
                    model.push_front(value);
                }
                assert_eq!(VecDeque::from(queue.copies()), model);
                assert_eq!(queue.pop(), model.pop_front());
            }
        }
        assert!(Fifo::<u8>::default().copies().is_empty());
    }

    #[test]
    fn what_is_left_is_dropped_with_it_the_oldest_first() {
        struct Noted(usize, Rc<Cell<usize>>);
        impl Drop for Noted {
            fn drop(&mut self) {
                assert_eq!(self.1.replace(self.1.get() + 1), self.0);
            }
        }
        for left in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK] {
            let dropped = Rc::new(Cell::new(0));
            let queue = Fifo::default();
            for number in 0..left {
                queue.push(Noted(number, dropped.clone()));
            }
            drop(queue);
            assert_eq!(dropped.get(), left);
        }
    }
}
