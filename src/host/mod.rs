//! **Hosts**: a program that has its own loop turns this one.
//!
//! A game has frames, a GUI has events, a server has `poll(2)`: none of them can give its thread to [`run`](crate::run()). The naive
//! answer is a second thread, and locks around all that the two share. Here the host calls [`EventLoop::turn`] when it likes (or
//! [`EventLoop::run_for`], which is many turns), and is told when to call it next. The loop does nothing by itself: if the host breaks the contract, tasks are late, or never polled.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the contract, `turn` and its budget, `run_for`, and what a host may ask |
//! | `drive` | another executor as the host: the loop as a future |
//! | `left` | what is left of the budget of several turns |
//! | `timed` | polls that are timed, for a budget of time |
//!
//! The contract. A host
//!
//! - MUST call [`EventLoop::turn`] again soon when it returned [`Next::Ready`];
//! - MUST call it again at the latest at the deadline of [`Next::At`], and MAY call it earlier;
//! - MUST call it again after the wake hook was called: at most once until the next turn, from any thread, the host's own
//!   included;
//! - MUST call it again after it gave the loop work itself ([`EventLoop::create_task`], `call_soon`, `call_later`, `enter`): the hook
//!   is not called for that;
//! - MUST NOT turn a loop in the wake hook, nor let the hook panic (a panic ends there: the host was not woken);
//! - MUST NOT turn a loop inside one of its own tasks, nor inside a turn of another loop;
//! - MUST NOT let its clock run backwards, if it supplies one (the loop keeps the later time);
//! - MUST NOT expect clean-up that awaits to run when the loop is dropped. [`EventLoop::cancel_all`] runs it, and blocks; if
//!   clean-up needs the host itself, cancel [`EventLoop::all_tasks`] and go on turning until [`EventLoop::live_tasks`] is zero.
//!
//! It stands on `base`, `error`, the kernel, `kept_waker`, `mailbox`, `time`, `task`, `spawning`, `watch`, `close`, `parking` and `run`.

mod drive;
mod left;
mod timed;

use std::rc::Rc;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::kernel::current;
use crate::kernel::turn::Next;
use crate::run::EventLoop;
use left::Left;

/// How much one [`turn`](EventLoop::turn), or all turns of one [`run_for`](EventLoop::run_for) together, may do.
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
    /// At most so many polls. With zero, a turn only checks the mailbox and the timers.
    pub fn polls(polls: usize) -> Budget {
        Budget { polls, time: None }
    }

    /// No further poll begins when this time has passed on the loop's clock. At least one ready task is polled.
    pub fn time(time: Duration) -> Budget {
        Budget { polls: usize::MAX, time: Some(time) }
    }

    /// All tasks that are ready when a turn begins to poll.
    pub fn unlimited() -> Budget {
        Budget { polls: usize::MAX, time: None }
    }
}

/// What [`EventLoop::run_until_stalled`] does before it gives up is the larger of the two. Many polls in few turns are many tasks,
/// and many turns of few polls are a long chain of wake-ups: each of the two ends.
const MOST_TURNS: u64 = 1_000;
const MOST_POLLS: u64 = 1_000_000;

#[track_caller]
fn refuse_if_a_loop_runs() {
    assert!(
        current::running().is_none(),
        "a loop cannot be turned while one is running on this thread: not in a task, and not in a callback; turn them in turn, from \
         outside of both"
    );
}

impl Engine {
    /// One turn within the budget, as the contract has it.
    fn turn_of_host(self: &Rc<Self>, budget: Budget) -> Next {
        self.mailbox.arm(); // before the mailbox is checked: what comes later calls the hook
        self.check_in_next_turn();
        let next = self.turn_within(budget.polls, budget.time);
        match next {
            // A wake-up that came during the turn is taken in before the host sleeps.
            Next::At(_) | Next::Idle if self.take_remote_wakes() => Next::Ready,
            Next::At(deadline) if deadline <= self.now() => Next::Ready,
            next => next,
        }
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
        refuse_if_a_loop_runs();
        let engine = self.engine();
        engine.enter(|| engine.turn_of_host(budget))
    }

    /// Takes turns until the budget is used up or no task is ready, without waiting for anything, and returns what comes next:
    /// [`Next::Ready`] if the budget was used up first. It is what a host calls that can spare so much in each of its frames.
    ///
    /// A task that yields, or is woken, runs again in the same call, where a [`turn`](EventLoop::turn) would leave it to the next.
    /// Timers that become due meanwhile fire. What is still ready at the end comes first in the next call.
    ///
    /// A budget of polls is for all turns together. A budget of time ends no poll, and at least one ready task is polled. It is
    /// used up when the time has passed on the loop's clock or in real time, whichever is first: the clock of a game, which a host
    /// moves on between two frames, stands still meanwhile. An unlimited budget ends only when no task is ready, and a task that
    /// yields again and again keeps it from ending.
    ///
    /// # Panics
    /// As [`turn`](EventLoop::turn).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use loopwheel::{Budget, EventLoop, Next, yield_now};
    ///
    /// let mut event_loop = EventLoop::new();
    /// let path = event_loop.create_task(async {
    ///     for _ in 0..95 {
    ///         yield_now().await; // a step of the search for a path
    ///     }
    /// });
    /// let mut frames = 1;
    /// while event_loop.run_for(Budget::polls(20)) == Next::Ready {
    ///     frames += 1; // draw the frame
    /// }
    /// assert!(path.is_done());
    /// assert_eq!(frames, 5);
    ///
    /// // A frame that can spare four milliseconds, less if there is less to do:
    /// event_loop.run_for(Budget::time(Duration::from_millis(4)));
    /// ```
    ///
    /// # In asyncio
    /// There is none. `loop.call_soon(loop.stop)` and `loop.run_forever()` are one turn.
    #[doc(alias = "poll_for")]
    #[doc(alias = "process_events")]
    #[track_caller]
    pub fn run_for(&mut self, budget: Budget) -> Next {
        refuse_if_a_loop_runs();
        let engine = self.engine();
        engine.enter(|| {
            let mut left = Left::of(budget, engine);
            loop {
                let popped = engine.tasks.ready.popped();
                let next = engine.turn_of_host(left.of_one_turn());
                left.take(engine.tasks.ready.popped() - popped, engine);
                if next != Next::Ready || left.is_used_up() {
                    return next;
                }
            }
        })
    }

    /// Takes turns until no task is ready, without waiting for anything, and returns what comes next.
    ///
    /// A loop whose tasks yield or wake each other without end never stalls. Then this returns [`Next::Ready`], after a thousand
    /// turns and a million polls: so `Ready` means that it was given up. [`run_for`](EventLoop::run_for) has a budget of your own.
    ///
    /// # Panics
    /// As [`turn`](EventLoop::turn).
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{EventLoop, Next, VirtualClock, yield_now};
    ///
    /// let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    /// let task = event_loop.create_task(yield_now());
    /// assert_eq!(event_loop.run_until_stalled(), Next::Idle);
    /// assert!(task.is_done());
    ///
    /// drop(event_loop.create_task(async {
    ///     loop {
    ///         yield_now().await;
    ///     }
    /// }));
    /// assert_eq!(event_loop.run_until_stalled(), Next::Ready); // it was given up
    /// ```
    ///
    /// # In asyncio
    /// There is none.
    #[track_caller]
    pub fn run_until_stalled(&mut self) -> Next {
        refuse_if_a_loop_runs();
        let engine = self.engine();
        let popped = engine.tasks.ready.popped();
        let mut turns = 0_u64;
        engine.enter(|| {
            loop {
                let next = engine.turn_of_host(Budget::unlimited());
                let polls = engine.tasks.ready.popped() - popped;
                turns += 1;
                if next != Next::Ready || turns >= MOST_TURNS && polls >= MOST_POLLS {
                    return next;
                }
            }
        })
    }

    /// Calls `run` as if it were inside the loop: [`create_task`](crate::create_task), a [`TaskBuilder`](crate::TaskBuilder) or
    /// [`TaskSet`](crate::TaskSet), [`now`](crate::now) and the like use this loop. So a host can call code that was written for a task.
    ///
    /// Nothing is polled in it, and no task is the current one. What it starts or wakes begins in the next turn, for which the host has
    /// to see: the wake hook is not called.
    ///
    /// # Panics
    /// If another loop is running on this thread.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{EventLoop, TaskSet};
    ///
    /// let mut event_loop = EventLoop::new();
    /// let mut set = TaskSet::new();
    /// event_loop.enter(|| drop(set.create_task("square", async { 7 * 7 }))); // in one frame of a game
    /// event_loop.run_until_stalled();
    /// assert_eq!(set.next_nowait(), Some(("square", Ok(49)))); // in a later one
    /// ```
    ///
    /// # In asyncio
    /// There is none.
    #[track_caller]
    pub fn enter<R>(&self, run: impl FnOnce() -> R) -> R {
        if let Some(other) = current::running().filter(|it| !Rc::ptr_eq(it, self.engine())) {
            let (name, other) = (self.name(), other.name());
            panic!(
                "the loop '{name}' cannot be entered while '{other}' is running on this thread: enter it outside of that loop"
            );
        }
        self.engine().enter(run)
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
