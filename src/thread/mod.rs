//! Other threads: how they reach a loop, and how a loop lends them work.
//!
//! - [`Handle`]: calls and tasks from other threads, and their results back.
//! - [`to_thread()`]: blocking work on a small pool, awaited on the loop.
//!
//! Neither has a way of its own into the loop. A loop that has given out a handle keeps a *doorbell*: a callback with a
//! task's number, which is rung by waking it, as any task is woken from anywhere, and which answers what lies at the
//! gate. So what is checked of wake-ups (`tests/loom.rs`) holds for this too.

mod handle;
mod pool;
mod remote;
mod to_thread;

pub use handle::{Handle, LoopGone, Reservation};
pub use remote::{RemoteError, RemoteTask};
pub use to_thread::{CannotStartThread, ToThread, to_thread, try_to_thread};

pub(crate) use handle::Gate;
pub(crate) use pool::{Pool, PoolSettings};
pub(crate) use to_thread::WorkOut;
