//! **Clean-up that nothing cuts**: [`protect`], and [`finally_within`] on top of it.
//!
//! A clean-up that awaits can be interrupted itself: by a second cancel, by a time limit around it, by its group. To put it into a
//! task of its own, behind a `shield`, would be simple. But then what it cleans up has to be `'static`, and the code around does not
//! wait for it. So a protection is a frame in the future's place, and a *checkpoint*, as a join is: what arrives from outside
//! interrupts the frame, and the frame *holds* its branch, while its future is polled as if nothing had arrived.
//!
//! ```text
//!  task.cancel(), a limit, a group
//!        │ delivery (First, Mark, Deliver)
//!        ▼
//!  ┌─ protection ─────────────────────────────────────────────────────────────────────────────┐
//!  │ notes the delivery as a checkpoint does; keeps its reason; holds the branch              │
//!  │     ┌─ inside: quiet; no request that came later is known ─────────────────────────────┐ │
//!  │     │  a time limit, the grace ─▶ the future, with limits, groups, tasks of its own    │ │
//!  │     └──────────────────────────────────────────────────────────────────────────────────┘ │
//!  └─ the future has ended: nothing was held back ─▶ `Ok`, or `TimedOut` if the grace is over ┘
//!        │                  a delivery is held ─▶ the cancel comes out here, and goes on
//!        ▼
//!  the limit, the group or the task that delivered it
//! ```
//!
//! - *The end of the grace* is that of a time limit: it cancels the future by a cancel of its own, and waits for what the future
//!   still cleans up. From then on nothing is held back: a cancel that arrives cancels the future once more.
//! - *What is held back* is known by the number that the frame has noted (`delivery/`), and lasts as long as the scope that has
//!   delivered it. If a limit is dropped meanwhile, its cancel has gone with it. A request that was taken back, with `uncancel`, is
//!   gone too.
//! - *Requests*: a limit or group inside compares the requests that its task has with those on entry. Those that are held back do not
//!   count there (`requests_known`), or it would take its own cancel for one from outside.
//! - *A task that is awaited inside*: a cancel that was forwarded to it at once would pass the frame by. So the frame counts itself
//!   among what waits, as a second thing: the task awaits several, and is polled.
//! - *A protection in another one* ends with the outer one at the latest: the outer one's end is a cancel from inside that, and
//!   `is_grace_over` says so to the inner frames.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | [`protect`], [`finally_within`] |
//! | `frame` | the frame: what it holds back, and for how long |
//! | `inside` | what a future in a protection does not see |
//! | `grace` | the time limit that cancels more than once |
//!
//! It stands on `reason`, `error`, the kernel, `kept_waker`, `delivery`, `aside`, `cancel`, `catch`, `report` and `timeout`.

mod frame;
mod grace;
mod inside;

use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::time::Duration;

use crate::catch::{Cleanup, Ending, Held, catch_all};
use crate::error::TimedOut;
use crate::report::report_clean_up_cut_off;
use frame::Protection;

/// Awaits `future`, and holds every cancel back until it has ended, or until `grace` has passed.
///
/// Within the grace time no cancel of the task, no time limit around this, no group and no end of the run interrupts `future`.
/// Limits and groups *inside* `future` work as always. When the grace time has passed, `future` is cancelled itself, and
/// [`CancelledBy`](crate::CancelledBy) says so. From then on cancels from outside reach it, so it cannot go on for ever.
///
/// A cancel that was held back is delivered when `future` has ended, as if it had been requested then: a time limit around this gives
/// [`TimedOut`], and a cancelled task is cancelled. Several are held back as one; each is counted
/// ([`cancelling`](crate::TaskRef::cancelling)), and gone if it is taken back ([`uncancel`](crate::TaskRef::uncancel)).
///
/// The time begins as that of [`wait_for`](crate::wait_for()) does. A protection in a protection ends with the outer one at the
/// latest. If `future` awaits a task, only cancels that are forwarded from here are held back; a task that is cancelled
/// itself, as at the end of the run, needs a `protect` of its own.
///
/// [`shield()`](crate::shield()) is something else: it ends the wait for a *task*, at once, and lets the task run on alone; this
/// keeps the wait itself from ending.
///
/// # Cancellation
/// Held back, as above. If a cancel was held back, what `future` returned is lost when it comes out; keep it in a variable outside
/// of `future`. Only a hard drop ends `future` early: the loop is dropped, or it loses a `select!`.
///
/// # Errors
/// [`TimedOut`] if the grace time passed, and `future` let that cancel go on.
///
/// # Panics
/// When polled outside a task. A panic of `future` goes on at once; a cancel that was held back stays counted.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, protect, sleep, wait_for};
///
/// let second = Duration::from_secs(1);
/// let saved = async {
///     protect(sleep(3 * second), 5 * second).await.unwrap();
///     println!("never: the limit has expired meanwhile");
/// };
/// assert!(wait_for(saved, second).await.is_err());
/// assert_eq!(now().as_secs_f64(), 3.0); // not 1: the sleep was not cut
///
/// let hangs = protect(std::future::pending::<()>(), 5 * second);
/// assert!(hangs.await.is_err()); // after five more
/// # });
/// ```
///
/// # In asyncio
/// There is none: `asyncio.shield(task)` and a loop that awaits the task again after each `CancelledError`.
#[doc(alias = "uninterrupted")]
#[doc(alias = "uncancellable")]
#[doc(alias = "NonCancellable")]
#[doc(alias = "CancelScope")]
#[doc(alias = "shield")]
#[track_caller]
pub fn protect<F: Future>(
    future: F,
    grace: Duration,
) -> impl Future<Output = Result<F::Output, TimedOut>> {
    let protected = Held::new(future, Protection::new(grace, Location::caller()));
    async move {
        match protected.await {
            (ended, None) => ended,
            (_, Some(cancelled)) => cancelled.reraise().await,
        }
    }
}

/// Awaits `body`, and then `cleanup`, however `body` ended, as [`finally`](crate::finally()) does; but for the time of `grace`
/// nothing interrupts `cleanup`.
///
/// `cleanup` is in a [`protect`]: a second cancel, a time limit around this, a group and the end of the run are held back until it
/// has ended. When `grace` has passed, it is cancelled, that it was cut off is reported to the loop's exception handler
/// ([`Failure::CleanUpCutOff`](crate::Failure::CleanUpCutOff)), and then this goes on as after a clean-up that has ended. A clean-up
/// that has to know of that itself is a [`finally`](crate::finally()) with a [`protect`] in it.
///
/// # Cancellation
/// A cancel of `body` goes on after `cleanup`; so does one that was held back. If this future is dropped before its end, `cleanup`
/// does not run to its end: in a task that is dropped hard, as the loser of a `select!`, or kept by a task that ends.
///
/// # Panics
/// A panic of `body` goes on after `cleanup`, also if a cancel was held back. When `cleanup` is polled outside a task.
///
/// # Clean-up that uses what the body has borrowed
/// Body and clean-up exist at the same time, so they cannot both borrow one thing mutably (E0499). After
/// [`catch_cancel`](crate::catch_cancel) the body is gone:
///
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{TaskSet, catch_cancel, create_task, finally, protect, sleep, yield_now};
///
/// async fn work(set: &mut TaskSet<u32, ()>) {
///     set.create_task(1, finally(sleep(Duration::from_secs(60)), async || println!("closed")));
///     while set.next().await.is_some() {}
/// }
///
/// let task = create_task(async {
///     let mut set = TaskSet::new();
///     let ended = catch_cancel(work(&mut set)).await;
///     let _ = protect(set.shutdown(), Duration::from_secs(5)).await;
///     if let Err(cancelled) = ended {
///         cancelled.reraise().await;
///     }
/// });
/// yield_now().await;
/// task.cancel();
/// assert!(task.await.unwrap_err().is_cancelled());
/// # });
/// ```
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{create_task, finally_within, now, sleep, yield_now};
///
/// let second = Duration::from_secs(1);
/// let task = create_task(finally_within(sleep(60 * second), 5 * second, async move || {
///     sleep(2 * second).await;
///     println!("closed");
/// }));
/// yield_now().await;
/// task.cancel();
/// sleep(second).await;
/// task.cancel(); // is held back
/// assert!(task.await.unwrap_err().is_cancelled());
/// assert_eq!(now().as_secs_f64(), 2.0);
/// # });
/// ```
///
/// # In asyncio
/// There is none: a second `CancelledError` cuts what is in `finally:`.
#[doc(alias = "uncancellable")]
#[doc(alias = "AsyncExitStack")]
#[track_caller]
pub fn finally_within<F: Future, By>(
    body: F,
    grace: Duration,
    cleanup: impl Cleanup<By>,
) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        let ended = catch_all(body).await;
        let (cleaned, held_back) = Held::new(cleanup.start(), Protection::new(grace, at)).await;
        if cleaned.is_err() {
            report_clean_up_cut_off(grace, at);
        }
        match (ended, held_back) {
            (Err(Ending::Panicked(payload)), _) => resume_unwind(payload),
            (_, Some(cancelled)) | (Err(Ending::Cancelled(cancelled)), None) => {
                cancelled.reraise().await
            }
            (Ok(output), None) => output,
        }
    }
}
