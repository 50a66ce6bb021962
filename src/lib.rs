//! **loopwheel** is a single-threaded async executor, written from scratch, with asyncio's task API built on it.
//!
//! ```
//! use std::time::Duration;
//! use loopwheel::{create_task, sleep};
//!
//! async fn fetch_user(id: u32) -> String {
//!     sleep(Duration::from_secs(1)).await;
//!     format!("User-{id}")
//! }
//!
//! let names = loopwheel::run_virtual(async {
//!     let (one, two) = (create_task(fetch_user(1)), create_task(fetch_user(2)));
//!     [one.await.unwrap(), two.await.unwrap()] // after one second, not two
//! });
//! assert_eq!(names, ["User-1", "User-2"]);
//! ```
//!
//! # The words
//!
//! - A *future* does nothing by itself: somebody awaits it.
//! - A *task* is a future that the loop runs: [`create_task`], or [`try_create_task`] if it can fail. Its handle, [`Task`], can be awaited, cancelled and asked.
//! - The *loop* runs tasks and callbacks in turns, and sleeps when there is nothing to do: [`run`], [`EventLoop`].
//! - *Cancelling* a task unwinds it from where it waits, its destructors and its clean-up included:
//!   [`Task::cancel`], [`catch_cancel`], [`finally`], [`shield()`].
//! - A *time limit* cancels what it holds: [`wait_for`], [`timeout()`], [`timeout_at`].
//!
//! # When something goes wrong
//!
//! A panic in a task is that task's outcome ([`TaskError::Panicked`]), and so is the `Err` of a task that was made with
//! [`try_create_task`] (to [`create_task`] a `Result` is a value like any other). A failure that nobody takes is reported
//! once, to the loop's exception handler. A loop that could never go on says so ([`Deadlock`]), and who waits for what.
//!
//! # Reading the source
//!
//! The engine is meant to be read in one evening, in the order that `src/engine/mod.rs` gives. Nothing is beneath it
//! but std, `crossbeam-channel` (the inbox), `parking_lot` (two locks off the hot path) and `thiserror`.

// The programs in these pages are compiled and run like those in the source.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/from-asyncio.md")]
    struct FromAsyncio;
    #[doc = include_str!("../docs/embedding.md")]
    struct Embedding;
}

mod as_completed;
mod builder;
mod callback;
mod cancel;
mod drive;
mod engine;
mod error;
mod event_loop;
mod exception_group;
#[cfg(feature = "futures")]
mod futures;
mod gather;
mod group;
mod host;
mod shield;
pub mod sync;
mod task;
mod task_local;
mod thread;
mod time;
mod timeout;
mod wait;

#[cfg(feature = "futures")]
pub use crate::futures::Spawner;
pub use as_completed::{AsCompleted, AsCompletedWithin, as_completed};
pub use builder::EventLoopBuilder;
pub use callback::{CallbackHandle, call_at, call_later, call_soon};
pub use cancel::{catch_cancel, finally};
pub use engine::clock::{Clock, HeldClock, VirtualClock};
pub use engine::instant::Instant;
pub use error::{
    Cancelled, CreateTaskError, DeadlineOver, Deadlock, ExceptionContext, Failure, NoCurrentTask,
    NoRunningLoop, Panic, ResultError, RunError, Stuck, TaskError, TimedOut, TooManyCallbacks,
    TooManyLoops, TooManyTasks,
};
pub use event_loop::{EventLoop, run, run_virtual, set_exception_handler, try_run};
pub use exception_group::{ExceptionGroup, Raised};
pub use gather::{
    Children, Ending, FromIterable, FromTuple, Gather, GatherChild, GatherOutcomes, IntoGather,
    IntoTryGather, PlainChild, TryChild, gather, try_gather,
};
pub use group::{GroupClosed, TaskGroup, TaskGroupBuilder};
pub use host::{Budget, Next};
pub use shield::shield;
pub use task::{
    SharedTask, SharedTaskOf, Task, TaskBuilder, TaskHandle, TaskOf, TaskRef, all_tasks,
    create_task, current_task, try_create_task, try_current_task,
};
pub use task_local::TaskLocal;
pub use thread::{
    CannotStartThread, Handle, LoopGone, RemoteError, RemoteTask, Reservation, ToThread, to_thread,
    try_to_thread,
};
pub use time::{Interval, Sleep, YieldNow, interval, now, sleep, sleep_until, try_now, yield_now};
pub use timeout::{Deadline, timeout, timeout_at, wait_for};
pub use wait::{AllCompleted, FirstCompleted, FirstException, ReturnWhen, Wait, wait};
