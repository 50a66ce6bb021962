//! A barrier: so many wait for each other.
//!
//! Written on the crate's own [`Condition`], as asyncio's is; nothing here waits in a way of its own.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use thiserror::Error;

use super::condition::{Condition, ConditionGuard};

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Waiting for the last to come.
    Filling,
    /// The last has come; all are let go.
    Draining,
    /// All who wait are turned away, and then it begins anew.
    Resetting,
    Broken,
}

/// The barrier was reset or aborted.
///
/// # In asyncio
/// `BrokenBarrierError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the barrier was reset or aborted while somebody waited, or is broken: make a new one or reset it"
)]
pub struct BrokenBarrier;

/// So many tasks wait until all of them have come.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::rc::Rc;
/// use loopwheel::{create_task, sync::Barrier};
///
/// let barrier = Rc::new(Barrier::new(2));
/// let other = create_task({
///     let barrier = barrier.clone();
///     async move { barrier.wait().await }
/// });
/// let mine = barrier.wait().await.unwrap();
/// let others = other.await.unwrap().unwrap();
/// assert_eq!(mine + others, 1); // one was number 0, one number 1
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.Barrier`.
#[derive(Debug)]
pub struct Barrier {
    condition: Condition,
    parties: usize,
    count: Cell<usize>,
    numbers: RefCell<Numbers>,
    state: Cell<State>,
}

/// The numbers of one round. As many are given out as parties are there, each below that count at most once: so when the
/// barrier is full each has been given out.
#[derive(Debug, Default)]
struct Numbers {
    /// None from here on has been given out.
    next: usize,
    /// Those below that were given back, the smallest first.
    given_back: BinaryHeap<Reverse<usize>>,
}

impl Numbers {
    fn take(&mut self) -> usize {
        if let Some(Reverse(number)) = self.given_back.pop() {
            return number;
        }
        self.next += 1;
        self.next - 1
    }

    fn give_back(&mut self, number: usize) {
        self.given_back.push(Reverse(number));
    }
}

impl Barrier {
    /// A barrier for so many tasks.
    ///
    /// # Panics
    /// If `parties` is zero.
    pub fn new(parties: usize) -> Barrier {
        assert!(parties > 0, "a barrier needs at least one party");
        Barrier {
            condition: Condition::new(),
            parties,
            count: Cell::new(0),
            numbers: RefCell::default(),
            state: Cell::new(State::Filling),
        }
    }

    /// Waits until all have come. Each is told a different number below [`parties`](Barrier::parties): the numbers are
    /// those of arrival, and one that comes after another has given up takes the number of that one.
    ///
    /// # Cancellation
    /// This one does not count any more, and its number is free again; the others go on waiting. If all had come already
    /// the others go on, and no one has this one's number.
    ///
    /// # Errors
    /// If the barrier is broken, or is reset or aborted meanwhile.
    pub async fn wait(&self) -> Result<usize, BrokenBarrier> {
        let guard = self.condition.acquire().await;
        // Who comes while the last ones leave waits for the next round.
        guard.wait_for(|| !matches!(self.state.get(), State::Draining | State::Resetting)).await;
        if self.state.get() == State::Broken {
            return Err(BrokenBarrier);
        }
        let number = self.numbers.borrow_mut().take();
        self.count.set(self.count.get() + 1);
        let _counted = Counted { barrier: self, guard: &guard, number };
        if self.count.get() == self.parties {
            self.state.set(State::Draining);
            guard.notify_all();
            return Ok(number);
        }
        guard.wait_for(|| self.state.get() != State::Filling).await;
        match self.state.get() {
            State::Broken | State::Resetting => Err(BrokenBarrier),
            State::Filling | State::Draining => Ok(number),
        }
    }

    /// Turns away everybody who waits; then the barrier begins anew.
    ///
    /// # Cancellation
    /// Before it has the barrier's lock: nothing has happened.
    pub async fn reset(&self) {
        let guard = self.condition.acquire().await;
        let somebody_waits = self.count.get() > 0;
        self.state.set(if somebody_waits { State::Resetting } else { State::Filling });
        guard.notify_all();
    }

    /// Breaks the barrier: everybody who waits, or comes, is turned away, until it is [reset](Barrier::reset).
    ///
    /// # Cancellation
    /// Before it has the barrier's lock: nothing has happened.
    pub async fn abort(&self) {
        let guard = self.condition.acquire().await;
        self.state.set(State::Broken);
        guard.notify_all();
    }

    /// How many must come.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many have come and wait.
    ///
    /// # In asyncio
    /// `barrier.n_waiting`.
    pub fn waiting(&self) -> usize {
        if self.state.get() == State::Filling { self.count.get() } else { 0 }
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.state.get() == State::Broken
    }
}

/// One who has come and has not left yet, in whatever way. Dropped before the guard, so under the lock.
struct Counted<'a> {
    barrier: &'a Barrier,
    guard: &'a ConditionGuard<'a>,
    number: usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let barrier = self.barrier;
        barrier.count.set(barrier.count.get() - 1);
        if barrier.state.get() == State::Filling {
            barrier.numbers.borrow_mut().give_back(self.number);
        }
        if barrier.count.get() == 0 {
            drop(mem::take(&mut *barrier.numbers.borrow_mut())); // a new round
        }
        if barrier.count.get() == 0
            && matches!(barrier.state.get(), State::Resetting | State::Draining)
        {
            barrier.state.set(State::Filling);
            self.guard.notify_all();
        }
    }
}
