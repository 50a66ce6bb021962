//! **Statistics**: numbers that a loop has anyway, and what it measures while it is traced.
//!
//! To count each thing that happens would cost each of them an instruction. So only what a loop has to know for itself is here
//! always. The times of polls and timers are measured while an observer is told, which costs much more anyway.

use std::fmt;
use std::time::Duration;

use crate::engine::Engine;
use crate::event::Id;
use crate::task::{TaskRef, running_loop};

/// Numbers about a loop; see [`stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many tasks and callbacks have not ended.
    pub alive: usize,
    /// How many entries the ready queue has. One that has ended in the queue counts until the loop has passed it, so this may be
    /// more than are alive; [`Dump::ready`](crate::dump::Dump::ready) counts only those that are.
    pub ready: usize,
    /// How many timers are set and have not fired.
    pub timers: usize,
    /// How often a task or callback was taken out of the ready queue, since the loop began. Nearly all of these were polls: a task
    /// that had ended while it was queued was not polled.
    pub polls: u64,
    /// How many turns there were while the loop was traced.
    pub turns: u64,
    /// The longest poll while the loop was traced, in real time.
    pub longest_poll: Duration,
    /// How late the latest timer fired while the loop was traced, on the loop's clock.
    pub latest_timer: Duration,
    /// The most tasks and callbacks that were in the ready queue when a turn began while the loop was traced.
    pub most_ready: usize,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { alive, ready, timers, polls, .. } = self;
        write!(f, "{alive} alive, {ready} ready, {timers} timers, {polls} polls")
    }
}

/// Numbers about the running loop.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{create_task, stats};
///
/// let task = create_task(async {});
/// assert_eq!((stats().alive, stats().ready), (2, 1)); // main is alive, too
/// task.await.unwrap();
/// assert_eq!(stats().alive, 1);
/// # });
/// ```
///
/// # In asyncio
/// `len(asyncio.all_tasks())`; there is no more.
#[track_caller]
pub fn stats() -> Stats {
    running_loop().stats()
}

impl Engine {
    pub(crate) fn stats(&self) -> Stats {
        crate::cells::look_at_everything();
        let traced = self.traced_times();
        Stats {
            alive: self.tasks.table.borrow().len(),
            ready: self.tasks.ready.len(),
            timers: self.time.wheel.borrow().pending(),
            polls: self.tasks.ready.popped() - 1,
            turns: traced.turns,
            longest_poll: traced.longest_poll,
            latest_timer: traced.latest_timer,
            most_ready: traced.most_ready,
        }
    }
}

/// What is known of a task because its loop is traced; see [`TaskRef::traced`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedTask {
    /// How often it was polled.
    pub polls: u64,
    /// For how long it was polled, in real time.
    pub polled_for: Duration,
    /// The task in whose poll it was woken last. `None` if no task was being polled: a timer woke it, or another thread.
    pub woken_by: Option<Id>,
    /// The number of the event that tells of that wake-up. Zero if there was none.
    pub woken_in: u64,
}

impl TaskRef {
    /// What is known of the task because its loop is [traced](crate::EventLoopBuilder::trace). `None` if it is not, or if the task
    /// has ended.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::trace::Event;
    /// use loopwheel::{EventLoop, VirtualClock, create_task, yield_now};
    ///
    /// let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(|_: &Event| ());
    /// event_loop.build().run(async {
    ///     let task = create_task(async {
    ///         loop {
    ///             yield_now().await;
    ///         }
    ///     });
    ///     yield_now().await;
    ///     yield_now().await;
    ///     let traced = task.to_ref().traced().unwrap();
    ///     assert_eq!(traced.polls, 2);
    ///     assert_eq!(traced.woken_by.unwrap().to_string(), "Task-2"); // a yield wakes its own task
    /// });
    /// ```
    pub fn traced(&self) -> Option<TracedTask> {
        let traced = self.record().owner.traced_task(self.record())?;
        let (polls, polled_for) = (traced.polls, traced.polled_for);
        let (woken_by, woken_in) = (traced.woken_by, traced.woken_in);
        Some(TracedTask { polls, polled_for, woken_by, woken_in })
    }
}
