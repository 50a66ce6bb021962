//! [`as_completed`]: tasks in the order in which they end.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::engine::crowd::{Crowd, WakeAt};
use crate::engine::instant::Instant;
use crate::engine::leaf::{self, Told};
use crate::engine::record::RecordRef;
use crate::error::TimedOut;
use crate::task::{TaskHandle, running_loop};
use crate::time::Timer;

/// Gives tasks back in the order in which they end.
///
/// Each comes as the handle that was given, so one can tell which it is; it is over, and awaiting it does not wait.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{as_completed, create_task, sleep};
///
/// let tasks = [3, 1, 2].map(|n| create_task(async move {
///     sleep(Duration::from_secs(n)).await;
///     n
/// }));
/// let mut completed = as_completed(tasks);
/// let mut order = vec![];
/// while let Some(task) = completed.next().await {
///     order.push(task.await.unwrap());
/// }
/// assert_eq!(order, [1, 2, 3]);
/// # });
/// ```
///
/// # In asyncio
/// `async for task in asyncio.as_completed(tasks)`.
#[doc(alias = "FuturesUnordered")]
pub fn as_completed<H: TaskHandle>(tasks: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    let tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    let members = tasks.iter().flatten().map(|task| task.to_ref().record().clone());
    let crowd = Crowd::of_records(WakeAt::Each, members);
    AsCompleted { left: tasks.len(), tasks, crowd, begun: false, told: Told::default() }
}

/// Tasks in the order in which they end; made by [`as_completed`].
pub struct AsCompleted<H: TaskHandle> {
    /// `None` where it has been given back.
    tasks: Vec<Option<H>>,
    left: usize,
    crowd: Rc<Crowd<Vec<Option<RecordRef>>>>,
    begun: bool,
    told: Told,
}

impl<H: TaskHandle> AsCompleted<H> {
    /// The next task that is over; `None` when all have come.
    ///
    /// # Cancellation
    /// Nothing is lost, and the tasks are not cancelled.
    pub async fn next(&mut self) -> Option<H> {
        poll_fn(|cx| self.poll_ended(cx, None)).await
    }

    /// The same with a time limit for all of them together, counted from here.
    ///
    /// # Panics
    /// Without a running loop.
    ///
    /// # In asyncio
    /// `timeout=…`.
    pub fn timeout(self, limit: impl Into<Option<Duration>>) -> AsCompletedWithin<H> {
        let deadline = limit.into().map(|limit| running_loop().now() + limit);
        AsCompletedWithin {
            completed: self,
            deadline,
            timer: None,
            #[cfg(feature = "futures")]
            has_timed_out: false,
        }
    }

    /// How many have not come yet.
    pub fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn poll_ended(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
    ) -> Poll<Option<H>> {
        if leaf::interrupted(&self.told, cx, || format!("one of {} tasks", self.left)) {
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if !self.begun {
            self.begun = true; // as in asyncio, the first waits for a turn even if it is over already
            self.crowd.wait(cx);
            cx.waker().wake_by_ref();
            leaf::waits();
            return Poll::Pending;
        }
        match self.crowd.next_ended() {
            // What ended too late does not come any more.
            Some((_, at)) if deadline.is_some_and(|deadline| at >= deadline) => Poll::Pending,
            Some((number, _)) => {
                self.left -= 1;
                self.crowd.let_go(number);
                Poll::Ready(self.tasks[number].take())
            }
            None => {
                self.crowd.wait(cx);
                leaf::waits();
                Poll::Pending
            }
        }
    }
}

impl<H: TaskHandle> Unpin for AsCompleted<H> {}

impl<H: TaskHandle> Drop for AsCompleted<H> {
    fn drop(&mut self) {
        drop(self.crowd.leave());
    }
}

impl<H: TaskHandle> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Tasks in the order in which they end, until the time is up; made by [`AsCompleted::timeout`].
pub struct AsCompletedWithin<H: TaskHandle> {
    completed: AsCompleted<H>,
    deadline: Option<Instant>,
    timer: Option<Timer>,
    /// As a stream it has said so, and ends.
    #[cfg(feature = "futures")]
    pub(crate) has_timed_out: bool,
}

impl<H: TaskHandle> AsCompletedWithin<H> {
    /// The next task that is over; `None` when all have come.
    ///
    /// # Cancellation
    /// Nothing is lost, and the tasks are not cancelled.
    ///
    /// # Errors
    /// [`TimedOut`] when the time is up and those that ended in time have come.
    pub async fn next(&mut self) -> Result<Option<H>, TimedOut> {
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    /// Those that have not been given back.
    pub fn pending(self) -> Vec<H> {
        let mut completed = self.completed;
        completed.tasks.iter_mut().filter_map(Option::take).collect()
    }

    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<H>, TimedOut>> {
        if let Poll::Ready(next) = self.completed.poll_ended(cx, self.deadline) {
            return Poll::Ready(Ok(next));
        }
        if !leaf::is_quiet() {
            return Poll::Pending;
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| {
            let engine = running_loop();
            let alarm = engine.alarm_for(cx.waker());
            Timer::arm(engine, deadline, alarm)
        });
        if timer.has_fired() {
            return Poll::Ready(Err(TimedOut));
        }
        timer.rewake(cx);
        Poll::Pending
    }
}

impl<H: TaskHandle> Unpin for AsCompletedWithin<H> {}

impl<H: TaskHandle> fmt::Debug for AsCompletedWithin<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompletedWithin")
            .field("left", &self.completed.left)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
