//! **Catching a cancel**: what `except CancelledError` and `finally` are in asyncio.
//!
//! A cancelled task is unwound by dropping its futures, from the innermost out, until a frame catches the cancel. Destructors run
//! on the way, so `Drop` is enough for clean-up without an `await`, as always in Rust. But a destructor cannot await. For clean-up
//! that awaits there is [`catch_cancel`] and, on top of it, [`finally`].
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | [`catch_cancel`], [`finally`] |
//! | `frame` | a future that is held in place, and dropped in place when a cancel is caught |
//! | `cleanup` | what [`finally`] takes as a clean-up |
//! | `shield` | awaiting a task without passing a cancel on to it |
//!
//! It stands on `base`, `reason`, `error`, the kernel, `delivery`, `scope` and `task`.

mod cleanup;
mod frame;
mod shield;

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::base::panic::{self, Payload};
use crate::delivery::checkpoint;
use crate::error::Cancelled;
use crate::kernel::current;
use crate::scope::{Scope, Seen};
pub use cleanup::{Cleanup, Closure, LazyFuture};
pub(crate) use frame::{Frame, Held};
pub use shield::shield;

/// Awaits `future`. A cancel of the task that arrives meanwhile is caught and becomes a value.
///
/// The future is dropped when it is cancelled. The code after this may await, clean up, and then either let the cancel go on with
/// [`Cancelled::reraise`], or swallow it by going on. The request to cancel still counts then, and a time limit or a group around
/// this code would let it go on in the end. Code that has dealt with a cancel for good takes its request back, with
/// [`TaskRef::uncancel`](crate::TaskRef::uncancel).
///
/// A future that is *dropped* is not cancelled, and the code after this does not run: the loser of a `select!`, a branch beside an
/// `Err` in `try_join!`, what a cancelled task merely kept. To stop such a future with its clean-up, await
/// `wait_for(&mut future, Duration::ZERO)`.
///
/// In a foreign `join!` or set of futures each branch gets the cancel: each that catches runs its own clean-up, at the same time,
/// and the task ends when all of them have let the cancel go on. If `future` itself is a `join!`, this catches when all its
/// branches have ended. A future that is kept, and not awaited when the cancel comes, is not cancelled: the code after this may
/// await it.
///
/// # Cancellation
/// Caught. A second cancel, during the clean-up, is raised there; a [`protect`](crate::protect()) holds it back.
///
/// # Errors
/// [`Cancelled`], with the reason if there is one.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{catch_cancel, create_task, sleep, yield_now};
///
/// let task = create_task(async {
///     if let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(60))).await {
///         sleep(Duration::from_millis(10)).await; // clean-up may wait
///         cancelled.reraise().await;
///     }
/// });
/// yield_now().await;
/// task.cancel();
/// assert!(task.await.unwrap_err().is_cancelled());
/// # });
/// ```
///
/// # In asyncio
/// `try: await future` / `except CancelledError:`.
pub fn catch_cancel<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Cancelled>> {
    Held::new(future, CatchCancel::default())
}

#[derive(Default)]
struct CatchCancel {
    scope: Scope,
}

impl<F: Future> Frame<F> for CatchCancel {
    type Output = Result<F::Output, Cancelled>;

    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut future = held.as_mut().as_pin_mut().expect("`catch_cancel` was polled after its end: a future is not to be polled when it was ready");
        let Some(engine) = current::running() else { return future.poll(cx).map(Ok) };
        let waker = cx.waker();
        match self.scope.poll(&engine, None, waker, || future.as_mut().poll(cx)) {
            Seen::Ready(output) => {
                held.set(None); // it has ended: a further poll panics
                Poll::Ready(Ok(output))
            }
            Seen::Pending => Poll::Pending,
            Seen::CameOut => {
                engine.catches("`catch_cancel`");
                held.set(None);
                Poll::Ready(Err(Cancelled { reason: checkpoint::reason() }))
            }
        }
    }
}

impl Cancelled {
    /// Lets the cancel go on: the task unwinds from here, to the next frame that catches it or to the task's end.
    ///
    /// In a branch of a `join!` or a set only this branch unwinds. The other branches are not cancelled, and the task ends
    /// cancelled when they have ended. In a `select!` that another branch wins, the cancel is lost with this branch.
    ///
    /// # Panics
    /// When polled outside a task.
    ///
    /// # In asyncio
    /// `raise`.
    pub async fn reraise(self) -> ! {
        poll_fn(|cx| {
            assert!(current::task().is_some(), "`reraise` was polled outside a task: await it where the cancel was caught, in the task");
            checkpoint::comes_out(cx);
            checkpoint::set_reason(self.reason.clone());
            Poll::<()>::Pending
        })
        .await;
        pending().await
    }
}

/// Awaits `body`, and then `cleanup`, however `body` ended: with a value, cancelled, or in a panic.
///
/// The clean-up is an async closure, or a future, that returns `()`: neither does anything before `body` has ended. What can fail in
/// it is handled there, or left out: `let _ = stream.close().await;`.
///
/// There are three ways to clean up. A destructor, if that needs no await. This one, if the clean-up is the same however the body
/// has ended. And [`catch_cancel`], if it is not, or if the clean-up uses what the body has borrowed: after `catch_cancel` the body
/// is gone. Body and clean-up of a `finally` exist at the same time, so only one of them may borrow a thing mutably (E0499).
///
/// A destructor that starts a task to close something is no fourth way: a task that a destructor creates when the run ends never
/// begins, because the end of the run cancels it first. Keep such work in an owner with an `async fn close(self)`, or give it to
/// [`to_thread`](crate::to_thread()), for which the run waits.
///
/// # Cancellation
/// `cleanup` runs and may await; then the cancel goes on. A second cancel interrupts `cleanup`, and so does a time limit around this
/// that expires meanwhile; [`finally_within`](crate::finally_within) holds those back. If this future is *dropped* before its end,
/// `cleanup` does not run. That happens to the loser of a `select!`, to a future that a task only keeps when it ends, and to all that
/// is left when an [`EventLoop`](crate::EventLoop) is dropped.
///
/// # Panics
/// A panic of `body` goes on after `cleanup`.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{finally, sleep, wait_for};
///
/// let work = finally(sleep(Duration::from_secs(60)), async || {
///     sleep(Duration::from_millis(10)).await;
///     println!("closed");
/// });
/// assert!(wait_for(work, Duration::from_secs(1)).await.is_err());
/// # });
/// ```
///
/// # In asyncio
/// `try: … finally: …`.
pub async fn finally<F: Future, By>(body: F, cleanup: impl Cleanup<By>) -> F::Output {
    let ended = catch_all(body).await;
    cleanup.start().await;
    match ended {
        Ok(output) => output,
        Err(Ending::Cancelled(cancelled)) => cancelled.reraise().await,
        Err(Ending::Panicked(payload)) => resume_unwind(payload),
    }
}

/// How a body ended, if it did not end with a value.
pub(crate) enum Ending {
    Cancelled(Cancelled),
    Panicked(Payload),
}

/// Like [`catch_cancel`], and catches a panic too.
pub(crate) fn catch_all<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Ending>> {
    Held::new(future, CatchAll::default())
}

#[derive(Default)]
struct CatchAll {
    catch_cancel: CatchCancel,
}

impl<F: Future> Frame<F> for CatchAll {
    type Output = Result<F::Output, Ending>;

    fn poll(&mut self, mut held: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.catch_cancel.poll(held.as_mut(), cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(ended)) => {
                let kept = panic::keep_during(ended, || held.set(None));
                Poll::Ready(match kept {
                    Ok(ended) => ended.map_err(Ending::Cancelled),
                    Err(payload) => Err(Ending::Panicked(payload)),
                })
            }
            Err(payload) => {
                panic::quietly(|| held.set(None));
                Poll::Ready(Err(Ending::Panicked(payload)))
            }
        }
    }
}
