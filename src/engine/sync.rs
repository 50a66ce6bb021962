//! What the inbox, the hook and a reason take from outside to cross threads, in one place, so that the model checker can put its
//! own in their stead (`tests/loom.rs`).

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

pub(crate) use std::thread::{Thread, current, park, park_timeout};

pub(crate) use crossbeam_channel::{Receiver, Sender, unbounded as channel};
pub(crate) use parking_lot::Mutex;
