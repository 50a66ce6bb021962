//! **Yielding**: one turn for all other tasks that are ready.
//!
//! Being ready in the second poll would do if a poll came only after the task's own wake-up. But a task may be woken for another
//! reason, before the others have run. So the future notes the position that its wake-up has in the ready queue, and is ready when
//! the queue has passed that position.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::delivery::{Told, checkpoint};
use crate::engine::Engine;
use crate::kernel::current::with_current_loop;
use crate::trace::Wait;

/// Lets all other tasks that are ready run for one turn.
///
/// # Cancellation
/// Nothing is lost.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{create_task, yield_now};
///
/// let task = create_task(async {});
/// assert!(!task.is_done());
/// yield_now().await;
/// assert!(task.is_done());
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.sleep(0)`.
pub fn yield_now() -> YieldNow {
    YieldNow { position: 0, told: Told::default() }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct YieldNow {
    /// The position in the ready queue that must be passed. Zero before the first poll.
    position: u64,
    told: Told,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The usual case, with one access to the loop. `None` leads to the slow path.
        let position = self.position;
        let polled = with_current_loop(|engine| {
            if !engine.is_plain() {
                return None;
            }
            if position == 0 {
                self.position = engine.next_position();
                engine.waits();
                Some(Poll::Pending)
            } else {
                engine.tasks.ready.has_passed(position).then_some(Poll::Ready(()))
            }
        });
        match polled {
            Some(Some(Poll::Ready(()))) => return Poll::Ready(()),
            Some(Some(Poll::Pending)) => {}
            Some(None) | None => return self.poll_slow_path(cx),
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl YieldNow {
    /// While a cancel is being delivered or an observer is told, or under another executor.
    #[cold]
    fn poll_slow_path(&mut self, cx: &Context<'_>) -> Poll<()> {
        if checkpoint::is_interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        let position = self.position;
        if position == 0 {
            self.position = with_current_loop(Engine::next_position).unwrap_or(1);
        } else if with_current_loop(|engine| engine.is_past(position)).unwrap_or(true) {
            return Poll::Ready(()); // under another executor: ready in the second poll
        }
        checkpoint::waits();
        checkpoint::tell_wait(Wait::NextTurn);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Engine {
    /// The position of the next push to the ready queue.
    fn next_position(&self) -> u64 {
        self.tasks.ready.next_position()
    }

    /// Whether this position was passed. One that is ahead of the next push is of another loop, in which the future was polled before.
    /// Where the order is explored the queue is in none: there it has waited for its wake-up, and is ready.
    fn is_past(&self, position: u64) -> bool {
        self.tasks.ready.has_passed(position)
            || position > self.next_position()
            || self.is_explored()
    }
}
