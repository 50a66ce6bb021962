//! **What a task waits for, asked by a poll.**
//!
//! To note it at each await would make all awaits slower. So a task that waits is polled once more with [`Signal::Asking`]: each
//! checkpoint answers and does nothing else. Foreign code in the task does not know of questions. It may be ready in that poll, and
//! then the code after it meets a checkpoint that answers in place of waiting. So a task that was asked is queued: in its next
//! poll it waits for real.

use crate::delivery::Signal;
use crate::engine::Engine;
use crate::error::Stuck;
use crate::kernel::record::{Flag, RecordRef};

impl Engine {
    /// What this task waits for, in words. The caller queues the task afterwards.
    pub(super) fn ask(&self, record: &RecordRef) -> Vec<String> {
        self.deliveries.answers.borrow_mut().clear();
        self.deliveries.signal.set(Signal::Asking);
        self.poll_now(record);
        self.deliveries.signal.set(Signal::Quiet);
        self.deliveries.answers.take()
    }

    /// The same of all tasks, oldest first. `None` if one could go on: then the loop was not as quiet as it seemed. The tasks are
    /// queued.
    pub(super) fn ask_all(&self) -> Option<Vec<Stuck>> {
        let tasks = self.tasks();
        let mut waits = Vec::new();
        let mut goes_on = false;
        for record in &tasks {
            let waits_for = self.ask(record);
            goes_on = record.has(Flag::DONE) || !self.tasks.ready.is_empty();
            if goes_on {
                break;
            }
            waits.push(Stuck { task: record.name(), spawned_at: record.spawned_at, waits_for });
        }
        for record in tasks.iter().filter(|record| !record.has(Flag::DONE)) {
            self.tasks.ready.push(record);
        }
        (!goes_on).then_some(waits)
    }
}
