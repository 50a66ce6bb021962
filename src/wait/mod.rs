//! **Waiting for several tasks**, without taking their outcomes: [`wait`] until one or all have ended, and [`as_completed()`].
//!
//! Both take handles and return them. Neither cancels the tasks, nor forwards a cancel to them.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | `wait`: the handles in two lists |
//! | `as_completed` | the handles one by one |
//! | `records` | the members of the wait sets of both |
//!
//! It stands on `base`, `error`, the kernel, `delivery`, `join`, `task`, `sleep` and `given`.

mod as_completed;
mod records;

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::delivery::{Told, checkpoint};
use crate::given::IntoLimit;
use crate::join::{WaitSet, WakeAt};
use crate::sleep::Timer;
use crate::task::{TaskHandle, running_loop};

pub use ReturnWhen::{AllCompleted, FirstCompleted, FirstException};

pub use as_completed::{AsCompleted, AsCompletedWithin, as_completed};
use records::{Records, set_of};

/// The condition on which [`wait`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnWhen {
    /// The first task has ended, in whatever way.
    FirstCompleted,
    /// The first task has failed or panicked, or all have ended.
    FirstException,
    /// All have ended.
    AllCompleted,
}

/// Waits for several tasks, and returns them: those that have ended, and those that have not.
///
/// Both lists are in the order of the argument. Without tasks it returns at once. Nothing is cancelled, neither at the end nor when
/// the time is up.
///
/// # Cancellation
/// The tasks are not cancelled. Handles that were given by value are dropped; pass `&mut` handles to keep them.
///
/// # Panics
/// When polled without a running loop, if there is a time limit.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{AllCompleted, FirstCompleted, create_task, sleep, wait};
///
/// let tasks = [3, 1, 2].map(|n| create_task(sleep(Duration::from_secs(n))));
/// let (done, pending) = wait(tasks, FirstCompleted).await;
/// assert_eq!((done.len(), pending.len()), (1, 2));
/// let (done, _) = wait(pending, AllCompleted).await;
/// assert_eq!(done.len(), 2);
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.wait(tasks, return_when=…)`, where an empty set is a `ValueError`.
#[doc(alias = "select_all")]
#[doc(alias = "select")]
pub fn wait<H: TaskHandle>(tasks: impl IntoIterator<Item = H>, until: ReturnWhen) -> Wait<H> {
    Wait {
        tasks: tasks.into_iter().collect(),
        until,
        limit: None,
        begun: None,
        told: Told::default(),
    }
}

/// The future of [`wait`].
#[must_use = "a future does nothing unless awaited"]
pub struct Wait<H> {
    tasks: Vec<H>,
    until: ReturnWhen,
    limit: Option<Duration>,
    begun: Option<Begun>,
    told: Told,
}

/// After the first poll.
type Begun = (Rc<WaitSet<Records>>, Option<Timer>);

impl<H> Wait<H> {
    /// Waits no longer than this, counted from the first poll, and then returns both lists as they are. `None` is no limit.
    ///
    /// # In asyncio
    /// `timeout=…`.
    pub fn timeout(mut self, limit: impl IntoLimit) -> Wait<H> {
        self.limit = limit.given();
        self
    }
}

impl<H: TaskHandle> Future for Wait<H> {
    type Output = (Vec<H>, Vec<H>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if checkpoint::is_plain() {
            return self.poll_on(cx);
        }
        if checkpoint::is_interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        let polled = self.poll_on(cx);
        match &self.begun {
            Some((wait_set, _)) => wait_set.told(polled),
            None => polled,
        }
    }
}

impl<H: TaskHandle> Wait<H> {
    fn poll_on(&mut self, cx: &mut Context<'_>) -> Poll<(Vec<H>, Vec<H>)> {
        match &self.begun {
            None if self.tasks.is_empty() => {}
            None => {
                let wake_at = match self.until {
                    FirstCompleted => WakeAt::Each,
                    FirstException => WakeAt::FirstException,
                    AllCompleted => WakeAt::All,
                };
                let timer = self.limit.map(|limit| {
                    let engine = running_loop();
                    let (when, action) = (engine.now() + limit, engine.action_for(cx.waker()));
                    Timer::set(engine, when, action, false)
                });
                let members = self.tasks.iter().map(|task| task.to_ref().record().clone());
                let wait_set = set_of(wake_at, members);
                let (wait_set, _) = self.begun.insert((wait_set, timer));
                wait_set.wait(cx); // after the set is stored: a foreign waker may panic, and the drop must leave the set
                if wait_set.is_due() {
                    cx.waker().wake_by_ref(); // as in asyncio, it waits for a turn even if it is due already
                }
                checkpoint::waits();
                return Poll::Pending;
            }
            Some((wait_set, timer)) => {
                let time_is_up = timer.as_ref().is_some_and(Timer::has_fired);
                if !wait_set.is_due() && !time_is_up {
                    wait_set.wait(cx);
                    if let Some(timer) = timer {
                        timer.set_waker(cx);
                    }
                    checkpoint::waits();
                    return Poll::Pending;
                }
            }
        }
        let tasks = mem::take(&mut self.tasks);
        Poll::Ready(tasks.into_iter().partition(|task| task.to_ref().is_done()))
    }
}

impl<H> Drop for Wait<H> {
    fn drop(&mut self) {
        if let Some((wait_set, _)) = &self.begun {
            drop(wait_set.leave());
        }
    }
}

impl<H> Unpin for Wait<H> {}

impl<H> fmt::Debug for Wait<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("tasks", &self.tasks.len())
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
