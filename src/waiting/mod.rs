//! **Waiting in line**: how every primitive of `sync` waits.
//!
//! A primitive could keep a queue of wakers and wake the first when something comes free. But the woken task may never use that
//! wake-up: it is cancelled first, or its future loses a `select!`. Then the wake-up is lost, and the other waiters sleep for ever.
//!
//! So a waiter that has been *called* (taken out of the line and woken) stays known until it is polled again. The rule: *a called
//! waiter either goes on, or hands the call on.* A [`Wait`] that is cancelled or dropped in between tells its [`Owner`], the
//! primitive, which calls the next waiter. A call passes no value: each primitive decides what a called waiter may take.
//!
//! | file | idea |
//! |---|---|
//! | `waiters` | the word that an operation tests, and how waiters are called |
//! | `wait` | the future that waits in a line |
//!
//! It stands on `cells`, `wait_list`, the kernel, `kept_waker`, `delivery` and `object`.

mod wait;
mod waiters;

use thiserror::Error;

pub(crate) use wait::{Owner, Wait};
pub(crate) use waiters::Waiters;

/// A lock or a permit is not free, or other tasks are in line for it.
///
/// # In asyncio
/// There is none: `Lock` and `Semaphore` have no `acquire_nowait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not free: `acquire` waits for it")]
pub struct WouldWait;
