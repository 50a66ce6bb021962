//! **Checkpoints**: what the futures at the bottom (a sleep, a lock, a join) do so that a cancel can reach them.
//!
//! A checkpoint asks first, when it is polled, whether it is [`interrupted`], and says when it [`waits`]. How a cancel comes
//! there, and out again, is in `delivery.rs`. Any foreign future fits in: it is dropped like everything else.

use std::task::Context;

use super::current::with_current_loop;
pub(crate) use super::delivery::{Told, Visit};
use super::reason::Reason;
use super::record::RecordRef;
use super::turn::Engine;

/// What every checkpoint asks first when it is polled: if true it returns `Pending`, and changes nothing.
#[inline]
pub(crate) fn interrupted(
    told: &Told,
    cx: &Context<'_>,
    waits_for: impl FnOnce() -> String,
) -> bool {
    !is_quiet() && is_interrupted(told, cx, waits_for)
}

#[cold]
fn is_interrupted(told: &Told, cx: &Context<'_>, waits_for: impl FnOnce() -> String) -> bool {
    let is_interrupted = with_current_loop(|engine| match engine.visit(told, cx, waits_for) {
        Visit::Go => false,
        Visit::Wait => true,
        Visit::Interrupted(_) => {
            engine.comes_out(cx);
            true
        }
    });
    is_interrupted.unwrap_or(false)
}

/// The same for a checkpoint that passes a cancel on.
#[cold]
pub(crate) fn visit(told: &Told, cx: &Context<'_>, waits_for: impl FnOnce() -> String) -> Visit {
    with_current_loop(|engine| engine.visit(told, cx, waits_for)).unwrap_or(Visit::Go)
}

/// Whether nothing is being delivered to what is being polled.
#[inline]
pub(crate) fn is_quiet() -> bool {
    with_current_loop(Engine::is_quiet).unwrap_or(true)
}

/// A checkpoint waits: it returns `Pending`, and was not interrupted.
#[inline]
pub(crate) fn waits() {
    with_current_loop(Engine::waits);
}

/// A cancel comes out of what is being polled; the caller returns `Pending`.
pub(crate) fn comes_out(cx: &Context<'_>) {
    with_current_loop(|engine| engine.comes_out(cx));
}

/// Polls, and says whether a cancel has come out of that.
pub(crate) fn whether_a_cancel_comes_out<R>(poll: impl FnOnce() -> R) -> (R, bool) {
    let out = || with_current_loop(Engine::cancels_out).unwrap_or(0);
    let before = out();
    let polled = poll();
    (polled, out() > before)
}

/// Whether a task is being polled on this thread.
pub(crate) fn is_in_task() -> bool {
    with_current_loop(|engine| engine.current.is_some()).unwrap_or(false)
}

/// The task that `poll` awaits, if that is all that it waits for: it is polled once, and each checkpoint says what it is.
pub(crate) fn the_one_task_awaited_in(poll: impl FnOnce()) -> Option<RecordRef> {
    let engine = super::current::running()?;
    engine.is_quiet().then(|| engine.ask_for_the_one_task(poll)).flatten()
}

/// A join is asked what it waits for.
#[cold]
pub(crate) fn is_asked(awaited: &RecordRef) {
    with_current_loop(|engine| engine.is_asked(awaited));
}

/// Why the current task is cancelled, if that is known.
pub(crate) fn reason() -> Reason {
    with_current(|current| current.reason()).unwrap_or_default()
}

/// The current task ends with this reason, if its cancel is not caught.
pub(crate) fn set_reason(reason: Reason) {
    with_current(|current| current.set_reason(reason));
}

/// Polls a join to whose task no cancel is to be passed on.
pub(crate) fn shielded<R>(poll: impl FnOnce() -> R) -> R {
    let Some(engine) = super::current::running() else { return poll() };
    engine.current.hidden(poll)
}

/// Inspects the task that is being polled on this thread, if one is.
#[inline]
pub(crate) fn with_current<R>(inspect: impl FnOnce(&RecordRef) -> R) -> Option<R> {
    with_current_loop(|engine| engine.current.with(inspect)).flatten()
}

/// The task that is being polled on this thread.
pub(crate) fn current() -> Option<RecordRef> {
    with_current(RecordRef::clone)
}
