//! Time limits: [`wait_for`], [`timeout`], [`timeout_at`].
//!
//! A time limit cancels its body, wherever it is polled, and nothing beside that: in a `join!` the other branches go on. It catches
//! the cancel when that comes out of the body, which can so clean up and await while it is being stopped. As asyncio's, it counts as a
//! request of the task, by which a cancel from outside that arrives at the same moment is told apart: the limit takes its own
//! request back, and if others are left the cancel goes on.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use self::limit::{Limit, Limited, Until};
use crate::engine::frame::Held;
use crate::engine::instant::Instant;
use crate::error::{DeadlineOver, TimedOut};

mod limit;

/// Awaits `future` for at most `limit`; `None` is no limit.
///
/// The time begins when the future first waits, or arms a timer itself: what is ready at once costs neither a timer nor a look
/// at the clock. With a limit of zero the future is polled once, and what is ready then is in time.
///
/// # Cancellation
/// When the time is up the future is *cancelled*: it may clean up, and this waits for that. What it had not
/// returned by then is lost; if it swallows the cancel and returns, its value is returned here, late. A [`Task`]
/// passed by value is cancelled too; pass `&mut task` to keep its handle, or [`shield`] to keep it running.
///
/// Nothing but `future` is cancelled: in a `join!` the other branches go on. A limit that has lost a `select!` and is kept does
/// nothing while it is not polled; when it is polled after its time it cancels `future` then, also if `future` could have ended in
/// time: the moment of the poll counts. At the same moment the limit wins.
///
/// [`Task`]: crate::Task
/// [`shield`]: crate::shield()
///
/// # Errors
/// [`TimedOut`].
///
/// # Panics
/// When polled outside a task, or after its end.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{TimedOut, sleep, wait_for};
///
/// assert_eq!(wait_for(async { 1 }, Duration::from_secs(1)).await, Ok(1));
/// assert!(wait_for(sleep(Duration::from_secs(5)), Duration::from_secs(1)).await.is_err());
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.wait_for(aw, timeout)`; with a timeout of zero a coroutine is not even begun there.
pub fn wait_for<F: Future>(
    future: F,
    limit: impl Into<Option<Duration>>,
) -> impl Future<Output = Result<F::Output, TimedOut>> {
    Held::new(future, Limited::<_, true>(Limit::new(limit.into().map(Until::After))))
}

/// Runs `body` for at most `limit`; `None` is no limit yet.
///
/// The body is given a [`Deadline`] by which it, or anybody it hands a clone to, can move the limit.
///
/// # Cancellation
/// As with [`wait_for`].
///
/// # Errors
/// [`TimedOut`].
///
/// # Panics
/// When polled outside a task.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep, timeout};
///
/// let limited = timeout(Duration::from_secs(1), async |deadline| {
///     deadline.reschedule(now() + Duration::from_secs(3)).unwrap();
///     sleep(Duration::from_secs(2)).await;
/// });
/// assert!(limited.await.is_ok());
/// # });
/// ```
///
/// # In asyncio
/// `async with asyncio.timeout(delay) as cm`.
#[doc(alias = "fail_after")]
pub fn timeout<T, B>(
    limit: impl Into<Option<Duration>>,
    body: B,
) -> impl Future<Output = Result<T, TimedOut>>
where
    B: AsyncFnOnce(Deadline) -> T,
{
    within(limit.into().map(Until::After), body)
}

/// Runs `body` until the loop's clock shows `when`; `None` is no limit yet. Otherwise as [`timeout`].
///
/// # Cancellation
/// As with [`wait_for`].
///
/// # Errors
/// [`TimedOut`].
///
/// # Panics
/// When polled outside a task.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep, timeout_at};
///
/// let when = now() + Duration::from_secs(1);
/// let limited = timeout_at(when, async |_| sleep(Duration::from_secs(2)).await);
/// assert!(limited.await.is_err());
/// assert_eq!(now(), when);
/// # });
/// ```
///
/// # In asyncio
/// `async with asyncio.timeout_at(when)`.
#[doc(alias = "fail_at")]
pub fn timeout_at<T, B>(
    when: impl Into<Option<Instant>>,
    body: B,
) -> impl Future<Output = Result<T, TimedOut>>
where
    B: AsyncFnOnce(Deadline) -> T,
{
    within(when.into().map(Until::Moment), body)
}

fn within<T, B>(until: Option<Until>, body: B) -> impl Future<Output = Result<T, TimedOut>>
where
    B: AsyncFnOnce(Deadline) -> T,
{
    let limit = Rc::new(Limit::new(until));
    Held::new(body(Deadline { limit: limit.clone() }), Limited::<_, false>(limit))
}

/// A running time limit, to be looked at or moved. Given to the body of [`timeout`]; a clone is the same limit.
///
/// # In asyncio
/// `asyncio.Timeout`.
#[derive(Clone)]
pub struct Deadline {
    limit: Rc<Limit>,
}

impl Deadline {
    /// When the time is up; `None` is never. A limit whose time has not begun to run begins now.
    pub fn when(&self) -> Option<Instant> {
        self.limit.when()
    }

    /// Sets another moment; `None` is no limit. A moment that has passed ends the body when it next waits.
    ///
    /// # Errors
    /// If the time was up already or the body has ended.
    pub fn reschedule(&self, when: impl Into<Option<Instant>>) -> Result<(), DeadlineOver> {
        self.limit.reschedule(when.into())
    }

    /// Whether the time is up.
    pub fn expired(&self) -> bool {
        self.limit.is_expired() || self.limit.has_fired()
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("when", &self.when())
            .field("expired", &self.expired())
            .finish()
    }
}
