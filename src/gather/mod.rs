//! [`gather`] and [`try_gather`]: run many at once, and have their results in order.
//!
//! Futures become tasks, handles of tasks are taken as they are; either way what is awaited is a crowd of tasks
//! (`engine/crowd.rs`), which tells when all are over or one has failed.

mod children;
mod tuples;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::engine::crowd::{Crowd, Takers, WakeAt};
use crate::engine::current;
use crate::engine::leaf::{self, Told, Visit};
use crate::engine::reason::Reason;
use crate::engine::record::Flag;

pub use children::{
    Children, Ending, FromIterable, FromTuple, GatherChild, IntoGather, IntoTryGather, PlainChild,
    TryChild,
};

/// Runs futures at the same time and gives their outputs in the order of the arguments.
///
/// The futures become tasks at once. Handles of tasks can be given too; awaiting one gives a `Result`, so that is what
/// comes out for it: a handle by value, or a [`SharedTask`](crate::SharedTask), but not `&mut task`. The argument is anything that can be iterated, or a tuple of up to eight of different types. As tasks,
/// the futures must be `'static`: what they use they own (`async move`, with an `Rc` for what is shared).
///
/// # Cancellation
/// Every child is cancelled, and their clean-up waited for: until the first ends as cancelled, as in asyncio. Dropped hard,
/// it cancels the tasks that it made.
///
/// # Panics
/// Without a running loop. If a child that was made here panics, with its panic; if somebody else cancels one, this await is
/// cancelled, as in asyncio. Of a handle that was given both are part of what awaiting it gives. With [`return_exceptions`](Gather::return_exceptions) both are values.
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
pub fn gather<I, M>(futures: I) -> Gather<I::Children>
where
    I: IntoGather<M>,
{
    Gather::of(futures.into_children(Location::caller()))
}

/// Runs futures that may fail at the same time; gives their values in the order of the arguments, or the first error.
///
/// The first error is raised at once. **It cancels nobody**: the other children go on, as tasks of their own.
///
/// # Cancellation
/// As with [`gather`].
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
pub fn try_gather<I, M>(futures: I) -> Gather<I::Children>
where
    I: IntoTryGather<M>,
{
    Gather::of(futures.into_children(Location::caller()))
}

/// The future of [`gather`] and [`try_gather`].
#[must_use = "a future does nothing unless awaited"]
pub struct Gather<C: Children> {
    crowd: Rc<Crowd<C>>,
    polled: bool,
    /// There was something to see.
    ended: bool,
    /// Its values have been given.
    over: bool,
    told: Told,
}

impl<C: Children> Gather<C> {
    fn of(children: C) -> Gather<C> {
        // A gathered failure is either raised, or known to have been left. (Not before all are there: the iterator may panic.)
        children.each(|_, record| record.set(Flag::SEEN));
        Gather {
            crowd: Crowd::new(WakeAt::FirstFailure, children),
            polled: false,
            ended: false,
            over: false,
            told: Told::default(),
        }
    }

    /// Waits for all, and gives every outcome: a failure, a cancel or a panic of a child is a value then.
    ///
    /// # Cancellation
    /// Every child is cancelled, and all of them are waited for.
    ///
    /// # In asyncio
    /// `return_exceptions=True`.
    pub fn return_exceptions(mut self) -> GatherOutcomes<C> {
        if let Some(children) = self.crowd.leave() {
            self.crowd = Crowd::new(WakeAt::All, children);
        }
        GatherOutcomes { gather: self }
    }

    /// Ready when there is something to see.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        assert!(!self.over, "a gathering was polled after its end");
        if !leaf::is_quiet() {
            return self.poll_cancelled(cx);
        }
        self.poll_on(cx)
    }

    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due() {
            leaf::with_current(|current| current.stops_awaiting_crowd(&self.crowd));
            self.ended = true;
            return Poll::Ready(());
        }
        if self.crowd.is_due() {
            cx.waker().wake_by_ref(); // as in asyncio, it waits for a turn even if all were over before
        }
        self.polled = true;
        self.crowd.wait(cx);
        leaf::with_current(|current| current.starts_awaiting_crowd(self.crowd.clone()));
        leaf::waits();
        Poll::Pending
    }

    fn is_due(&self) -> bool {
        self.crowd.is_due() && self.polled || self.crowd.is_empty()
    }

    /// While a cancel is being delivered.
    #[cold]
    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let pending = self.crowd.pending();
        let is_forwarded = match leaf::visit(&self.told, cx, || format!("{pending} gathered tasks"))
        {
            Visit::Go => return self.poll_on(cx),
            Visit::Wait => return Poll::Pending,
            Visit::Interrupted(is_forwarded) => is_forwarded || self.told.holds(),
        };
        if self.ended {
            leaf::comes_out(cx); // as it has before: the children that are left are awaited no more
            return Poll::Pending;
        }
        let engine = current::running();
        let engine = engine.as_ref().expect("a cancel is delivered by a loop");
        if is_forwarded && self.is_due() {
            engine.was_swallowed(&self.told); // or not: that is seen by what the children have ended with
            return self.poll_on(cx);
        }
        let is_told = is_forwarded
            || leaf::current().is_some_and(|current| {
                let takers = self.crowd.takers();
                self.crowd.take_cancel();
                let told = takers.iter().map(|child| child.cancel_through(&current));
                told.fold(false, |any, is_told| any | is_told)
            });
        if is_told {
            if !self.told.holds() {
                self.crowd.forget_waiter(); // a foreign waker is kept anew: that tells that it is alive
            }
            engine.holds(&self.told);
            return self.poll_on(cx);
        }
        leaf::comes_out(cx);
        Poll::Pending
    }
}

/// The gathering is cancelled: that goes on from here, however often it is polled again.
fn goes_on_cancelled<T>(reason: Reason, cx: &Context<'_>) -> Poll<T> {
    leaf::set_reason(reason);
    leaf::comes_out(cx);
    Poll::Pending
}

impl<C: Children> Future for Gather<C> {
    type Output = C::Values;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Values> {
        if self.poll_due(cx).is_pending() {
            return Poll::Pending;
        }
        let crowd = &self.crowd;
        let is_cancelled = crowd.cancel_requested();
        let gathered = if let Some(first) = crowd.first_failure() {
            crowd.with_members(|children| children.failure(first, is_cancelled)).flatten()
        } else if is_cancelled {
            None
        } else {
            crowd.leave().and_then(C::values)
        };
        // One from which a cancel comes may be polled again, and it comes again: the children are still there.
        let Some(gathered) = gathered else { return goes_on_cancelled(self.crowd.reason(), cx) };
        self.over = true;
        Poll::Ready(gathered)
    }
}

impl<C: Children> Drop for Gather<C> {
    fn drop(&mut self) {
        if self.polled && !self.ended {
            leaf::with_current(|current| current.stops_awaiting_crowd(&self.crowd));
        }
        let children = self.crowd.leave();
        if let Some(children) = children.filter(|_| !self.ended && !self.crowd.cancel_requested()) {
            children.abandon();
        }
    }
}

impl<C: Children> Unpin for Gather<C> {}

impl<C: Children> fmt::Debug for Gather<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("pending", &self.crowd.pending()).finish_non_exhaustive()
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
        if self.gather.crowd.cancel_requested() {
            return goes_on_cancelled(self.gather.crowd.reason(), cx);
        }
        self.gather.over = true;
        let children = self.gather.crowd.leave();
        Poll::Ready(children.expect("a gathering is not polled when it is over").outcomes())
    }
}
