//! [`wait`]: until one, or all, of several tasks are over.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::crowd::{Crowd, WakeAt};
use crate::engine::leaf::{self, Told};
use crate::engine::record::RecordRef;
use crate::task::{TaskHandle, running_loop};
use crate::time::Timer;

/// Until when [`wait`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReturnWhen {
    /// Until the first task is over, in whatever way.
    FirstCompleted,
    /// Until the first task fails or panics; if none does, until all are over.
    FirstException,
    /// Until all are over.
    AllCompleted,
}

pub use ReturnWhen::{AllCompleted, FirstCompleted, FirstException};

/// Waits for several tasks, and gives them back: those that are over, and those that are not.
///
/// Both lists are in the order of the argument. Without tasks it returns at once. Nothing is cancelled, neither at the end
/// nor when the time is up.
///
/// # Cancellation
/// The tasks are not cancelled. Handles that were given by value are dropped; give `&mut` handles to keep them.
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

type Begun = (Rc<Crowd<Vec<Option<RecordRef>>>>, Option<Timer>);

impl<H> Wait<H> {
    /// Waits no longer than this; what is over by then is what there is. `None` is no limit.
    ///
    /// # In asyncio
    /// `timeout=…`.
    pub fn timeout(mut self, limit: impl Into<Option<Duration>>) -> Wait<H> {
        self.limit = limit.into();
        self
    }
}

impl<H: TaskHandle> Future for Wait<H> {
    type Output = (Vec<H>, Vec<H>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if leaf::interrupted(&self.told, cx, || format!("{} tasks", self.tasks.len())) {
            return Poll::Pending;
        }
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
                    let (when, alarm) = (engine.now() + limit, engine.alarm_for(cx.waker()));
                    Timer::arm(engine, when, alarm)
                });
                let members = self.tasks.iter().map(|task| task.to_ref().record().clone());
                let crowd = Crowd::of_records(wake_at, members);
                let (crowd, _) = self.begun.insert((crowd, timer));
                crowd.wait(cx); // after it is stored: a foreign waker may panic, and the crowd has to be left
                if crowd.is_due() {
                    cx.waker().wake_by_ref(); // as in asyncio, it waits for a turn even so
                }
                leaf::waits();
                return Poll::Pending;
            }
            Some((crowd, timer)) => {
                let time_is_up = timer.as_ref().is_some_and(Timer::has_fired);
                if !crowd.is_due() && !time_is_up {
                    crowd.wait(cx);
                    if let Some(timer) = timer {
                        timer.rewake(cx);
                    }
                    leaf::waits();
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
        if let Some((crowd, _)) = &self.begun {
            drop(crowd.leave());
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
