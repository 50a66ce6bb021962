//! **Reports**: the last way out of a failure.
//!
//! The error of a task goes to the handle that awaits it. If that handle is dropped, the error would be dropped with it, and a
//! program could fail without a word. So a failure that no handle can take any more is reported, once. A panic that has no caller
//! to go to is reported too, and so is what a loop notices of itself (`watch/`). The report goes to the user's exception handler, or
//! to stderr if there is none.
//!
//! | file | idea |
//! |---|---|
//! | `context` | what the exception handler is given |
//! | `mod` (this file) | when a failure is reported, and where the report goes |
//!
//! Rings further inside report through the methods of the engine here. So the kernel can report without knowing what a report is.
//!
//! It stands on `base`, `cells`, `error`, the kernel, `trace` and `task`.

mod context;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::base::panic::{Payload, swallow, text_of};
use crate::engine::Engine;
use crate::error::Panic;
use crate::kernel::current;
use crate::kernel::record::{Flag, RecordRef};
use crate::task::running_loop;

pub use context::{ExceptionContext, Failure};

/// Called with failures that no task and no handle will see.
pub(crate) type ExceptionHandler = Rc<dyn Fn(&ExceptionContext)>;

/// The part of a loop that belongs to this ring.
pub(crate) struct Reporting {
    handler: RefCell<ExceptionHandler>,
    handler_has_panicked: Cell<bool>,
}

impl Reporting {
    pub(crate) fn new(handler: ExceptionHandler) -> Reporting {
        Reporting { handler: RefCell::new(handler), handler_has_panicked: Cell::new(false) }
    }

    /// Whether an exception handler has panicked when it was given a report.
    pub(crate) fn handler_has_panicked(&self) -> bool {
        self.handler_has_panicked.get()
    }
}

impl Engine {
    /// Calls the exception handler.
    pub(crate) fn report(&self, context: &ExceptionContext) {
        self.tell_report(context.failure.kind(), context);
        let handler = self.reporting.handler.borrow().clone();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| handler(context))) {
            self.reporting.handler_has_panicked.set(true);
            // The last resort: the report is at least written to stderr.
            eprintln!("{context}");
            eprintln!("loopwheel: the exception handler itself panicked: {}", text_of(&*payload));
            swallow(payload);
        }
    }

    /// Reports a panic of foreign code that belongs to this task, such as a destructor.
    pub(crate) fn report_panic(&self, record: &RecordRef, payload: Payload) {
        self.report(&ExceptionContext::of(record, Failure::Panicked(Panic::new(payload))));
    }

    /// Reports a panic of foreign code that belongs to no task, to the loop that runs on this thread or else to stderr.
    #[cold]
    pub(crate) fn report_stray_panic(
        what: &'static str,
        payload: Payload,
        location: &'static Location<'static>,
    ) {
        let failure = Failure::Panicked(Panic::new(payload));
        report_context(&ExceptionContext {
            what,
            ..ExceptionContext::of_no_task(failure, location)
        });
    }

    /// Reports a panic of foreign code that belongs to this loop, and to none of its tasks.
    #[cold]
    pub(crate) fn report_panic_of(
        &self,
        what: &'static str,
        payload: Payload,
        location: &'static Location<'static>,
    ) {
        let failure = Failure::Panicked(Panic::new(payload));
        self.report(&ExceptionContext { what, ..ExceptionContext::of_no_task(failure, location) });
    }

    /// No handle is left that could take the outcome: reports it if it is a failure, and drops it.
    pub(crate) fn drop_unclaimed_outcome(&self, record: &RecordRef) {
        self.report_failure(record);
        if record.has(Flag::GROUPED) && record.has(Flag::FAILED) {
            return; // its group takes the error
        }
        if let Some(payload) = record.drop_outcome() {
            self.report_panic(record, payload);
        }
    }

    /// Reports a failure that was neither seen nor reported before.
    fn report_failure(&self, record: &RecordRef) {
        if record.has(Flag::FAILED | Flag::PANICKED) && !record.has(Flag::SEEN) {
            record.set(Flag::SEEN); // first: the handler may run any code
            let failure = if record.has(Flag::PANICKED) {
                let panic = record.cold_if_any().and_then(|cold| cold.panic.borrow().clone());
                panic.map(Failure::Panicked)
            } else {
                record.failure().map(Failure::Failed)
            };
            if let Some(failure) = failure {
                self.report(&ExceptionContext::of(record, failure));
            }
        }
    }

    /// Reports the failure of a task whose shield was cancelled, even if it was seen: as in asyncio.
    pub(crate) fn report_orphan_of_shield(&self, record: &RecordRef) {
        if record.cold_if_any().is_some_and(|cold| cold.is_orphan_of_shield.get()) {
            record.clear(Flag::SEEN);
            self.report_failure(record);
        }
    }

    pub(crate) fn set_exception_handler(&self, handler: ExceptionHandler) {
        let before = self.reporting.handler.replace(handler);
        drop(before); // after the borrow: it may run any code
    }
}

/// Sets the exception handler of the running loop: it is called with failures that no task or handle will see.
///
/// A panic of the handler ends there: it is written to stderr, and the loop goes on. In a test of [`run_test`](crate::run_test()) it
/// takes the place of the handler that makes such failures fail the test.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{create_task, set_exception_handler, yield_now};
///
/// set_exception_handler(|context| println!("caught: {context}"));
/// drop(create_task(async { panic!("nobody asked") }));
/// yield_now().await;
/// # });
/// ```
///
/// # In asyncio
/// `loop.set_exception_handler(handler)`.
#[track_caller]
pub fn set_exception_handler(handler: impl Fn(&ExceptionContext) + 'static) {
    crate::cells::look_at_everything();
    running_loop().set_exception_handler(Rc::new(handler));
}

/// Reports a failure of your own as the loop reports its: to its exception handler, or to stderr if it has none, with the task that
/// runs. For what has no caller to go to: in a callback, in a destructor, in a task that goes on after an error.
///
/// Without a running loop it is written to stderr.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::{cell::RefCell, rc::Rc};
/// use loopwheel::{call_exception_handler, set_exception_handler};
///
/// let reports = Rc::new(RefCell::new(vec![]));
/// let sink = reports.clone();
/// set_exception_handler(move |context| sink.borrow_mut().push(context.to_string()));
/// call_exception_handler("the cache is gone, going on without it");
/// assert!(reports.borrow()[0].contains("the cache is gone"));
/// # });
/// ```
///
/// # In asyncio
/// `loop.call_exception_handler({"message": text})`.
#[track_caller]
pub fn call_exception_handler(text: impl Into<String>) {
    let text = text.into(); // first: a caller's `into` may run anything
    report_context(&ExceptionContext::of_program(current::task().as_ref(), text));
}

/// Reports that the clean-up of the running task was cut off, in the `finally_within` of the line `at`.
#[cold]
pub(crate) fn report_clean_up_cut_off(grace: Duration, at: &'static Location<'static>) {
    if let Some(task) = current::task() {
        report_context(&ExceptionContext::of(&task, Failure::CleanUpCutOff { grace, at }));
    }
}

/// Reports the failure of a call, or of blocking work, that was scheduled at `location`.
pub(crate) fn report(failure: Failure, location: &'static Location<'static>) {
    report_context(&ExceptionContext::of_no_task(failure, location));
}

/// Reports to the loop that runs on this thread (or is being closed), or else to stderr.
fn report_context(context: &ExceptionContext) {
    match current::running() {
        Some(engine) => engine.report(context),
        None => eprintln!("loopwheel: {context}"),
    }
}
