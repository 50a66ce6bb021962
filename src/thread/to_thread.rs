//! [`to_thread`]: blocking work, awaited.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::handle::IfLost;
use crate::engine::leaf;
use crate::engine::turn::Engine;
use crate::error::{Panic, TaskError};
use crate::task::running_loop;

/// Runs a blocking closure on another thread, and awaits its value.
///
/// The threads are the loop's own small pool; the first starts when it is first needed, and an idle one ends after a
/// while (see [`EventLoopBuilder::threads`](crate::EventLoopBuilder::threads)). The work begins at once, not at the first
/// poll.
///
/// # Cancellation
/// The wait ends; the work does not, for a thread cannot be stopped. It is detached, and its value lost. A loop's `run`
/// waits for work that is out before it returns. A virtual clock does not jump while work is out.
///
/// # Errors
/// [`TaskError::Panicked`] if the closure panics.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// let length = loopwheel::to_thread(|| "some blocking work".len()).await;
/// assert_eq!(length, Ok(18));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.to_thread(func)`, `loop.run_in_executor(None, func)`.
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn to_thread<T, F>(work: F) -> ToThread<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let engine = running_loop();
    let slot = Arc::new(Mutex::new(Slot { outcome: None, waiter: None }));
    let (filled, gate) = (slot.clone(), engine.gate());
    engine.work_goes_out();
    engine.pool().run(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        let outcome = outcome.map_err(|payload| TaskError::Panicked(Panic::new(payload)));
        let mut slot = filled.lock();
        slot.outcome = Some(outcome);
        let waiter = slot.waiter.take();
        drop(slot);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        // Counted on the loop's own thread, so that it looks again when the last work has come back. If the loop is
        // gone nobody counts any more.
        let _ = gate.leave(Box::new(|| running_loop().work_came_back()), IfLost::Nothing);
    }));
    ToThread { slot }
}

struct Slot<T> {
    outcome: Option<Result<T, TaskError>>,
    waiter: Option<Waker>,
}

/// The future of [`to_thread`].
#[must_use = "the work is done, but its value is lost unless awaited"]
pub struct ToThread<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

impl<T> Future for ToThread<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if leaf::interrupted(|| "work on another thread".to_owned()) {
            return Poll::Pending;
        }
        let waker = cx.waker().clone();
        let mut slot = self.slot.lock();
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        let old = slot.waiter.replace(waker);
        drop(slot);
        drop(old); // after the lock: it may run anything
        Poll::Pending
    }
}

impl<T> fmt::Debug for ToThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToThread").field("is_done", &self.slot.lock().outcome.is_some()).finish()
    }
}

/// Work that is out, counted on the loop's thread.
impl Engine {
    fn work_goes_out(self: &Rc<Self>) {
        self.work_out.set(self.work_out.get() + 1);
    }

    fn work_came_back(&self) {
        self.work_out.set(self.work_out.get() - 1);
    }
}
