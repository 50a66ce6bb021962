//! **Leaves**: how the futures at the bottom (a sleep, a lock, a join) learn what their task is told.
//!
//! asyncio throws `CancelledError` into a coroutine at its `await`. A future cannot be thrown into; it can only
//! be dropped, by somebody who holds it. So *raising is returning `Pending` with a bit set*:
//!
//! ```text
//!   loop           sets the signal to Raised and polls the task
//!     catching     polls what it holds      ── catch_cancel, wait_for, timeout, …
//!       async fn   polls what it awaits
//!         leaf     sees Raised: returns Pending, and does nothing else
//!       async fn   returns Pending
//!     catching     sees Pending and Raised: takes the signal down, drops what it holds, goes on with
//!                  `Err(Cancelled)`
//!   loop           sees Pending and Raised still: nobody caught it; drops the task, which ends cancelled
//! ```
//!
//! Any foreign future fits in: it is dropped like everything else.
//!
//! The same signal serves a second purpose. When the loop finds a deadlock it polls each waiting task once with
//! [`Signal::Asking`], and every leaf answers what it waits for. So the report costs nothing until it is needed.

use std::task::Context;

use super::current::{running, with_current_loop};
use super::record::RecordRef;
use super::waker::TaskId;
use crate::error::Reason;

/// What the leaves of the task that is being polled are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Nothing.
    Quiet,
    /// The task is cancelled: return `Pending`.
    Raised,
    /// Say what you wait for, and return `Pending`.
    Asking,
}

/// What every leaf asks first when it is polled: if true it returns `Pending`, and changes nothing.
///
/// Whoever polls it through a waker that is not ours (a set of futures) takes the wake-up for used, and would not poll it
/// again when somebody else has caught the cancel: so it is woken once more.
#[inline]
pub(crate) fn interrupted(cx: &Context<'_>, waits_for: impl FnOnce() -> String) -> bool {
    let signal = with_current_loop(|engine| engine.signal.get()).unwrap_or(Signal::Quiet);
    signal != Signal::Quiet && is_told(signal, cx, waits_for)
}

#[cold]
fn is_told(signal: Signal, cx: &Context<'_>, waits_for: impl FnOnce() -> String) -> bool {
    match signal {
        Signal::Quiet => false,
        Signal::Raised => {
            if TaskId::of(cx.waker()).is_none() {
                cx.waker().wake_by_ref();
            }
            true
        }
        Signal::Asking => {
            let answer = waits_for();
            with_current_loop(|engine| engine.answers.borrow_mut().push(answer));
            true
        }
    }
}

/// Is a cancel on its way out through this poll?
pub(crate) fn is_raised() -> bool {
    with_current_loop(|engine| engine.signal.get()) == Some(Signal::Raised)
}

/// Sends a cancel on its way out; the caller returns `Pending`. False if no task is being polled.
pub(crate) fn raise() -> bool {
    let raised = with_current_loop(|engine| {
        let is_polling = engine.current.is_some();
        if is_polling {
            engine.signal.set(Signal::Raised);
        }
        is_polling
    });
    raised == Some(true)
}

/// Takes the signal down, if it was up: the caller catches the cancel.
///
/// The task is queued once more, so that another branch of a foreign `join!`, which saw the signal and
/// returned without registering, is polled again.
pub(crate) fn catch() -> bool {
    let caught = with_current_loop(|engine| {
        let is_raised = engine.signal.get() == Signal::Raised;
        if is_raised {
            engine.signal.set(Signal::Quiet);
            engine.current.with(|current| engine.make_record_ready(current));
        }
        is_raised
    });
    caught == Some(true)
}

/// Takes the signal down without more ado, if it was raised for this task: what it was raised for is over.
pub(crate) fn take_down(task: &RecordRef) {
    with_current_loop(|engine| {
        let is_current = engine.current.with(|current| current == task) == Some(true);
        if is_current && engine.signal.get() == Signal::Raised {
            engine.signal.set(Signal::Quiet);
        }
    });
}

/// Why the current task is cancelled, if somebody said.
pub(crate) fn reason() -> Option<Reason> {
    current()?.cold_if_any()?.reason.borrow().clone()
}

/// The current task ends with this reason, if its cancel is not caught.
pub(crate) fn set_reason(reason: Option<Reason>) {
    if let Some(current) = current()
        && (reason.is_some() || self::reason().is_some())
    {
        current.cold().reason.replace(reason);
    }
}

/// Polls a join whose task no cancel is to be passed on to.
pub(crate) fn shielded<R>(poll: impl FnOnce() -> R) -> R {
    let Some(engine) = running() else { return poll() };
    engine.current.hidden(poll)
}

/// Looks at the task that is being polled on this thread, if one is.
#[inline]
pub(crate) fn with_current<R>(look: impl FnOnce(&RecordRef) -> R) -> Option<R> {
    with_current_loop(|engine| engine.current.with(look)).flatten()
}

/// The task that is being polled on this thread.
pub(crate) fn current() -> Option<RecordRef> {
    with_current(RecordRef::clone)
}
