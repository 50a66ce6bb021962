//! **The ready queue**: the tasks that are ready to be polled, first in, first out.
//!
//! It is a chain of records (`record/chain.rs`) that also counts: a wake-up allocates nothing, and a task is never queued twice. A
//! task leaves the queue before its poll, so a wake-up during the poll queues it again.
//!
//! Its two counters never go back: each is one more than the pushes, or pops, since the loop began. So a position can be compared
//! later: `yield_now` notes the position of the next push, and is ready when the queue has passed it.

use std::cell::Cell;

use super::record::{Chain, RecordRef};

/// The tasks that are ready to be polled, in the order of their wake-ups.
pub(crate) struct ReadyQueue {
    chain: Chain,
    /// Positions of the next push and of the next pop. They count from one, so that zero means none.
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

    /// Queues the task. Does nothing if it is queued already.
    #[inline]
    pub(crate) fn push(&self, task: &RecordRef) {
        if !self.push_if_plain(task) {
            self.push_slow_path(task);
        }
    }

    /// The same, unless the task is queued already, ignores pushes, or is watched: then it is false.
    #[inline]
    pub(crate) fn push_if_plain(&self, task: &RecordRef) -> bool {
        let is_plain = self.chain.push_if_plain(task);
        if is_plain {
            self.pushed.set(self.pushed.get() + 1);
        }
        is_plain
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn push_slow_path(&self, task: &RecordRef) {
        let is_new = self.chain.push(task);
        if is_new {
            self.pushed.set(self.pushed.get() + 1);
        } else if task.owner.starts_eagerly(task) {
            return task.owner.begin_inside(task);
        }
        if task.is_watched() {
            task.owner.task_is_woken(task, is_new);
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<RecordRef> {
        let task = self.chain.pop()?;
        self.popped.set(self.popped.get() + 1);
        Some(task)
    }

    /// The position of the next push.
    pub(crate) fn next_position(&self) -> u64 {
        self.pushed.get()
    }

    #[inline]
    pub(crate) fn popped(&self) -> u64 {
        self.popped.get()
    }

    /// Whether the task at this position has been popped, and so all before it.
    pub(crate) fn has_passed(&self, position: u64) -> bool {
        self.popped.get() > position
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::pending;
    use std::panic::Location;

    use super::*;
    use crate::kernel::current;
    use crate::testing::Dice;

    /// An empty queue with both counts at `count`.
    fn queue_at(count: u64) -> ReadyQueue {
        let count = Cell::new(count);
        ReadyQueue { pushed: count.clone(), popped: count, ..ReadyQueue::default() }
    }

    /// Calls `test` with this many records that are in no queue.
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
                    // Phases that fill and phases that drain the queue: it is empty and full again and again.
                    let index = dice.below(200) as usize;
                    if dice.below(10) < if (step / 2_000) % 2 == 0 { 8 } else { 2 } {
                        queue.push(&records[index]);
                        if !model.contains(&index) {
                            model.push_back(index);
                        }
                    } else {
                        let next = model.pop_front().map(|index| records[index].clone());
                        assert_eq!(queue.pop(), next);
                    }
                    assert_eq!(queue.len(), model.len());
                    assert_eq!(queue.is_empty(), model.is_empty());
                }
            }
        });
    }

    #[test]
    fn a_position_is_passed_when_all_before_it_and_it_itself_are_popped() {
        with_records(3, |records| {
            let queue = queue_at(u64::from(u32::MAX) - 1);
            queue.push(&records[0]);
            queue.push(&records[1]);
            let position = queue.next_position();
            queue.push(&records[2]);
            for _ in 0..2 {
                queue.pop();
                assert!(!queue.has_passed(position));
            }
            queue.pop();
            assert!(queue.has_passed(position));
        });
    }

    #[test]
    fn a_position_that_was_passed_stays_passed_however_many_come_after_it() {
        let position = ReadyQueue::default().next_position();
        for later in [1, 1 << 31, (1 << 31) + 1, (1 << 32) + 1, 1 << 62] {
            assert!(queue_at(position + later).has_passed(position), "{later} polls later");
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
