//! **A time limit of zero around a task**, as in asyncio's `wait_for(task, 0)`: the task is cancelled, and then awaited.
//!
//! A timer of zero fires in the next turn; until then the task could run once more, which asyncio does not allow. So the limit
//! cancels the task at once, by asyncio's rules: the cancel is no request of the task that waits here; and if the waiting task is
//! cancelled too, the wait ends, and nothing more is forwarded to the cancelled task.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::limit::{Begun, Limit, Phase, poll_again};
use crate::delivery::{Visit, checkpoint};
use crate::error::TimedOut;
use crate::kernel::current;
use crate::scope::{How, Seen};

/// Cancels the task that the body awaits, if the body awaits nothing else. Otherwise the limit's timer fires in the next turn.
#[cold]
pub(super) fn cancel_at_once<F: Future>(
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, TimedOut>> {
    // Only its checkpoints know what the body awaits: poll it once more to ask them.
    let mut output = None;
    let body = held.as_mut().as_pin_mut();
    let asked = checkpoint::ask(|| output = body.map(|body| body.poll(cx)));
    if let Some(Poll::Ready(output)) = output {
        limit.leave();
        return Poll::Ready(Ok(output)); // a foreign future may be ready in any poll
    }
    let (Some(asked), Some(begun)) = (asked, limit.begun.get()) else { return Poll::Pending };
    begun.scope.keeps(asked.wakers);
    let Some(awaited) = asked.one else { return Poll::Pending };
    // A set polls only what was woken, so there may be more in it: then it is a cancel like any other, though not a turn later.
    if checkpoint::awaits_in_sets(cx.waker()) {
        limit.expire_now(begun);
        return poll_again(limit, held, cx);
    }
    // This cancel takes the place of the timer's.
    limit.phase.set(Phase::CancelledAtOnce);
    drop(begun.timer.take());
    begun.cancelled.get_or_init(|| awaited);
    // The waiting task is not cancelled, but what it cancels has its reason from there.
    let reason = current::with_task(|task| limit.reason(task)).unwrap_or_default();
    checkpoint::with_reason(reason, || {
        poll_cancelled_at_once(begun, limit, held, cx, Some(How::Several))
    })
}

/// A later poll: waits for the end of the task that was cancelled.
#[cold]
pub(super) fn cancelled_at_once<F: Future>(
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, TimedOut>> {
    let begun = limit.begun.get().expect("its body waits");
    match checkpoint::visit(&begun.told, cx) {
        Visit::Go => poll_cancelled_at_once(begun, limit, held, cx, None),
        Visit::Wait => Poll::Pending,
        // The waiting task is cancelled too. The other one has its cancel already, so this one is not forwarded.
        Visit::Interrupted(_) => {
            held.set(None);
            limit.phase.set(Phase::Passed);
            checkpoint::comes_out(cx);
            Poll::Pending
        }
    }
}

fn poll_cancelled_at_once<F: Future>(
    begun: &Begun,
    limit: &Limit,
    mut held: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
    how: Option<How>,
) -> Poll<Result<F::Output, TimedOut>> {
    let engine = current::running().expect("a task is polled by a loop");
    let mut future = held.as_mut().as_pin_mut().expect("its body waits");
    let waker = cx.waker();
    match begun.scope.poll(&engine, how, waker, || future.as_mut().poll(cx)) {
        Seen::Pending => {
            // The current task does not count as awaiting that task: a cancel must interrupt this wait, not be forwarded.
            begun.cancelled.get().iter().for_each(|cancelled| {
                current::with_task(|current| current.stops_awaiting(cancelled));
            });
            Poll::Pending
        }
        Seen::Ready(output) => {
            limit.phase.set(Phase::Left);
            Poll::Ready(Ok(output))
        }
        Seen::CameOut => {
            held.set(None);
            limit.phase.set(Phase::Left);
            engine.catches("a time limit");
            Poll::Ready(Err(TimedOut))
        }
    }
}
