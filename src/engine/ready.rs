//! **The ready queue**: a first-in, first-out list of slot numbers.
//!
//! It takes no memory of its own: the list is threaded through the slots. Each holds, while it stands in the queue, the
//! number of the one after it; the queue itself knows the first and the last. So it needs no room, never grows, and a
//! number can stand in it only once: it is the business of whoever pushes to see to that (one flag in the task's slot).
//!
//! It counts what was ever pushed and popped. The counts are allowed to wrap: only their difference matters.

/// Where a number finds the one after it.
pub(crate) trait Links {
    fn after(&self, slot: u32) -> u32;
    fn link(&mut self, slot: u32, next: u32);
}

/// Slot numbers of the tasks that want to be polled, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    /// Mean nothing while the queue is empty; nor does the link of the last.
    first: u32,
    last: u32,
    pushed: u32,
    popped: u32,
}

impl ReadyQueue {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.pushed.wrapping_sub(self.popped) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pushed == self.popped
    }

    /// The number must not stand in the queue.
    #[inline]
    pub(crate) fn push(&mut self, slot: u32, links: &mut impl Links) {
        if self.is_empty() {
            self.first = slot;
        } else {
            links.link(self.last, slot);
        }
        self.last = slot;
        self.pushed = self.pushed.wrapping_add(1);
    }

    #[inline]
    pub(crate) fn pop(&mut self, links: &impl Links) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let slot = self.first;
        self.first = links.after(slot);
        self.popped = self.popped.wrapping_add(1);
        Some(slot)
    }

    /// Where the next push goes, counted from the beginning of time (and wrapping).
    pub(crate) fn next_place(&self) -> u32 {
        self.pushed
    }

    /// Whether everything that was pushed before `place` has been popped, and what is at `place` too.
    pub(crate) fn has_passed(&self, place: u32) -> bool {
        self.popped.wrapping_sub(place).cast_signed() > 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::engine::testing::Dice;

    impl Links for Vec<u32> {
        fn after(&self, slot: u32) -> u32 {
            self[slot as usize]
        }

        fn link(&mut self, slot: u32, next: u32) {
            self[slot as usize] = next;
        }
    }

    /// Just below the wrap of the counts: they must pass it unharmed.
    fn queue_about_to_wrap() -> ReadyQueue {
        ReadyQueue { pushed: u32::MAX - 300, popped: u32::MAX - 300, ..ReadyQueue::default() }
    }

    #[test]
    fn it_is_a_vec_deque_for_any_mix_of_pushes_and_pops() {
        for seed in 0..20 {
            let mut dice = Dice::new(seed);
            let (mut queue, mut model) = (queue_about_to_wrap(), VecDeque::new());
            let mut links = vec![u32::MAX; 200];
            for step in 0..20_000 {
                // Phases that fill and phases that drain, so that the empty queue and the full table are met.
                let slot = dice.below(200) as u32;
                if dice.below(10) < if (step / 2_000) % 2 == 0 { 8 } else { 2 } {
                    if !model.contains(&slot) {
                        queue.push(slot, &mut links);
                        model.push_back(slot);
                    }
                } else {
                    assert_eq!(queue.pop(&links), model.pop_front());
                }
                assert_eq!(queue.len(), model.len());
                assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn a_place_is_passed_when_all_before_it_and_it_itself_are_popped() {
        let (mut queue, mut links) = (queue_about_to_wrap(), vec![0; 3]);
        queue.push(0, &mut links);
        queue.push(1, &mut links);
        let place = queue.next_place();
        queue.push(2, &mut links);
        for _ in 0..2 {
            queue.pop(&links);
            assert!(!queue.has_passed(place));
        }
        queue.pop(&links);
        assert!(queue.has_passed(place));
    }
}
