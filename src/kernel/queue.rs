//! **The ready queue**: the tasks that are ready to be polled, first in, first out.
//!
//! It is a queue in blocks (`fifo.rs`), and each record says whether it is in it (`record/queued.rs`): so a wake-up allocates
//! next to never, and a task is never queued twice. A task leaves the queue before its poll, so a wake-up during the poll queues it
//! again.
//!
//! Its positions never go back, so one can be compared later: `yield_now` notes the position of the next push, and is ready when the
//! queue has passed it.

use super::record::RecordRef;
use crate::fifo::Fifo;

/// The tasks that are ready to be polled, in the order of their wake-ups.
pub(crate) struct ReadyQueue(Fifo<RecordRef>);

impl Default for ReadyQueue {
    fn default() -> ReadyQueue {
        ReadyQueue::from_position(1) // so that zero means none
    }
}

impl ReadyQueue {
    fn from_position(position: u64) -> ReadyQueue {
        ReadyQueue(Fifo::from_position(position))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        (self.0.pushed() - self.0.popped()) as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.pushed() == self.0.popped()
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
        task.is_plain() && self.0.push_within_block(|| task.queued_clone())
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn push_slow_path(&self, task: &RecordRef) {
        let is_new = task.begin_queued();
        if is_new {
            self.0.push(task.clone());
        } else if task.owner.starts_eagerly(task) {
            return task.owner.begin_inside(task);
        }
        if task.is_watched() {
            task.owner.task_is_woken(task, is_new);
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<RecordRef> {
        let task = self.0.pop()?;
        task.end_queued();
        Some(task)
    }

    /// The entries, in their order. Some of these tasks may have ended.
    #[cfg(feature = "explore")]
    pub(crate) fn entries(&self) -> Vec<RecordRef> {
        self.0.copies()
    }

    /// Moves an entry to the front: it is popped next.
    #[cfg(feature = "explore")]
    pub(crate) fn bring_forward(&self, index: usize) {
        self.0.bring_forward(index);
    }

    /// The position of the next push.
    pub(crate) fn next_position(&self) -> u64 {
        self.0.pushed()
    }

    #[inline]
    pub(crate) fn popped(&self) -> u64 {
        self.0.popped()
    }

    /// Whether the task at this position has been popped, and so all before it.
    pub(crate) fn has_passed(&self, position: u64) -> bool {
        self.0.popped() > position
    }
}

/// The tasks that are left are queued no more: a handle may keep one.
impl Drop for ReadyQueue {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::panic::Location;

    use super::*;
    use crate::kernel::current;

    /// Calls `test` with this many records that are in no queue.
    fn with_records(count: usize, test: impl FnOnce(Vec<RecordRef>)) {
        crate::run_virtual(async {
            let engine = current::running().unwrap();
            let make = |_| engine.spawn_timed_callback(Location::caller(), |_| pending()).unwrap();
            test((0..count).map(make).collect());
        });
    }

    #[test]
    fn a_task_is_queued_once_until_it_is_popped() {
        with_records(2, |records| {
            let queue = ReadyQueue::default();
            for index in [0, 1, 0, 1] {
                queue.push(&records[index]);
            }
            assert_eq!(queue.len(), 2);
            assert_eq!(queue.pop().as_ref(), Some(&records[0]));
            queue.push(&records[0]);
            assert_eq!(
                [queue.pop(), queue.pop(), queue.pop()],
                [Some(records[1].clone()), Some(records[0].clone()), None]
            );
        });
    }

    #[test]
    fn a_position_is_passed_when_all_before_it_and_it_itself_are_popped() {
        with_records(3, |records| {
            let queue = ReadyQueue::from_position(u64::from(u32::MAX) - 1);
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
            assert!(
                ReadyQueue::from_position(position + later).has_passed(position),
                "{later} polls later"
            );
        }
    }

    #[test]
    fn the_tasks_in_a_queue_that_is_dropped_are_queued_no_more() {
        with_records(200, |records| {
            let queue = ReadyQueue::default();
            for record in &records {
                queue.push(record);
            }
            drop(queue);
            assert!(records.iter().all(|record| !record.is_queued()));
        });
    }
}
