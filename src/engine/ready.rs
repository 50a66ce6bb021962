//! **The ready queue**: who wants to be polled, first in, first out.
//!
//! It is a chain through the records themselves, each of which holds the next (`record/chain.rs`). So it needs no memory of its
//! own, and a wake-up allocates nothing, however many there are.
//!
//! It counts who ever came and went. So a place in the queue, counted from the beginning of time, says later on whether its
//! turn is over.

use std::cell::Cell;

use super::record::{Chain, RecordRef};

/// The tasks that want to be polled, oldest first. Each stands in it at most once.
pub(crate) struct ReadyQueue {
    chain: Chain,
    /// Both from one on, so that no place is zero.
    pushed: Cell<u64>,
    popped: Cell<u64>,
}

impl Default for ReadyQueue {
    fn default() -> ReadyQueue {
        ReadyQueue { chain: Chain::default(), pushed: Cell::new(1), popped: Cell::new(1) }
    }
}

impl ReadyQueue {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.pushed.get() - self.popped.get()) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pushed == self.popped
    }

    /// Does nothing for one that stands in the queue already: a wake-up of such a one is a flag test.
    #[inline]
    pub(crate) fn push(&self, task: &RecordRef) {
        if self.chain.push(task) {
            self.pushed.set(self.pushed.get() + 1);
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<RecordRef> {
        let task = self.chain.pop()?;
        self.popped.set(self.popped.get() + 1);
        Some(task)
    }

    /// Where the next push goes, counted from the beginning of time.
    pub(crate) fn next_place(&self) -> u64 {
        self.pushed.get()
    }

    /// How many have been popped since the beginning of time.
    #[inline]
    pub(super) fn popped(&self) -> u64 {
        self.popped.get()
    }

    /// Whether everything that was pushed before `place` has been popped, and what is at `place` too.
    pub(crate) fn has_passed(&self, place: u64) -> bool {
        self.popped.get() > place
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::pending;
    use std::panic::Location;

    use super::*;
    use crate::engine::current;
    use crate::engine::testing::Dice;

    /// One that has counted this far, by no pushes of the test's.
    fn queue_at(count: u64) -> ReadyQueue {
        let count = Cell::new(count);
        ReadyQueue { pushed: count.clone(), popped: count, ..ReadyQueue::default() }
    }

    /// Records that stand in no queue.
    fn with_records(count: usize, test: impl FnOnce(Vec<RecordRef>)) {
        crate::run_virtual(async {
            let engine = current::running().unwrap();
            let make = |_| engine.spawn_timed_callback(Location::caller(), |_| pending()).unwrap();
            test((0..count).map(make).collect());
        });
    }

    #[test]
    fn it_is_a_vec_deque_for_any_mix_of_pushes_and_pops() {
        with_records(200, |records| {
            for seed in 0..20 {
                let mut dice = Dice::new(seed);
                let (queue, mut model) = (queue_at(u64::from(u32::MAX) - 300), VecDeque::new());
                for step in 0..20_000 {
                    // Phases that fill and phases that drain, so that the empty queue and the full one are met.
                    let number = dice.below(200) as usize;
                    if dice.below(10) < if (step / 2_000) % 2 == 0 { 8 } else { 2 } {
                        queue.push(&records[number]);
                        if !model.contains(&number) {
                            model.push_back(number);
                        }
                    } else {
                        let next = model.pop_front().map(|number| records[number].clone());
                        assert_eq!(queue.pop(), next);
                    }
                    assert_eq!(queue.len(), model.len());
                    assert_eq!(queue.is_empty(), model.is_empty());
                }
            }
        });
    }

    #[test]
    fn a_place_is_passed_when_all_before_it_and_it_itself_are_popped() {
        with_records(3, |records| {
            let queue = queue_at(u64::from(u32::MAX) - 1);
            queue.push(&records[0]);
            queue.push(&records[1]);
            let place = queue.next_place();
            queue.push(&records[2]);
            for _ in 0..2 {
                queue.pop();
                assert!(!queue.has_passed(place));
            }
            queue.pop();
            assert!(queue.has_passed(place));
        });
    }

    #[test]
    fn a_place_that_was_passed_stays_passed_however_many_come_after_it() {
        let place = ReadyQueue::default().next_place();
        for later in [1, 1 << 31, (1 << 31) + 1, (1 << 32) + 1, 1 << 62] {
            assert!(queue_at(place + later).has_passed(place), "{later} polls later");
        }
    }

    #[test]
    fn a_queue_longer_than_the_stack_is_deep_can_be_dropped() {
        with_records(200_000, |records| {
            let queue = ReadyQueue::default();
            for record in &records {
                queue.push(record);
            }
            drop(queue);
            assert!(records.iter().all(|record| !record.is_queued()));
        });
    }
}
