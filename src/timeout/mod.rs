//! **Time limits**: [`wait_for`], [`timeout`], [`timeout_at`].
//!
//! A `select!` of the body and a timer would drop the body when the time is up, so the body could not await anything to clean up. A
//! limit that cancels its task would stop too much: the other branches of a `join!` too. So a limit delivers a cancel to its body
//! alone, and catches it when it comes out. Until then the body may clean up, and await.
//!
//! As in asyncio, that cancel counts as a request of the task. The limit takes its own request back at the end; if others are left,
//! the task was cancelled from outside at the same time, and the cancel goes on. A limit that is not polled does nothing.
//!
//! | file | idea |
//! |---|---|
//! | `limit` | one limit: its phases, its cancel request, its frame |
//! | `told`, `body`, `at_once` | what a limit says of itself; what is given as a body; a limit of zero around a task |
//!
//! It stands on `base`, `cells`, `reason`, `error`, the kernel, `kept_waker`, `delivery`, `time`, `open_limits`, `scope`, `cancel`, `task`,
//! `catch`, `sleep` and `given`.

mod at_once;
mod body;
mod limit;
mod told;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use crate::base::instant::Instant;
use crate::catch::Held;
use crate::cells::look_at_everything;
use crate::error::{DeadlineOver, TimedOut};
use crate::given::{IntoDeadline, IntoLimit};
pub use body::LimitBody;
pub(crate) use limit::{Limit, Limited, Phase, Until};

/// Awaits `future` for at most `limit`; `None` is no limit.
///
/// The time begins when the future first waits or sets a timer. A future that is ready at once costs neither a timer nor a read of
/// the clock. With a limit of zero the future is polled once, and is in time if it is ready then.
///
/// # Cancellation
/// When the time is up the future is *cancelled*: it may clean up, and `wait_for` waits for that. Results that it had not returned
/// by then are lost. If it swallows the cancel and returns a value, `wait_for` returns that value, late. A [`Task`](crate::Task)
/// passed by value is cancelled too; pass `&mut task` to keep its handle, or [`shield`](crate::shield()) to keep it running.
///
/// Only `future` is cancelled: in a `join!` the other branches go on. A limit that has lost a `select!` and is kept does nothing
/// while it is not polled. If it is polled after its time, it cancels `future` then, even if `future` could have ended in time: the
/// moment of the poll counts. If `future` waits for a timer that is due at the same moment, the limit wins.
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
/// `asyncio.wait_for(aw, timeout)`. There, with a timeout of zero, a coroutine does not even begin.
#[doc(alias = "move_on_after")]
#[track_caller]
pub fn wait_for<F: Future>(
    future: F,
    limit: impl IntoLimit,
) -> impl Future<Output = Result<F::Output, TimedOut>> {
    let limit = Limit::new(limit.given().map(Until::After), Location::caller());
    Held::new(future, Limited::<_, true>(limit))
}

/// Runs `body` for at most `limit`; `None` is no limit yet. For a future, and not a body, there is [`wait_for`].
///
/// The body is called with a [`Deadline`]. With it, or with a clone of it, other code can move the limit.
///
/// # Cancellation
/// As with [`wait_for`].
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
/// # use std::time::Duration;
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
#[track_caller]
pub fn timeout<T, B, By>(
    limit: impl IntoLimit,
    body: B,
) -> impl Future<Output = Result<T, TimedOut>>
where
    B: LimitBody<By> + AsyncFnOnce(Deadline) -> T,
{
    within(limit.given().map(Until::After), body, Location::caller())
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
/// When polled outside a task, or after its end.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{now, sleep, timeout_at};
///
/// let when = now() + Duration::from_secs(1);
/// assert!(timeout_at(when, async |_| sleep(Duration::from_secs(2)).await).await.is_err());
/// assert_eq!(now(), when);
/// # });
/// ```
///
/// # In asyncio
/// `async with asyncio.timeout_at(when)`; in trio `fail_at`.
#[track_caller]
pub fn timeout_at<T, B, By>(
    when: impl IntoDeadline,
    body: B,
) -> impl Future<Output = Result<T, TimedOut>>
where
    B: LimitBody<By> + AsyncFnOnce(Deadline) -> T,
{
    within(when.given().map(Until::Moment), body, Location::caller())
}

fn within<T, B: AsyncFnOnce(Deadline) -> T>(
    until: Option<Until>,
    body: B,
    at: &'static Location<'static>,
) -> impl Future<Output = Result<T, TimedOut>> {
    let limit = Rc::new(Limit::new(until, at));
    Held::new(body(Deadline { limit: limit.clone() }), Limited::<_, false>(limit))
}

/// A running time limit, to inspect or move it. Passed to the body of [`timeout`]; a clone is the same limit.
///
/// # In asyncio
/// `asyncio.Timeout`.
#[derive(Clone)]
pub struct Deadline {
    limit: Rc<Limit>,
}

impl Deadline {
    /// The moment at which the time is up; `None` is no limit. If the time has not begun to run, it begins now; after a body that
    /// has ended without waiting it never does, and this is `None`.
    pub fn when(&self) -> Option<Instant> {
        look_at_everything();
        self.limit.when()
    }

    /// Moves the limit to another moment; `None` is no limit. If the moment has passed, the body is cancelled when it next waits.
    ///
    /// # Errors
    /// If the time was up already, or the body has ended.
    pub fn reschedule(&self, when: impl IntoDeadline) -> Result<(), DeadlineOver> {
        look_at_everything();
        self.limit.reschedule(when.given())
    }

    /// Whether the time is up, or was up when the body ended.
    pub fn expired(&self) -> bool {
        look_at_everything();
        self.limit.is_up()
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
