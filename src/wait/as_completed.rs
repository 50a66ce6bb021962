//! **As completed**: tasks in the order in which they end.
//!
//! Each wake-up could search the tasks for one that has ended, at O(n) for every task. Here they are a wait set that is due at each
//! end and keeps the order of the ends. Each call of `next` takes the oldest of them.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::records::{Records, release, set_of};
use crate::base::instant::Instant;
use crate::delivery::{Told, checkpoint};
use crate::error::TimedOut;
use crate::given::IntoLimit;
use crate::join::{WaitSet, WakeAt};
use crate::sleep::Timer;
use crate::task::{TaskHandle, running_loop};

/// Gives tasks back in the order in which they end.
///
/// Each is returned as the handle that was given, so the caller can tell which it is. It has ended: to await it does not wait.
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
#[doc(alias = "JoinSet")]
#[doc(alias = "join_next")]
pub fn as_completed<H: TaskHandle>(tasks: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    let tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    let members = tasks.iter().flatten().map(|task| task.to_ref().record().clone());
    let wait_set = set_of(WakeAt::Each, members);
    AsCompleted { left: tasks.len(), tasks, wait_set, begun: false, told: Told::default() }
}

/// Tasks in the order in which they end; created by [`as_completed`].
pub struct AsCompleted<H: TaskHandle> {
    /// By their index in the set. `None` where the task was returned.
    tasks: Vec<Option<H>>,
    left: usize,
    wait_set: Rc<WaitSet<Records>>,
    begun: bool,
    told: Told,
}

impl<H: TaskHandle> AsCompleted<H> {
    /// Waits for the next task that ends. `None` when all were returned.
    ///
    /// # Cancellation
    /// Nothing is lost, and the tasks are not cancelled.
    pub async fn next(&mut self) -> Option<H> {
        poll_fn(|cx| self.poll_ended(cx, None)).await
    }

    /// The same with a time limit for all of them together, counted from this call.
    ///
    /// # Panics
    /// Without a running loop.
    ///
    /// # In asyncio
    /// `timeout=…`.
    pub fn timeout(self, limit: impl IntoLimit) -> AsCompletedWithin<H> {
        let deadline = limit.given().map(|limit| running_loop().now() + limit);
        AsCompletedWithin {
            completed: self,
            deadline,
            timer: None,
            #[cfg(feature = "futures")]
            has_timed_out: false,
        }
    }

    /// The number of tasks that were not returned yet.
    pub fn left(&self) -> usize {
        self.left
    }

    pub(crate) fn poll_ended(
        &mut self,
        cx: &mut Context<'_>,
        deadline: Option<Instant>,
    ) -> Poll<Option<H>> {
        if checkpoint::is_plain() {
            return self.poll_on(cx, deadline);
        }
        if checkpoint::is_interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        let polled = self.poll_on(cx, deadline);
        self.wait_set.told(polled)
    }

    fn poll_on(&mut self, cx: &Context<'_>, deadline: Option<Instant>) -> Poll<Option<H>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if !self.begun {
            self.begun = true; // as in asyncio, the first waits for a turn even if it has ended already
            self.wait_set.wait(cx);
            cx.waker().wake_by_ref();
            checkpoint::waits();
            return Poll::Pending;
        }
        match self.wait_set.next_ended() {
            // It ended too late: it stays among the pending tasks, as do all that ended after it.
            Some((_, at)) if deadline.is_some_and(|deadline| at >= deadline) => Poll::Pending,
            Some((index, _)) => {
                self.left -= 1;
                release(&self.wait_set, index);
                Poll::Ready(self.tasks[index].take())
            }
            None => {
                self.wait_set.wait(cx);
                checkpoint::waits();
                Poll::Pending
            }
        }
    }
}

impl<H: TaskHandle> Unpin for AsCompleted<H> {}

impl<H: TaskHandle> Drop for AsCompleted<H> {
    fn drop(&mut self) {
        drop(self.wait_set.leave());
    }
}

impl<H: TaskHandle> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Tasks in the order in which they end, until the time is up; created by [`AsCompleted::timeout`].
pub struct AsCompletedWithin<H: TaskHandle> {
    completed: AsCompleted<H>,
    deadline: Option<Instant>,
    timer: Option<Timer>,
    /// The stream has returned `TimedOut`, and ends.
    #[cfg(feature = "futures")]
    pub(crate) has_timed_out: bool,
}

impl<H: TaskHandle> AsCompletedWithin<H> {
    /// Waits for the next task that ends. `None` when all were returned.
    ///
    /// # Cancellation
    /// Nothing is lost, and the tasks are not cancelled.
    ///
    /// # Errors
    /// [`TimedOut`] when the time is up, and the tasks that ended in time were returned.
    pub async fn next(&mut self) -> Result<Option<H>, TimedOut> {
        poll_fn(|cx| self.poll_ended(cx)).await
    }

    /// The tasks that were not returned.
    pub fn pending(self) -> Vec<H> {
        let mut completed = self.completed;
        completed.tasks.iter_mut().filter_map(Option::take).collect()
    }

    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<H>, TimedOut>> {
        if let Poll::Ready(next) = self.completed.poll_ended(cx, self.deadline) {
            return Poll::Ready(Ok(next));
        }
        if !checkpoint::is_quiet() {
            return Poll::Pending; // a cancel is being delivered: the timer stays as it is
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| {
            let engine = running_loop();
            let action = engine.action_for(cx.waker());
            Timer::set(engine, deadline, action, false)
        });
        if timer.has_fired() {
            return Poll::Ready(Err(TimedOut));
        }
        timer.set_waker(cx);
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
