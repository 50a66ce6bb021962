//! Being driven: a host turns the loop, by itself.
//!
//! [`run`](crate::run) is one way to drive a loop; here is what it is made of, for hosts that have a loop of their own: a
//! game's frames, a GUI's events, another executor, `poll(2)`.
//!
//! The contract. A host
//!
//! - MUST call [`EventLoop::turn`] again soon when it returned [`Next::Ready`];
//! - MUST call it again at the latest at the deadline of [`Next::At`], and MAY call it earlier;
//! - MUST call it again after the wake hook was called: at most once until the next turn, from any thread, the host's own
//!   included;
//! - MUST call it again after it gave the loop work itself ([`EventLoop::create_task`], `call_soon`, `call_later`): the hook is
//!   for what comes from elsewhere;
//! - MUST NOT turn a loop in the wake hook, nor let the hook panic (a panic ends there: the host was not woken);
//! - MUST NOT turn a loop inside one of its own tasks, nor inside a turn of another loop;
//! - MUST NOT let its clock run backwards, if it supplies one (the loop keeps the later time);
//! - MUST NOT expect a destructor's clean-up to await after the loop was dropped. [`EventLoop::cancel_all`] runs it, and
//!   blocks; where clean-up needs the host itself, cancel [`EventLoop::all_tasks`] and go on turning until
//!   [`EventLoop::live_tasks`] is zero.

use std::time::Duration;

use crate::engine::clock::Source;
use crate::engine::current;
use crate::engine::instant::Instant;
use crate::event_loop::EventLoop;

pub use crate::engine::turn::Next;

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
    /// At most so many polls. None is a turn that only looks.
    pub fn polls(polls: usize) -> Budget {
        Budget { polls, time: None }
    }

    /// No further poll begins when this time is over, on the loop's clock. One poll is always made.
    pub fn time(time: Duration) -> Budget {
        Budget { polls: usize::MAX, time: Some(time) }
    }

    /// Everybody who is ready when the turn begins.
    pub fn unlimited() -> Budget {
        Budget { polls: usize::MAX, time: None }
    }
}

/// For hosts that drive the loop themselves.
impl EventLoop {
    /// One turn: takes in what came from other threads, fires the timers that are due, polls those who are ready, within
    /// the budget, and says what comes next.
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
    pub fn turn(&mut self, budget: Budget) -> Next {
        assert!(
            current::running().is_none(),
            "a loop cannot be turned while one is running on this thread: not in a task, and not in a callback"
        );
        let engine = self.engine();
        engine.enter(|| {
            engine.arm_hook();
            engine.look_at_once();
            let next = engine.turn_within(budget.polls, budget.time);
            match next {
                // Before the host sleeps: whatever came before the hook was armed is seen.
                Next::At(_) | Next::Idle if engine.has_letters() => Next::Ready,
                Next::At(deadline) if deadline <= engine.now() => Next::Ready,
                next => next,
            }
        })
    }

    /// Turns until nobody is ready, without waiting for anything.
    ///
    /// # Panics
    /// As [`turn`](EventLoop::turn).
    pub fn run_until_stalled(&mut self) -> Next {
        loop {
            let next = self.turn(Budget::unlimited());
            if next != Next::Ready {
                return next;
            }
        }
    }

    /// No timer fires before this moment. Exact, unless the first of several timers was cancelled: then it may be that
    /// one's.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.engine().next_deadline()
    }

    /// Whether nobody is ready and no letter of another thread waits.
    pub fn is_idle(&self) -> bool {
        !self.engine().has_letters()
    }

    /// How many tasks are not over.
    pub fn live_tasks(&self) -> usize {
        self.engine().tasks().len()
    }

    /// How many tasks and callbacks stand in the ready queue.
    pub fn ready_tasks(&self) -> usize {
        self.engine().ready_len()
    }

    /// For a host whose virtual clock is to jump: moves it to the next deadline, if there is one, it is not held, and no
    /// work of [`to_thread`](crate::to_thread()) is out. False otherwise, and on another clock.
    pub fn jump_to_next_deadline(&self) -> bool {
        match (&self.engine().clock().0, self.next_deadline()) {
            (Source::Virtual(clock), Some(deadline))
                if !clock.is_held() && self.engine().work_out.is_empty() =>
            {
                clock.jump_to(deadline);
                true
            }
            _ => false,
        }
    }
}
