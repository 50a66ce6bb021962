//! **Primitives of one line**: a lock, an event.
//!
//! A primitive could wake a waiter and forget it. Then the wake-up of a task that is cancelled before it runs is lost. So all of
//! them wait in the one way of `object/wait.rs`, and decide only what a waiter that is called may take.
//!
//! | file | idea |
//! |---|---|
//! | `lock` | one holder at a time |
//! | `event` | all waiters go on at once |
//!
//! It stands on `cells`, `trace`, `object` and `waiting`.

mod event;
mod lock;

pub use event::Event;
pub use lock::{Lock, LockGuard, NotLocked};
