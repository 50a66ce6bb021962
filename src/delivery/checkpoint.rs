//! **Checkpoints**: what the futures that wait themselves (a sleep, a lock, a join) do so that a cancel can reach them.
//!
//! A checkpoint that is polled first asks whether the poll [`is_plain`]; if it returns `Pending`, it says that it [`waits`]. How a cancel gets
//! there, and out again, is in `delivery/mod.rs`. A foreign future does nothing of this, and can be cancelled all the same: it is
//! dropped with the future around it.

use std::task::{Context, Waker};

use crate::engine::Engine;
use crate::kernel::current::{self, with_current_loop};
use crate::kernel::record::{Header, RecordRef};
use crate::reason::{Reason, Who};
use crate::trace::Wait;

pub(crate) use crate::delivery::{Asked, Told, Visit};

/// Each checkpoint asks this first when it is polled. If it is false, the checkpoint takes a slow path: it asks whether it
/// [`is_interrupted`], and otherwise goes on, and [tells](tell_wait) what it waits for if it is pending.
#[inline]
pub(crate) fn is_plain() -> bool {
    with_current_loop(Engine::is_plain).unwrap_or(true)
}

/// For a checkpoint without a path of its own for that. If it is true, the checkpoint returns `Pending` and changes nothing.
pub(crate) fn interrupted(told: &Told, cx: &Context<'_>) -> bool {
    !is_plain() && is_interrupted(told, cx)
}

/// The same on the slow path.
#[cold]
pub(crate) fn is_interrupted(told: &Told, cx: &Context<'_>) -> bool {
    let is_interrupted = with_current_loop(|engine| match engine.visit(told, cx) {
        Visit::Go => false,
        Visit::Wait => true,
        Visit::Interrupted(_) => {
            engine.comes_out_of_checkpoint();
            true
        }
    });
    is_interrupted.unwrap_or(false)
}

/// A checkpoint has returned `Pending`, and was not interrupted: an observer is told what it waits for, if there is one.
#[cold]
pub(crate) fn tell_wait(on: Wait<'_>) {
    with_current_loop(|engine| engine.tell_wait(on));
}

/// The same for a checkpoint that waits for the end of a task.
#[cold]
pub(crate) fn tell_wait_for(record: &RecordRef) {
    with_current_loop(|engine| engine.tell_wait_for(record));
}

/// Tells the run that is traced now from the ones before it, in a byte that is not zero.
pub(crate) fn traced_run() -> u8 {
    let run = with_current_loop(Engine::traced_run).unwrap_or(0);
    (run % u64::from(u8::MAX)) as u8 + 1
}

/// The same for a checkpoint that waits for several tasks. `each` shows them.
#[cold]
pub(crate) fn tell_wait_for_tasks(
    until: &'static str,
    each: impl FnOnce(&mut dyn FnMut(&RecordRef)),
) {
    with_current_loop(|engine| {
        if engine.is_traced() {
            engine.tell_wait_for_tasks(until, each);
        }
    });
}

/// The same as `is_interrupted` for a checkpoint that passes a cancel on.
#[cold]
pub(crate) fn visit(told: &Told, cx: &Context<'_>) -> Visit {
    with_current_loop(|engine| engine.visit(told, cx)).unwrap_or(Visit::Go)
}

/// Whether nothing is being delivered to what is being polled.
#[inline]
pub(crate) fn is_quiet() -> bool {
    with_current_loop(Engine::is_quiet).unwrap_or(true)
}

/// A checkpoint waits: it was not interrupted, and returns `Pending`.
#[inline]
pub(crate) fn waits() {
    with_current_loop(Engine::waits);
}

/// A cancel comes out of what is being polled; the caller returns `Pending`.
pub(crate) fn comes_out(cx: &Context<'_>) {
    with_current_loop(|engine| engine.comes_out(cx));
}

/// Polls, and returns whether a cancel came out of that.
pub(crate) fn whether_a_cancel_comes_out<R>(poll: impl FnOnce() -> R) -> (R, bool) {
    let out = || with_current_loop(Engine::cancels_out).unwrap_or(0);
    let before = out();
    let polled = poll();
    (polled, out() > before)
}

/// Asks what `poll` awaits. It is called once, and each checkpoint answers that it waits.
pub(crate) fn ask(poll: impl FnOnce()) -> Option<Asked> {
    let engine = current::running()?;
    engine.is_quiet().then(|| engine.ask(poll))
}

/// Whether a checkpoint of the current task keeps a foreign waker other than this one: that of a set.
pub(crate) fn awaits_in_sets(around: &Waker) -> bool {
    let kept = current::with_task(|task| Some(task.cold_if_any()?.foreign_wakers.borrow().alive()));
    kept.flatten().is_some_and(|kept| kept.iter().any(|kept| !kept.will_wake(around)))
}

/// A join answers which task it waits for.
#[cold]
pub(crate) fn is_asked(awaited: &RecordRef) {
    with_current_loop(|engine| engine.is_asked(awaited));
}

/// Why the current task was cancelled, if that is known.
pub(crate) fn reason() -> Reason {
    current::with_task(|current| current.reason()).unwrap_or_default()
}

/// The current task ends with this reason, if its cancel is not caught.
pub(crate) fn set_reason(reason: Reason) {
    current::with_task(|current| current.set_reason(reason));
}

/// Gives the current task a reason while `poll` runs. What is cancelled meanwhile has that reason.
pub(crate) fn with_reason<R>(reason: Reason, poll: impl FnOnce() -> R) -> R {
    let before = self::reason();
    set_reason(reason);
    let polled = poll();
    set_reason(before);
    polled
}

impl Header {
    /// The task as a part of a cause.
    pub(crate) fn who(&self) -> Who {
        let name = self.cold_if_any().and_then(|cold| cold.name.borrow().clone());
        Who { serial: self.serial, name }
    }
}

/// Polls a join to whose task no cancel is to be passed on.
pub(crate) fn shielded<R>(poll: impl FnOnce() -> R) -> R {
    let Some(engine) = current::running() else { return poll() };
    engine.current.hidden(poll)
}
