//! **Gathering**: [`gather`] and [`try_gather`] run many futures at once, and give their results in order.
//!
//! The futures could be polled in place, as `join!` does; then every wake-up would poll all of them. Here futures become tasks, and
//! handles of tasks are taken as they are. Both are awaited as a wait set, which is due when all have ended or one has failed.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the functions, and their futures |
//! | `children` | from an argument to children, and from children to results |
//! | `tuples` | the same for tuples |
//! | `await_set` | the checkpoint that awaits the set |
//!
//! `children` and `await_set` are rings of their own: `race` uses them too.
//!
//! It stands on `base`, `reason`, `error`, the kernel, `delivery`, `join`, `gather/await_set` and `gather/children`.

mod await_set;
mod children;
mod tuples;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::delivery::checkpoint;
use crate::join::{WaitSet, WakeAt};
use crate::kernel::record::Flag;
use crate::reason::Reason;

pub(crate) use await_set::AwaitSet;
pub(crate) use children::{Child, SpawnSite};
pub use children::{
    Children, Ending, FromIterable, FromTuple, GatherChild, IntoGather, IntoTryGather, PlainChild,
    TryChild,
};

/// Runs futures at the same time and gives their outputs in the order of the arguments.
///
/// The argument is anything that can be iterated, or a tuple of up to eight futures of different types. The futures become tasks at
/// once, so they must be `'static`, and own what they use (`async move`, with an `Rc` for what is shared). A handle of a task can
/// be given too, by value or as a [`SharedTask`](crate::SharedTask), but not `&mut task`; its output is the `Result` of an await, so its
/// panic or cancel is a value here, and is lost if the output is not looked at.
///
/// # Cancellation
/// Every child is cancelled. The await ends when the first of them has ended as cancelled, as in asyncio: the others may still be
/// cleaning up then, and go on with that. (A [`TaskGroup`](crate::TaskGroup) waits for all.) If the gathering
/// is dropped before its end, it cancels the tasks that it spawned. If a task that it spawned is cancelled from elsewhere, the
/// await is cancelled too, as in asyncio; the cancel of a given task is part of its `Result`.
///
/// # Panics
/// If futures are given without a running loop, or if too many tasks are alive on it. If the outcome of a given task was taken
/// before. If a task that was spawned here panics: the await goes on with that panic. The panic of a given task is part of its
/// `Result`. With [`return_exceptions`](Gather::return_exceptions) cancels and panics are values.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{gather, sleep};
///
/// let doubled = gather((1..=3).map(|n| async move {
///     sleep(Duration::from_secs(n)).await;
///     n * 2
/// }));
/// assert_eq!(doubled.await, [2, 4, 6]); // after three seconds
/// assert_eq!(gather((async { 1 }, async { "two" })).await, (1, "two"));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.gather(*aws)`.
#[doc(alias = "join_all")]
#[track_caller]
pub fn gather<I: IntoGather<M>, M>(futures: I) -> Gather<I::Children> {
    Gather::of(futures.into_children(Location::caller()))
}

/// Runs futures that can fail at the same time, and gives their values in the order of the arguments, or the first error.
///
/// The first error is raised at once. **It cancels no other child**: those go on, as tasks of their own. All have one type of error:
/// `map_err` converts. [`return_exceptions`](Gather::return_exceptions) gives every result, and no error ends it.
///
/// # Cancellation
/// As with [`gather`]. If a child had failed before, and this was not polled since, the others are cancelled and its error comes
/// out in place of the cancel, as in asyncio.
///
/// # Errors
/// The first error of a child.
///
/// # Panics
/// As with [`gather`].
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::try_gather;
///
/// let parsed = try_gather(["1", "2"].map(|text| async move { text.parse::<u32>() }));
/// assert_eq!(parsed.await, Ok(vec![1, 2]));
///
/// let parsed = try_gather(["1", "two"].map(|text| async move { text.parse::<u32>() }));
/// let all = parsed.return_exceptions().await;
/// assert!(all[0].is_ok() && all[1].is_err());
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.gather(*aws)`, for coroutines that raise.
#[doc(alias = "try_join_all")]
#[track_caller]
pub fn try_gather<I: IntoTryGather<M>, M>(futures: I) -> Gather<I::Children> {
    Gather::of(futures.into_children(Location::caller()))
}

/// The future of [`gather`] and [`try_gather`].
#[must_use = "a future does nothing unless awaited"]
pub struct Gather<C: Children> {
    awaiting: AwaitSet<C>,
    /// The output was returned.
    finished: bool,
}

impl<C: Children> Gather<C> {
    fn of(children: C) -> Gather<C> {
        // Failures of children are raised or deliberately left. (Marked only now: the iterator may have panicked before.)
        let awaiting = AwaitSet::marking(WakeAt::FirstFailure, children, Flag::SEEN);
        Gather { awaiting, finished: false }
    }

    /// Waits for all, and gives every outcome: a failure, a cancel or a panic of a child is a value.
    ///
    /// # Cancellation
    /// Every child is cancelled, and the ends of all are awaited.
    ///
    /// # In asyncio
    /// `return_exceptions=True`.
    pub fn return_exceptions(mut self) -> GatherOutcomes<C> {
        self.awaiting.wake_at(WakeAt::All);
        GatherOutcomes { gather: self }
    }

    /// Ready when the set is due.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        assert!(!self.finished, "a gathering was polled after its end: await it once");
        self.awaiting.poll(cx, WaitSet::is_due)
    }
}

/// The gathering is cancelled: the cancel comes out of each poll from now on.
fn comes_out_cancelled<T>(reason: Reason, cx: &Context<'_>) -> Poll<T> {
    checkpoint::set_reason(reason);
    checkpoint::comes_out(cx);
    Poll::Pending
}

impl<C: Children> Future for Gather<C> {
    type Output = C::Values;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Values> {
        if self.poll_due(cx).is_pending() {
            return Poll::Pending;
        }
        let wait_set = self.awaiting.set();
        let is_cancelled = wait_set.cancel_requested();
        let gathered = if let Some(first) = wait_set.first_failure() {
            wait_set.with_members(|children| children.failure(first, is_cancelled)).flatten()
        } else if is_cancelled {
            None
        } else {
            wait_set.leave().and_then(C::values)
        };
        // Not finished: it may be polled again, and the cancel comes out again.
        let Some(gathered) = gathered else {
            return comes_out_cancelled(self.awaiting.set().reason(), cx);
        };
        self.finished = true;
        Poll::Ready(gathered)
    }
}

impl<C: Children> Drop for Gather<C> {
    fn drop(&mut self) {
        if self.finished && self.awaiting.set().first_failure().is_none() {
            return; // the children were taken
        }
        let is_abandoned = !self.awaiting.has_ended() && !self.awaiting.set().cancel_requested();
        let children = self.awaiting.leave();
        if let Some(children) = children.filter(|_| is_abandoned) {
            children.abandon();
        }
    }
}

impl<C: Children> Unpin for Gather<C> {}

impl<C: Children> fmt::Debug for Gather<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather")
            .field("pending", &self.awaiting.set().pending())
            .finish_non_exhaustive()
    }
}

/// The future of [`Gather::return_exceptions`].
#[derive(Debug)]
#[must_use = "a future does nothing unless awaited"]
pub struct GatherOutcomes<C: Children> {
    gather: Gather<C>,
}

impl<C: Children> Future for GatherOutcomes<C> {
    type Output = C::Outcomes;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Outcomes> {
        if self.gather.poll_due(cx).is_pending() {
            return Poll::Pending;
        }
        let wait_set = self.gather.awaiting.set();
        if wait_set.cancel_requested() {
            return comes_out_cancelled(wait_set.reason(), cx);
        }
        self.gather.finished = true;
        let children = self.gather.awaiting.leave();
        Poll::Ready(children.expect("a gathering is not polled after it was ready").outcomes())
    }
}
