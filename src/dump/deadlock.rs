//! **Deadlocks**: no task is ready, no timer is set, and nothing outside can wake the loop.
//!
//! Such a loop would park for ever, so `run` returns an error instead, which says what each task waits for. It is made from a dump,
//! which polls nothing: what a task waits for does not change any more. A deadlock behind a foreign future is not noticed:
//! its waker may be on another thread. A future that returns `Pending` and gives its waker to nothing breaks the contract of
//! futures: it is part of the deadlock, although a poll might find it ready. The error itself is `Deadlock` in `error/mod.rs`.

use std::fmt::Write;

use super::facts::{Dump, WaitsFor};
use crate::engine::Engine;
use crate::error::{Deadlock, Stuck};
use crate::kernel::record::RecordRef;

impl Engine {
    /// What each task waits for, as an error. `clock_is_held`: a timer is set, and the virtual clock does not jump to it.
    pub(crate) fn deadlock(&self, clock_is_held: bool) -> Deadlock {
        let mut report = String::from(if clock_is_held {
            "deadlock: nothing is ready and the virtual clock is held"
        } else {
            "deadlock: nothing is ready, no timer is set, and nothing can wake the loop"
        });
        let (waits, tree) = self.stuck_tasks();
        report += &tree;
        self.tell_report("deadlock", &report);
        Deadlock { waits, report }
    }

    /// What this task waits for, in words.
    pub(crate) fn waits_of(&self, record: &RecordRef) -> Vec<String> {
        let tasks = self.dump().tasks;
        let task = tasks.into_iter().find(|task| task.task.number == record.serial);
        let waits_for = task.map(|task| task.waits_for).unwrap_or_default();
        waits_for.iter().filter(|it| is_known(it)).map(WaitsFor::to_string).collect()
    }

    /// The tasks that are left, each with what it waits for; and the same as a tree, as lines that follow on another.
    pub(crate) fn stuck_tasks(&self) -> (Vec<Stuck>, String) {
        let dump = self.dump();
        let tree = tree(&dump);
        let waits = dump.tasks.into_iter().map(|task| Stuck {
            task: task.task.name,
            spawned_at: task.spawned_at,
            waits_for: task
                .waits_for
                .iter()
                .filter(|it| is_known(it))
                .map(WaitsFor::to_string)
                .collect(),
        });
        (waits.collect(), tree)
    }
}

fn is_known(waits_for: &WaitsFor) -> bool {
    !matches!(waits_for, WaitsFor::ForeignCode | WaitsFor::Nothing)
}

fn tree(dump: &Dump) -> String {
    let mut report = String::new();
    let tree = dump.await_tree();
    for cycle in tree.cycles() {
        let _ = write!(report, "\n  a cycle: {cycle}"); // into a string
    }
    match dump.tasks.len() {
        1 => report += "\n  1 task is left:",
        tasks => _ = write!(report, "\n  {tasks} tasks are left:"),
    }
    for line in tree.to_string().lines() {
        let _ = write!(report, "\n    {line}");
    }
    for object in dump.objects.iter().filter(|object| !object.lines.is_empty()) {
        let details = object.details();
        if !details.is_empty() {
            let _ = write!(report, "\n  {object}: {details}");
        }
    }
    report
}
