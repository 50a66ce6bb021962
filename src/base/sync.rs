//! **Sync**: the types with which the inbox and the notifier cross threads. They are imported in this one place, so that
//! the model checker can replace them with its own (`tests/loom.rs`).

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
pub(crate) use std::thread::{Thread, current, park, park_timeout};
