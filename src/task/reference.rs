//! [`TaskRef`]: what can be asked of any task.

use std::fmt;
use std::panic::Location;

use crate::engine::cold::{Cold, Joiner};
use crate::engine::leaf;
use crate::engine::reason::Reason;
use crate::engine::record::{Flag, RecordRef};

/// An untyped reference to a task: what can be asked of any task, whatever its outcome.
///
/// It keeps neither the task running nor its outcome; cloning it is cheap.
///
/// # In asyncio
/// `asyncio.Task`, without `await` and `result`.
#[derive(Clone, PartialEq)]
pub struct TaskRef {
    record: RecordRef,
}

impl TaskRef {
    pub(crate) fn new(record: RecordRef) -> TaskRef {
        TaskRef { record }
    }

    pub(crate) fn record(&self) -> &RecordRef {
        &self.record
    }

    /// `None` for a callback of the loop, which is no task.
    pub(crate) fn of_task(record: &RecordRef) -> Option<TaskRef> {
        record.is_task().then(|| TaskRef::new(record.clone()))
    }

    /// Asks the task to stop: it is cancelled where it waits, or at its next await.
    ///
    /// True if the request was counted, false if the task is over. A task may clean up, and may even swallow the
    /// cancel; so await it to know. One that has not begun never begins.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use std::time::Duration;
    /// use loopwheel::{create_task, sleep};
    ///
    /// let task = create_task(sleep(Duration::from_secs(60)));
    /// assert!(task.cancel());
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `task.cancel()`.
    pub fn cancel(&self) -> bool {
        self.record.cancel(&Reason::none())
    }

    /// Like [`cancel`](TaskRef::cancel), with a reason that the error will show.
    ///
    /// # In asyncio
    /// `task.cancel(msg)`.
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.record.cancel(&Reason::said(reason.into()))
    }

    /// How many requests to cancel there have been, less those taken back.
    ///
    /// # In asyncio
    /// `task.cancelling()`.
    pub fn cancelling(&self) -> usize {
        self.record.cancel_requests() as usize
    }

    /// Takes one request back and returns how many are left.
    ///
    /// For whoever asked for the cancel and has caught it, as a time limit does. When none is left, a cancel that
    /// has not been delivered yet is forgotten.
    ///
    /// # In asyncio
    /// `task.uncancel()`.
    pub fn uncancel(&self) -> usize {
        self.record.uncancel() as usize
    }

    /// Whether the task is over.
    pub fn is_done(&self) -> bool {
        self.record.has(Flag::DONE)
    }

    /// Whether the task ended by being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.record.has(Flag::CANCELLED)
    }

    /// Whether the task ended with an error or a panic.
    pub fn is_failed(&self) -> bool {
        self.record.has(Flag::FAILED | Flag::PANICKED)
    }

    /// The task's name.
    pub fn name(&self) -> String {
        name_of(&self.record)
    }

    /// Gives the task another name.
    pub fn set_name(&self, name: impl Into<String>) {
        set_name_of(&self.record, name);
    }

    /// Where the task was created.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.record.spawned_at
    }

    /// Calls `callback` in the turn after the task has ended; at once in the next turn if it is over.
    ///
    /// The callback begins with the [task-locals](crate::TaskLocal) that the caller has now.
    ///
    /// Callbacks and those who await the task go on in the order in which they came. After the loop is gone nobody
    /// is left to call `callback`: it is dropped.
    ///
    /// # Panics
    /// In `callback` go to the loop's exception handler.
    ///
    /// # In asyncio
    /// `task.add_done_callback(callback)`.
    pub fn add_done_callback(&self, callback: impl FnOnce(TaskRef) + 'static) {
        add_done_callback(&self.record, callback);
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("TaskRef", &self.record, f)
    }
}

pub(super) fn name_of(record: &RecordRef) -> String {
    let given = record.cold_if_any().and_then(|cold| cold.name.borrow().clone());
    given.map_or_else(|| format!("Task-{}", record.number), |name| name.as_ref().to_owned())
}

pub(super) fn set_name_of(record: &RecordRef, name: impl Into<String>) {
    let name = name.into().into(); // first: it may run anything
    record.cold().name.replace(Some(name));
}

pub(super) fn describe(what: &str, record: &RecordRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let state = if !record.has(Flag::DONE) {
        "pending"
    } else if record.has(Flag::CANCELLED) {
        "cancelled"
    } else if record.has(Flag::FAILED | Flag::PANICKED) {
        "failed"
    } else {
        "done"
    };
    f.debug_struct(what)
        .field("name", &name_of(record))
        .field("state", &format_args!("{state}"))
        .field("spawned_at", &format_args!("{}", record.spawned_at))
        .finish()
}

pub(super) fn add_done_callback(record: &RecordRef, callback: impl FnOnce(TaskRef) + 'static) {
    if record.home.is_closed() {
        drop(callback); // the loop is gone: nobody is left to call it
    } else if record.has(Flag::DONE) {
        let task = TaskRef::new(record.clone());
        record.home.spawn_callback_or_report(async move { callback(task) }, record.spawned_at);
    } else {
        let callback = Box::new(|record| callback(TaskRef::new(record)));
        // As they are now: what is set later makes a copy.
        let locals = leaf::with_current(|task| task.cold_if_any().and_then(Cold::locals)).flatten();
        record.cold().joiners.borrow_mut().join(Joiner::Callback(callback, locals));
    }
}
