//! **Sync**: the types with which the inbox, the notifier and a reason cross threads. They are imported in this one place, so that
//! the model checker can replace them with its own (`tests/loom.rs`).

pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded as channel};
pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
pub(crate) use std::thread::{Thread, current, park, park_timeout};
