//! [`to_thread`]: blocking work, awaited.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;

use super::handle::{Call, Gate, IfLost};
use crate::engine::foreign::KeptWaker;
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
/// The wait ends; the work does not, for a thread cannot be stopped. It is detached, and its value lost (a panic is reported to
/// the loop's exception handler). A loop's `run`
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
    let (gate, began_at) = (engine.gate(), Location::caller());
    let slot = Arc::new(Mutex::new(Slot { outcome: None, state: State::Out, waiter: None }));
    let back = CameBack { slot: slot.clone(), gate: gate.clone(), began_at };
    engine.work_goes_out();
    engine.pool().run(Box::new(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work));
        back.with(outcome.map_err(|payload| TaskError::Panicked(Panic::new(payload))));
    }));
    ToThread { slot, gate, began_at }
}

struct Slot<T> {
    outcome: Option<Result<T, TaskError>>,
    state: State,
    waiter: Option<KeptWaker>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Out,
    Back,
    /// Nobody will take the outcome.
    Abandoned,
}

impl<T> Slot<T> {
    /// A panic that nobody will take.
    fn left_panic(&mut self) -> Option<Panic> {
        match self.outcome.take() {
            Some(Err(TaskError::Panicked(panic))) => Some(panic),
            _ => None,
        }
    }
}

/// The thread's end of it. Whatever happens there, the loop is told that the work has come back.
struct CameBack<T: Send + 'static> {
    slot: Arc<Mutex<Slot<T>>>,
    gate: Arc<Gate>,
    began_at: &'static Location<'static>,
}

impl<T: Send + 'static> CameBack<T> {
    fn with(self, outcome: Result<T, TaskError>) {
        let mut slot = self.slot.lock();
        slot.outcome = Some(outcome);
        if slot.state == State::Out {
            slot.state = State::Back;
        }
        let waiter = slot.waiter.take();
        drop(slot);
        if let Some(waiter) = waiter {
            waiter.wake(); // if it panics, `drop` below still does its part
        }
    }
}

impl<T: Send + 'static> Drop for CameBack<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        let is_abandoned = slot.state == State::Abandoned;
        let panic = if is_abandoned { slot.left_panic() } else { None };
        drop(slot);
        if let Some(panic) = panic {
            self.gate.report(panic, self.began_at);
        }
        // Counted on the loop's own thread, so that it looks again when the last work has come back. If the loop is
        // gone nobody counts any more.
        let count = || running_loop().work_came_back();
        let _ = self.gate.leave(Call::new(count, IfLost::Nothing, self.began_at));
    }
}

/// The future of [`to_thread`].
#[must_use = "the work is done, but its value is lost unless awaited"]
pub struct ToThread<T> {
    slot: Arc<Mutex<Slot<T>>>,
    gate: Arc<Gate>,
    began_at: &'static Location<'static>,
}

impl<T> Future for ToThread<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if leaf::interrupted(cx, || "work on another thread".to_owned()) {
            return Poll::Pending;
        }
        // A waker of this loop's own need not count as somebody else's: the work that is out is counted.
        let waker = if self.gate.is_own(cx.waker()) {
            KeptWaker::of(cx.waker())
        } else {
            KeptWaker::clone_of(cx.waker())
        };
        let mut slot = self.slot.lock();
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        assert!(slot.state == State::Out, "the outcome of a `ToThread` was taken before");
        let old = slot.waiter.replace(waker);
        drop(slot);
        drop(old); // after the lock: it may run anything
        Poll::Pending
    }
}

impl<T> Drop for ToThread<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        slot.state = State::Abandoned;
        let (panic, waiter) = (slot.left_panic(), slot.waiter.take());
        drop(slot);
        drop(waiter); // after the lock: it may run anything
        if let Some(panic) = panic {
            self.gate.report(panic, self.began_at);
        }
    }
}

impl<T> fmt::Debug for ToThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.slot.lock().outcome.is_some();
        f.debug_struct("ToThread").field("is_done", &is_done).finish_non_exhaustive()
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
