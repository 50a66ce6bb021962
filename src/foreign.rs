//! **Foreign code**: how the crate calls code that is not its own.
//!
//! A future, a waker, a destructor, a `Debug`: each may panic, call back into the loop, or drop the value that it was given. The
//! naive answer is to call it and hope. Then a waker that panics leaves the waiters after it asleep, and a destructor that calls
//! back finds the task table borrowed.
//!
//! The rule here: *the engine is consistent before the call, and nothing that is lent can be freed, taken or moved during it.* The
//! state is changed first, borrows and locks end, and then the call is made. A panic that no caller can receive is caught and
//! reported here; one of a destructor, when a record is emptied or freed, is swallowed in `record/`. All calls: `docs/foreign-code.md`.
//!
//! It stands on the kernel.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};

use crate::engine::Engine;
use crate::kernel::record::RecordRef;

/// Calls foreign code that belongs to no task. A panic is reported as a panic of `what`.
#[track_caller]
pub(crate) fn call<R>(what: &'static str, foreign: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(returned) => Some(returned),
        Err(payload) => {
            Engine::report_stray_panic(what, payload, Location::caller());
            None
        }
    }
}

/// Calls foreign code on behalf of a task. A panic is reported as a panic of that task.
pub(crate) fn call_for<R>(task: &RecordRef, foreign: impl FnOnce() -> R) -> Option<R> {
    let returned = catch_unwind(AssertUnwindSafe(foreign));
    returned.map_err(|payload| task.owner.report_panic(task, payload)).ok()
}

/// Drops a value of a foreign type. A panic is reported.
#[track_caller]
pub(crate) fn drop_reported<T>(value: T) {
    call("a destructor", || drop(value));
}
