//! **The untyped reference** to a task: cancel it, name it, see its state, be called when it ends.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::join::Joiner;
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::{CancelledBy, Reason};
use crate::task_local::current_locals;

/// An untyped reference to a task: what every task can do, whatever the type of its outcome.
///
/// It keeps neither the task running nor its outcome alive. To clone it is cheap.
///
/// # In asyncio
/// `asyncio.Task`, without `await` and `result`.
#[doc(alias = "AbortHandle")]
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

    /// `None` for a callback: it has a record but is no task.
    pub(crate) fn of_task(record: &RecordRef) -> Option<TaskRef> {
        record.is_task().then(|| TaskRef::new(record.clone()))
    }

    /// Requests the task to stop: it is cancelled where it waits, or at its next await.
    ///
    /// True if the request was counted, false if the task has ended. The task may clean up, and may even swallow the cancel; await
    /// it to know. A task that has not begun never begins.
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
    #[doc(alias = "abort")]
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.record.cancel(&Reason::at(Location::caller()))
    }

    /// Like [`cancel`](TaskRef::cancel), with a reason that the error shows.
    ///
    /// # In asyncio
    /// `task.cancel(msg)`.
    #[track_caller]
    pub fn cancel_with_reason(&self, reason: impl Into<String>) -> bool {
        self.record.cancel(&Reason::said(reason.into(), Location::caller()))
    }

    /// What cancelled the task, and where. `None` if it did not end as cancelled, or while it runs and no request counts (see
    /// [`cancelling`](TaskRef::cancelling)). If several cancels were requested, it is the one that is delivered.
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::{create_task, yield_now};
    ///
    /// let task = create_task(yield_now());
    /// assert!(task.to_ref().cancelled_by().is_none());
    /// task.cancel();
    /// let by = task.to_ref().cancelled_by().unwrap();
    /// assert_eq!(by.to_string(), format!("cancelled at {}", by.at().unwrap()));
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// There is none; the message of `task.cancel(msg)` is all that is known.
    pub fn cancelled_by(&self) -> Option<CancelledBy> {
        crate::cells::look_at_everything();
        cancelled_by(&self.record)
    }

    /// The number of cancel requests that were not taken back.
    ///
    /// # In asyncio
    /// `task.cancelling()`.
    pub fn cancelling(&self) -> usize {
        crate::cells::look_at_everything();
        self.record.cancel_requests() as usize
    }

    /// Takes one cancel request back, and returns the number of those that are left.
    ///
    /// For code that requested the cancel and has caught it, as a time limit does. When none is left, a cancel that has not been
    /// delivered is dropped.
    ///
    /// # In asyncio
    /// `task.uncancel()`.
    pub fn uncancel(&self) -> usize {
        self.record.uncancel() as usize
    }

    /// Whether the task has ended.
    #[doc(alias = "is_finished")]
    pub fn is_done(&self) -> bool {
        crate::cells::look_at_ends();
        self.record.has(Flag::DONE)
    }

    /// Whether the task ended as cancelled.
    pub fn is_cancelled(&self) -> bool {
        crate::cells::look_at_ends();
        self.record.has(Flag::CANCELLED)
    }

    /// Whether the task ended with an error or a panic.
    pub fn is_failed(&self) -> bool {
        crate::cells::look_at_ends();
        self.record.has(Flag::FAILED | Flag::PANICKED)
    }

    /// The task's name.
    pub fn name(&self) -> String {
        self.record.name()
    }

    /// Gives the task another name.
    pub fn set_name(&self, name: impl Into<String>) {
        set_name_of(&self.record, name);
    }

    /// Where the task was created.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.record.spawned_at()
    }

    /// Calls `callback` in the turn after the task has ended; in the next turn if it has ended already.
    ///
    /// The callback begins with the [task-locals](crate::TaskLocal) that the caller has now. Callbacks, and tasks that await this
    /// one, run in the order in which they came. If the loop is closed, `callback` is dropped without a call.
    ///
    /// # Panics
    /// A panic in `callback` is reported to the loop's exception handler.
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

pub(super) fn set_name_of(record: &RecordRef, name: impl Into<String>) {
    let name: String = name.into(); // first: a caller's `into` may run anything
    crate::cells::look_at_everything(); // so that no place that reads a name has to say so
    give_name(record, name.into());
}

/// Names the task, and tells an observer, if there is one.
pub(crate) fn give_name(record: &RecordRef, name: Arc<str>) {
    if record.has(Flag::TRACED) {
        record.owner.tell_name(record, &name);
    }
    record.cold().name.replace(Some(name));
}

pub(super) fn cancelled_by(record: &RecordRef) -> Option<CancelledBy> {
    let is_requested = !record.has(Flag::DONE) && record.cancel_requests() > 0;
    let counts = is_requested || record.has(Flag::CANCELLED);
    counts.then(|| CancelledBy::of(record.reason())).flatten()
}

pub(super) fn describe(what: &str, record: &RecordRef, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    crate::cells::look_at_ends();
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
        .field("name", &record.name())
        .field("state", &format_args!("{state}"))
        .field("spawned_at", &format_args!("{}", record.spawned_at()))
        .finish()
}

pub(super) fn add_done_callback(record: &RecordRef, callback: impl FnOnce(TaskRef) + 'static) {
    crate::cells::look_at_ends(); // callbacks are called in the order in which they were added
    if record.owner.is_closed() {
        drop(callback);
    } else if record.has(Flag::DONE) {
        let task = TaskRef::new(record.clone());
        record.owner.spawn_callback_or_report(async move { callback(task) }, record.spawned_at());
    } else {
        let callback = Box::new(|record| callback(TaskRef::new(record)));
        let locals = current_locals();
        record.cold().joiners.borrow_mut().join(Joiner::Callback(callback, locals));
    }
}
