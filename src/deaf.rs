//! **Deaf tasks**: polls in which a task does not hear that it is woken.
//!
//! A scope polls a future several times, and wakes what is in it, within one poll of the task. Each wake-up would queue the task for one
//! more poll, without end. So the task is deaf meanwhile, and the scope is told whether it was woken.
//!
//! It stands on the kernel.

use std::mem;

use crate::kernel::record::{Heard, RecordRef};

/// Runs `run`, and returns whether that woke the task. If `is_deaf`, or if it is queued already, the wake-up has no other effect.
pub(crate) fn listening<R>(
    task: Option<&RecordRef>,
    is_deaf: bool,
    run: impl FnOnce() -> R,
) -> (R, bool) {
    match task {
        Some(task) if is_deaf || task.is_queued() => while_deaf(task, run),
        Some(task) => {
            let returned = run();
            (returned, task.is_queued())
        }
        None => (run(), false),
    }
}

/// While `run` runs, waking the task has no effect: the task is about to be polled.
pub(crate) fn deaf<R>(task: Option<&RecordRef>, run: impl FnOnce() -> R) -> R {
    match task {
        Some(task) => while_deaf(task, run).0,
        None => run(),
    }
}

/// While `run` runs, waking the task has no effect. Returns whether it was woken.
fn while_deaf<R>(task: &RecordRef, run: impl FnOnce() -> R) -> (R, bool) {
    /// `run` may panic.
    struct Hears<'a>(&'a RecordRef, Heard);
    impl Drop for Hears<'_> {
        fn drop(&mut self) {
            self.0.hear(&self.1);
        }
    }
    let hears = Hears(task, task.stop_hearing());
    let returned = run();
    let was_woken = hears.0.hear(&hears.1);
    mem::forget(hears);
    (returned, was_woken)
}
