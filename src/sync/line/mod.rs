//! **Primitives of one line**: a lock, a semaphore, an event.
//!
//! A primitive could wake a waiter and forget it. Then the wake-up of a task that is cancelled before it runs is lost. So all of
//! them wait in the one way of `object/wait.rs`, and decide only what a waiter that is called may take.
//!
//! | file | idea |
//! |---|---|
//! | `lock` | one holder at a time |
//! | `semaphore` | a number of permits |
//! | `event` | all waiters go on at once |
//!
//! It stands on `trace`, `object` and `waiting`.

mod event;
mod lock;
mod semaphore;

use thiserror::Error;

pub use event::Event;
pub use lock::{Lock, LockGuard, NotLocked};
pub use semaphore::{BoundedSemaphore, Permit, ReleasedTooOften, Semaphore};

/// A lock or a permit is not free, or other tasks are in line for it.
///
/// # In asyncio
/// There is none: `Lock` and `Semaphore` have no `acquire_nowait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not free: `acquire` waits for it")]
pub struct WouldWait;
