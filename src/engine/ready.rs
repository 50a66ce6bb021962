//! **The ready queue**: a first-in, first-out ring of slot numbers.
//!
//! It knows neither what a task is nor what time it is. That a task stands in it at most once is the
//! business of whoever pushes (one flag in the task's slot); so the ring never holds more entries than there
//! are slots. Room for them is made when a slot is, and a push has nothing to check.
//!
//! The ring's length is a power of two, so "next" is an addition and a mask. `head` and `tail` count
//! every push and pop there ever was and are allowed to wrap: only their difference matters.

/// Slot numbers of the tasks that want to be polled, oldest first.
#[derive(Debug)]
pub(crate) struct ReadyQueue {
    ring: Box<[u32]>,
    /// Where the next pop reads; counts pops.
    head: u32,
    /// Where the next push writes; counts pushes.
    tail: u32,
}

impl ReadyQueue {
    const FIRST_LENGTH: usize = 64;

    pub(crate) fn new() -> ReadyQueue {
        ReadyQueue { ring: vec![0; Self::FIRST_LENGTH].into_boxed_slice(), head: 0, tail: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.tail.wrapping_sub(self.head) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Makes room for so many entries in all.
    #[inline]
    pub(crate) fn make_room_for(&mut self, entries: usize) {
        if entries > self.ring.len() {
            self.grow();
        }
    }

    /// There must be [room](ReadyQueue::make_room_for).
    #[inline]
    pub(crate) fn push(&mut self, slot: u32) {
        debug_assert!(self.len() < self.ring.len(), "room was made for every slot there is");
        let at = self.place(self.tail);
        self.ring[at] = slot;
        self.tail = self.tail.wrapping_add(1);
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let slot = self.ring[self.place(self.head)];
        self.head = self.head.wrapping_add(1);
        Some(slot)
    }

    /// Where the next push goes, counted from the beginning of time (and wrapping).
    pub(crate) fn next_place(&self) -> u32 {
        self.tail
    }

    /// Whether everything that was pushed before `place` has been popped, and what is at `place` too.
    pub(crate) fn has_passed(&self, place: u32) -> bool {
        self.head.wrapping_sub(place).cast_signed() > 0
    }

    fn place(&self, count: u32) -> usize {
        count as usize & (self.ring.len() - 1)
    }

    /// Twice the ring; every count names a place in it as before.
    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut wider = vec![0; self.ring.len() * 2].into_boxed_slice();
        for count in (0..self.len() as u32).map(|offset| self.head.wrapping_add(offset)) {
            wider[count as usize & (wider.len() - 1)] = self.ring[self.place(count)];
        }
        self.ring = wider;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::engine::testing::Dice;

    #[test]
    fn it_is_a_vec_deque_for_any_mix_of_pushes_and_pops() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (mut queue, mut model) = (ReadyQueue::new(), VecDeque::new());
            // Start just below the wrap of the counters: they must pass it unharmed.
            queue.head = u32::MAX - 300;
            queue.tail = queue.head;
            for step in 0..20_000 {
                // Phases that fill and phases that drain, so that both ends and `grow` are met.
                if dice.below(10) < if (step / 2_000) % 2 == 0 { 6 } else { 4 } {
                    let slot = dice.next() as u32;
                    queue.make_room_for(model.len() + 1);
                    queue.push(slot);
                    model.push_back(slot);
                } else {
                    assert_eq!(queue.pop(), model.pop_front());
                }
                assert_eq!(queue.len(), model.len());
                assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn a_place_is_passed_when_all_before_it_and_it_itself_are_popped() {
        let mut queue = ReadyQueue::new();
        queue.head = u32::MAX - 1;
        queue.tail = queue.head;
        queue.push(0);
        queue.push(1);
        let place = queue.next_place();
        queue.push(2);
        for _ in 0..2 {
            queue.pop();
            assert!(!queue.has_passed(place));
        }
        queue.pop();
        assert!(queue.has_passed(place));
    }
}
