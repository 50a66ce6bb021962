//! **The tasks of one loop**: the table of those that have not ended, and the queue of those that are ready.
//!
//! A task may end while it is still queued. Its entry in the queue stays, and the turn skips it.

use std::cell::{Cell, RefCell};

use super::queue::ReadyQueue;
use super::record::{Flag, RecordRef};
use super::table::Table;
use crate::base::id::TaskId;

pub(crate) struct Tasks {
    pub(crate) table: RefCell<Table>,
    pub(crate) ready: ReadyQueue,
    /// How many tasks have [`Flag::WAKER_ESCAPED`].
    pub(crate) escaped: Cell<usize>,
}

impl Tasks {
    pub(crate) fn new(first_generation: u32, max_tasks: usize) -> Tasks {
        let table = RefCell::new(Table::new(first_generation, max_tasks));
        Tasks { table, ready: ReadyQueue::default(), escaped: Cell::new(0) }
    }

    /// Removes a task that ends, and returns the table's reference: dropping it may run foreign code.
    pub(crate) fn remove(&self, record: &RecordRef) -> Option<RecordRef> {
        let mut table = self.table.borrow_mut();
        let removed = table.remove(record.id)?;
        if record.has(Flag::WAKER_ESCAPED | Flag::CALLBACK) {
            if record.has(Flag::WAKER_ESCAPED) {
                self.escaped.set(self.escaped.get() - 1);
            }
            if record.has(Flag::CALLBACK) {
                table.callback_is_over();
            }
        }
        Some(removed)
    }

    /// The task with this id, if it has not ended.
    pub(crate) fn get(&self, id: TaskId) -> Option<RecordRef> {
        self.table.borrow().get(id).cloned()
    }

    /// Queues the task with this id. False if it has ended, or no task has this id.
    #[allow(clippy::inline_always)] // into the functions of the waker
    #[inline(always)]
    pub(crate) fn wake(&self, word: usize) -> bool {
        let table = self.table.borrow();
        let Some(record) = table.get_by_word(word) else { return false };
        if !self.ready.push_if_plain(record) {
            drop(table); // first: if the task is watched, an observer may run any code
            self.wake_slow_path(word);
        }
        true
    }
}
