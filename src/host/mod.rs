//! **Hosts**: a program that has its own loop turns this one.
//!
//! A game has frames, a GUI has events, a server has `poll(2)`: none of them can give its thread to [`run`](crate::run()). The naive
//! answer is a second thread, and locks around all that the two share. Here the host calls [`EventLoop::turn`] when it likes, and
//! is told when to call it next. The loop does nothing by itself: if the host breaks the contract, tasks are late, or never polled.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the contract, `turn` and its budget, and what a host may ask |
//! | `drive` | another executor as the host: the loop as a future |
//! | `timed` | polls that are timed, for a budget of time |
//!
//! The contract. A host
//!
//! - MUST call [`EventLoop::turn`] again soon when it returned [`Next::Ready`];
//! - MUST call it again at the latest at the deadline of [`Next::At`], and MAY call it earlier;
//! - MUST call it again after the wake hook was called: at most once until the next turn, from any thread, the host's own
//!   included;
//! - MUST call it again after it gave the loop work itself ([`EventLoop::create_task`], `call_soon`, `call_later`): the hook is not
//!   called for that;
//! - MUST NOT turn a loop in the wake hook, nor let the hook panic (a panic ends there: the host was not woken);
//! - MUST NOT turn a loop inside one of its own tasks, nor inside a turn of another loop;
//! - MUST NOT let its clock run backwards, if it supplies one (the loop keeps the later time);
//! - MUST NOT expect clean-up that awaits to run when the loop is dropped. [`EventLoop::cancel_all`] runs it, and blocks; if
//!   clean-up needs the host itself, cancel [`EventLoop::all_tasks`] and go on turning until [`EventLoop::live_tasks`] is zero.
//!
//! It stands on `base`, `error`, the kernel, `kept_waker`, `mailbox`, `time`, `task`, `spawning`, `watch`, `close`, `parking` and `run`.

mod drive;
mod timed;

use std::time::Duration;

use crate::base::instant::Instant;
use crate::kernel::current;
use crate::kernel::turn::Next;
use crate::run::EventLoop;

/// How much one [`turn`](EventLoop::turn) may do.
///
/// ```
/// use std::time::Duration;
/// use loopwheel::Budget;
///
/// let small = Budget::polls(100);
/// let short = Budget::time(Duration::from_millis(2));
/// let all = Budget::unlimited();
/// # let _ = (small, short, all);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    pub(crate) polls: usize,
    pub(crate) time: Option<Duration>,
}

impl Budget {
    /// At most so many polls. With zero a turn only checks the mailbox and the timers.
    pub fn polls(polls: usize) -> Budget {
        Budget { polls, time: None }
    }

    /// No further poll begins when this time has passed on the loop's clock. At least one ready task is polled.
    pub fn time(time: Duration) -> Budget {
        Budget { polls: usize::MAX, time: Some(time) }
    }

    /// All tasks that are ready when the turn begins to poll.
    pub fn unlimited() -> Budget {
        Budget { polls: usize::MAX, time: None }
    }
}

/// For hosts that drive the loop themselves.
impl EventLoop {
    /// One turn: drains the mailbox, fires the timers that are due, polls the ready tasks within the budget, and returns what comes
    /// next.
    ///
    /// # Panics
    /// If a loop is running on this thread.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use loopwheel::{Budget, EventLoop, Instant, Next, VirtualClock, sleep};
    ///
    /// let clock = VirtualClock::new();
    /// let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    /// let task = event_loop.create_task(sleep(Duration::from_millis(5)));
    /// let deadline = Instant::START + Duration::from_millis(5);
    /// assert_eq!(event_loop.turn(Budget::unlimited()), Next::At(deadline));
    /// clock.advance(Duration::from_millis(5)); // the host's time passes
    /// assert_eq!(event_loop.turn(Budget::unlimited()), Next::Idle);
    /// assert!(task.is_done());
    /// ```
    #[track_caller]
    pub fn turn(&mut self, budget: Budget) -> Next {
        assert!(
            current::running().is_none(),
            "a loop cannot be turned while one is running on this thread: not in a task, and not in a callback; turn them in turn, from \
             outside of both"
        );
        let engine = self.engine();
        engine.enter(|| {
            engine.mailbox.arm(); // before the mailbox is checked: what comes later calls the hook
            engine.check_in_next_turn();
            let next = engine.turn_within(budget.polls, budget.time);
            match next {
                // A wake-up that came during the turn is taken in before the host sleeps.
                Next::At(_) | Next::Idle if engine.take_remote_wakes() => Next::Ready,
                Next::At(deadline) if deadline <= engine.now() => Next::Ready,
                next => next,
            }
        })
    }

    /// Turns until no task is ready, without waiting for anything.
    ///
    /// # Panics
    /// As [`turn`](EventLoop::turn).
    #[track_caller]
    pub fn run_until_stalled(&mut self) -> Next {
        loop {
            let next = self.turn(Budget::unlimited());
            if next != Next::Ready {
                return next;
            }
        }
    }

    /// No timer fires before this moment. Exact, unless the first of several timers was cancelled: then it may still be that
    /// timer's deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine().next_deadline()
    }

    /// Whether no task is ready and no remote wake-up is pending.
    pub fn is_idle(&self) -> bool {
        !self.engine().take_remote_wakes()
    }

    /// The number of tasks that have not ended.
    pub fn live_tasks(&self) -> usize {
        self.engine().tasks().len()
    }

    /// The number of tasks and callbacks in the ready queue. One that has ended in it counts until the loop has passed it.
    pub fn ready_tasks(&self) -> usize {
        self.engine().tasks.ready.len()
    }

    /// Moves a virtual clock to the next deadline. Returns false, and does nothing, if there is no deadline, the clock is held or
    /// is not virtual, or work of [`to_thread`](crate::to_thread()) is still out.
    pub fn jump_to_next_deadline(&self) -> bool {
        self.next_deadline().is_some_and(|deadline| self.engine().jump_to(deadline))
    }
}
