//! What tasks wait for together: locks, events, semaphores, queues.
//!
//! All of them wait in one way, [`waiters`]; each file adds one idea. None of them needs a loop to be made, and none
//! needs the waiting to be done by a loopwheel task: any future may wait here, on the one thread.
//!
//! They are `!Send` and lock nothing. Share one among tasks with an [`Rc`](std::rc::Rc).

mod barrier;
mod condition;
mod event;
mod heap;
mod lock;
mod promise;
mod queue;
mod semaphore;
mod store;
mod waiters;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::{Condition, ConditionGuard};
pub use event::Event;
pub use heap::MinHeap;
pub use lock::{Lock, LockGuard, NotLocked};
pub use promise::{AlreadySet, Promise};
pub use queue::{
    LifoQueue, PriorityQueue, PutError, Queue, QueueOf, QueueShutDown, TooManyTasksDone,
    TryGetError, TryPutError,
};
pub use semaphore::{BoundedSemaphore, Permit, ReleasedTooOften, Semaphore};
pub use store::Store;
