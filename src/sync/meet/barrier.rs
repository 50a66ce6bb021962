//! A barrier: tasks that wait for each other.
//!
//! A count of arrivals is not enough: a waiter can give up, and the barrier can be reset while some wait. So it is a small state
//! machine under the lock of a [`Condition`], as in asyncio; it has no way of waiting of its own.
//!
//! asyncio's index is the count of waiters so far, which gives an index out twice after a waiter has given up. Here a pool of free
//! indices, smallest first, gives out the same ones if no waiter gives up, and none twice if one does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem;

use thiserror::Error;

use super::condition::{Condition, ConditionGuard};
use crate::cells::{Cell, RefCell};
use crate::object::What;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Some parties have not arrived.
    Filling,
    /// All parties have arrived, and some have not left yet.
    Draining,
    /// Reset while parties waited: they leave with an error, and then the next round begins.
    Resetting,
    Broken,
}

/// The barrier was reset or aborted.
///
/// # In asyncio
/// `BrokenBarrierError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the barrier was reset or aborted while a task waited, or is broken: make a new one or reset it"
)]
pub struct BrokenBarrier;

/// A barrier for a number of tasks: each waits until all of them have arrived.
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
    /// How many parties have arrived and not left.
    count: Cell<usize>,
    indices: RefCell<Indices>,
    state: Cell<State>,
}

/// The indices of one round. Each below `next` is held by one party that waits, or is in `free`: so a full round holds all of them.
#[derive(Debug, Default)]
struct Indices {
    /// No index from here on has been given out.
    next: usize,
    /// Indices below `next` that are free again, smallest first.
    free: BinaryHeap<Reverse<usize>>,
}

impl Indices {
    fn take(&mut self) -> usize {
        if let Some(Reverse(index)) = self.free.pop() {
            return index;
        }
        self.next += 1;
        self.next - 1
    }

    fn give_back(&mut self, index: usize) {
        self.free.push(Reverse(index));
    }
}

static BARRIER: What = What { kind: "barrier", of: "the other tasks at " };
static ITS_LOCK: What = What { kind: "barrier", of: "the lock of " };

impl Barrier {
    /// A barrier for this many tasks.
    ///
    /// # Panics
    /// If `parties` is zero.
    #[track_caller]
    pub fn new(parties: usize) -> Barrier {
        assert!(
            parties > 0,
            "a barrier needs at least one party: give the number of tasks that meet at it"
        );
        Barrier {
            condition: Condition::of(&BARRIER, &ITS_LOCK),
            parties,
            count: Cell::new(0),
            indices: RefCell::default(),
            state: Cell::new(State::Filling),
        }
    }

    /// Gives the barrier a name, for dumps and reports; see [`Lock::named`](crate::sync::Lock::named).
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Barrier {
        Barrier { condition: self.condition.named(name), ..self }
    }

    /// The name that was given to it.
    pub fn name(&self) -> Option<String> {
        self.condition.name()
    }

    /// Waits until all parties have arrived. Returns a different index below [`parties`](Barrier::parties) to each: the smallest
    /// that is free when it arrives. Indices are in the order of arrival, unless a task gives up: the next to arrive takes its
    /// index.
    ///
    /// # Cancellation
    /// This task is not counted any more, its index is free again, and the others go on waiting. If all parties had arrived
    /// already, the others go on, and no task gets this index in that round.
    ///
    /// # Errors
    /// If the barrier is broken, or is reset or aborted meanwhile.
    pub async fn wait(&self) -> Result<usize, BrokenBarrier> {
        let guard = self.condition.acquire().await;
        // A task that arrives while a round still leaves belongs to the next round.
        guard.wait_for(|| !matches!(self.state.get(), State::Draining | State::Resetting)).await;
        if self.state.get() == State::Broken {
            return Err(BrokenBarrier);
        }
        let index = self.indices.borrow_mut().take();
        self.count.set(self.count.get() + 1);
        let _counted = Counted { barrier: self, guard: &guard, index };
        if self.count.get() == self.parties {
            self.state.set(State::Draining);
            guard.notify_all();
            return Ok(index);
        }
        guard.wait_for(|| self.state.get() != State::Filling).await;
        match self.state.get() {
            State::Broken | State::Resetting => Err(BrokenBarrier),
            State::Filling | State::Draining => Ok(index),
        }
    }

    /// Makes all tasks that wait fail with [`BrokenBarrier`]. Then a new round begins.
    ///
    /// # Cancellation
    /// Before it has the barrier's lock: nothing has happened.
    pub async fn reset(&self) {
        let guard = self.condition.acquire().await;
        let any_waits = self.count.get() > 0;
        self.state.set(if any_waits { State::Resetting } else { State::Filling });
        guard.notify_all();
    }

    /// Breaks the barrier: all tasks that wait, or that arrive before it is [reset](Barrier::reset), fail with [`BrokenBarrier`].
    ///
    /// # Cancellation
    /// Before it has the barrier's lock: nothing has happened.
    pub async fn abort(&self) {
        let guard = self.condition.acquire().await;
        self.state.set(State::Broken);
        guard.notify_all();
    }

    /// How many tasks must arrive.
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many tasks have arrived and wait.
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

/// A party that has arrived and not left. Dropped however it leaves, and before the guard, so under the lock.
struct Counted<'a> {
    barrier: &'a Barrier,
    guard: &'a ConditionGuard<'a>,
    index: usize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let barrier = self.barrier;
        barrier.count.set(barrier.count.get() - 1);
        // Only an incomplete round needs the index again.
        if barrier.state.get() == State::Filling {
            barrier.indices.borrow_mut().give_back(self.index);
        }
        if barrier.count.get() == 0 {
            drop(mem::take(&mut *barrier.indices.borrow_mut())); // a new round
        }
        // The last party of a round lets in the tasks that wait for the next one.
        if barrier.count.get() == 0
            && matches!(barrier.state.get(), State::Resetting | State::Draining)
        {
            barrier.state.set(State::Filling);
            self.guard.notify_all();
        }
    }
}
