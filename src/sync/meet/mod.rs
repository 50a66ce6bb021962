//! **Where tasks meet**: primitives that are built on a lock or an event.
//!
//! | file | idea |
//! |---|---|
//! | `condition` | waiting, under a lock, until something is true |
//! | `barrier` | tasks that wait for each other |
//! | `promise` | a value that is set once |
//!
//! It stands on `cells`, `object`, `waiting`, `catch` and `sync/line`.

mod barrier;
mod condition;
mod promise;

pub use barrier::{Barrier, BrokenBarrier};
pub use condition::{Condition, ConditionGuard};
pub use promise::{AlreadySet, Promise};
