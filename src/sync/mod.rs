//! Synchronization primitives: locks, events, semaphores, conditions, barriers, promises and queues.
//!
//! Each can be created without a loop, and any future on its thread may wait for it: a loopwheel task is not needed. The
//! primitives are `!Send` and lock nothing. Share one among tasks with an [`Rc`](std::rc::Rc).
//!
//! What need not wait does not let other tasks run. So a task that only gets items from a queue that is never empty keeps the loop
//! for itself, unless it calls [`yield_now`](crate::yield_now) at times.
//!
//! | ring | idea |
//! |---|---|
//! | `line` | the line in which all of them wait, and what needs nothing but a line: lock, event |
//! | `semaphore` | a number of permits: one, several at once, kept with the semaphore |
//! | `meet` | condition, barrier, promise |
//! | `queue` | queues in three orders |
//!
//! It stands on `waiting`, `sync/line`, `sync/semaphore`, `sync/meet` and `sync/queue`.

pub(crate) mod line;
mod meet;
mod queue;
mod semaphore;

pub use crate::waiting::WouldWait;
pub use line::{Event, Lock, LockGuard, NotLocked};
pub use meet::{AlreadySet, Barrier, BrokenBarrier, Condition, ConditionGuard, Promise};
pub use queue::{
    GetNowaitError, LifoQueue, MinHeap, PriorityQueue, PutError, PutNowaitError, Queue, QueueOf,
    QueueShutDown, Store, TooManyTasksDone,
};
pub use semaphore::{BoundedSemaphore, OwnedPermit, Permit, Permits, ReleasedTooOften, Semaphore};
