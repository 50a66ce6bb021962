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
//! # What there is
//!
//! | to … | there is |
//! |---|---|
//! | run a program | [`run()`], [`try_run`], [`run_virtual`]; with settings: [`EventLoop`] |
//! | start tasks (spawn) | [`create_task`], [`try_create_task`]; with a name, or polled at once ([`eager_start`](TaskBuilder::eager_start)): [`TaskBuilder`]; their handles: [`Task`], [`SharedTask`], [`TaskRef`] |
//! | run several things | [`gather()`], [`try_gather`], [`TaskGroup`], [`wait()`], [`as_completed`]; a set that grows: [`TaskSet`] |
//! | take the first of several | [`race()`], [`first_ok`] |
//! | wait | [`sleep()`], [`sleep_until`], [`interval`], [`interval_at`], [`yield_now`]; [`now`] is the time |
//! | limit the time | [`wait_for`], [`timeout()`], [`timeout_at`] |
//! | cancel, and clean up | [`Task::cancel`], [`catch_cancel`], [`finally`], [`shield()`]; clean-up that nothing cuts: [`finally_within`], [`protect()`]; why: [`CancelledBy`] |
//! | share data | `Rc<RefCell<…>>`, of which no borrow spans an await: no other task runs in between; a value for each task: [`TaskLocal`] |
//! | exclude, count, signal, hand over | [`sync`]: a lock for what spans an await, semaphores, events, conditions, barriers, promises, queues |
//! | use threads | [`to_thread()`] for work that blocks, [`join_threads`]; a [`thread_channel()`] for what threads send; a [`Handle`] to call functions and run tasks from them |
//! | call a function later | [`call_soon`], [`call_later`], [`call_at`] |
//! | see what it does | [`dump()`], [`stats`], [`mod@trace`], [`Recorder`] (feature `record`), [`set_debug`], [`set_exception_handler`], [`call_exception_handler`] |
//! | test | [`run_test`]; with settings: [`TestRun`]; [`VirtualClock`]; in every order: `explore` (feature `explore`) |
//! | drive a loop from another one | [`EventLoop::turn`], [`EventLoop::run_for`], [`EventLoop::drive`], [`Next`], [`Budget`] |
//! | handle errors | [`TaskError`], [`Cancelled`], [`TimedOut`], [`ExceptionGroup`], [`RunError`], [`Deadlock`]; the others: [`errors`] |
//!
//! [`prelude`] has what most programs use. [`bounds`] has what only signatures name.
//!
//! Three rules for the names. A `try_` form is for what can fail, and gives the failure as an `Err`: `try_run` returns it where
//! `run` panics, and `try_create_task` and `try_gather` take futures that can fail. `_nowait` does something at once or returns an
//! error: [`Queue::put_nowait`](sync::Queue::put_nowait), [`Lock::acquire_nowait`](sync::Lock::acquire_nowait). `_if_` names what
//! may be missing: [`TaskGroup::create_task_if_open`].
//!
//! # The words
//!
//! - A *future* does nothing by itself: it has to be awaited.
//! - A *task* is a future that the loop runs: [`create_task`], or [`try_create_task`] if it can fail. Its handle, [`Task`], can be
//!   awaited and cancelled, and answers questions about the task.
//! - The *loop* runs tasks and callbacks in turns, and sleeps when there is nothing to do: [`run()`], [`EventLoop`].
//! - *Cancelling* a task unwinds it from the point where it waits, and runs its destructors and its clean-up:
//!   [`Task::cancel`], [`catch_cancel`], [`finally`], [`shield()`]. Clean-up may be *protected* from further cancels:
//!   [`finally_within`], [`protect()`].
//! - A *time limit* cancels the future inside it: [`wait_for`], [`timeout()`], [`timeout_at`].
//!
//! # When something goes wrong
//!
//! A panic in a task is that task's outcome ([`TaskError::Panicked`]), and so is the `Err` of a task that was created with
//! [`try_create_task`] (to [`create_task`] a `Result` is a value like any other). A failure that no task or handle will see is
//! reported once, to the loop's exception handler. A loop that could never go on makes [`run()`] panic, and [`try_run`] return an
//! error ([`Deadlock`]), with what each task waits for. A loop that goes on can be asked the same: [`dump()`].
//!
//! # Coming from elsewhere
//!
//! Three pages give the name here for each name there, with what differs: `docs/from-asyncio.md`, `docs/from-tokio.md` and
//! `docs/from-trio.md` (which is for anyio, too).
//!
//! # Other crates
//!
//! There are no sockets and no files here: a task awaits those of other crates. `docs/ecosystem.md` says which were tried, for
//! sockets, TLS, HTTP, databases, GUIs, Python and wasm, and what each takes.
//!
//! # Reading the source
//!
//! The source has rings. A ring uses only the rings before it in this table, and the header of its first file says which;
//! `tests/rings.rs` enforces that, and that no file has more than 450 lines. Two files are outside the order: `engine.rs` owns one
//! field for each ring, and `cold.rs` owns the rarely used parts of a task. Beneath all is only std,
//! `crossbeam-channel` (what threads tell a loop of its channels), `parking_lot` (locks off the hot path) and `thiserror`.
//!
//! | ring | idea |
//! |---|---|
//! | `base` | ids, instants, slabs, free lists: nothing here knows of a loop |
//! | `cells` | the cells of primitives, which an exploration watches |
//! | `wait_list` | a queue of waiters that can also leave from the middle |
//! | `reason` | why and where a task was cancelled, in one word |
//! | `error` | all errors |
//! | `kernel` | **the executor**: the task record, the ready queue, the waker, the turn |
//! | `foreign` | how the crate calls code that is not its own |
//! | `event` | what an observer is told |
//! | `trace` | telling an observer what the loop does, and why |
//! | `choices` | decisions of a loop that something else may take |
//! | `kept_waker` | what a future stores of the waker that it was polled with |
//! | `mailbox` | wake-ups from other threads, and how a parked loop hears of them |
//! | `room` | how many tasks fit into the table, and when memory is given back |
//! | `task_local` | values that a task has and its children inherit |
//! | `delivery` | how a cancel reaches everything that a task awaits |
//! | `clock` | where a loop's time comes from |
//! | `object` | locks, queues and the like, as a dump and an observer see them |
//! | `waiting` | the one way in which the primitives wait |
//! | `time` | the timer wheel |
//! | `open_limits` | time limits in their first poll |
//! | `deaf` | polls in which a task does not hear that it is woken |
//! | `scope` | what can catch a cancel, or deliver one to what is inside it |
//! | `awaited` | what a task awaits |
//! | `cancel` | from `task.cancel()` to the polls that deliver it |
//! | `join` | waiting for the end of one task, or of many |
//! | `task` | handles of tasks, and references to them |
//! | `spawning` | how tasks are created |
//! | `catch` | `catch_cancel`, `finally`, `shield` |
//! | `report` | the exception handler |
//! | `gather/await_set` | the await of a set of tasks |
//! | `gather/children` | what can be gathered |
//! | `gather` | `gather`, `try_gather` |
//! | `sleep` | `sleep`, `interval`, `yield_now` |
//! | `callback` | functions that the loop calls, without a task |
//! | `sync/line` | `Lock`, `Event` |
//! | `sync/semaphore` | `Semaphore`, `BoundedSemaphore` |
//! | `sync/meet` | tasks that meet: `Condition`, `Barrier`, `Promise` |
//! | `sync/queue` | queues in three orders |
//! | `sync` | the public names of these four |
//! | `limited` | a limit on how many tasks run at once |
//! | `given` | what a time limit may be given as |
//! | `timeout` | time limits |
//! | `protect` | clean-up that nothing cuts |
//! | `wait` | `wait`, `as_completed` |
//! | `exception_group` | several errors as one |
//! | `race` | `race`, `first_ok` |
//! | `group/state` | the children of a group, and their errors |
//! | `group` | `TaskGroup`: tasks that end together |
//! | `task_set` | `TaskSet`: results as they come, while the set grows |
//! | `thread` | handles of a loop for other threads |
//! | `thread_channel` | a channel from threads to the loop |
//! | `to_thread` | blocking work, and its thread pool |
//! | `parking` | how the loop's thread sleeps: parked, or in a poller |
//! | `dump/facts` | what a dump consists of, as text and as JSON |
//! | `dump/tree` | a dump as a tree, and its cycles |
//! | `dump` | what each task waits for, and which tasks hold that |
//! | `watch` | what a loop notices of itself: slow polls, quiet, livelocks |
//! | `explored` | what is asked before each poll of a loop that is explored (a feature) |
//! | `close` | the end of a run, and of a loop |
//! | `run` | `EventLoop`: what happens before, between and after turns |
//! | `start` | `run`, `try_run`, `run_virtual` |
//! | `test_run` | a test: a run that fails if anything in it did |
//! | `host` | the loop inside another loop: `turn`, `run_for`, `drive` |
//! | `io` | the loop in async-io's reactor (a feature) |
//! | `recorder` | a run that is kept, and shown |
//! | `explore/page` | the page of an explored run that has failed |
//! | `explore/schedule` | the decisions of an explored run, and who takes them (a feature) |
//! | `explore/one` | one explored run |
//! | `explore/search` | one run after the other, and what is said |
//! | `explore` | a test in every order |
//!
//! Three ways to read it. `docs/engine.md` has them step by step, with pictures and the tests that belong to each:
//!
//! - **30 minutes.** One task, one loop: the headers of `kernel/mod.rs`, `base/id.rs` and `kernel/record/mod.rs`; then `state.rs`
//!   beside that, and of the kernel `queue.rs`, `tasks.rs`, `waker.rs`, `turn.rs` and `life.rs`.
//! - **An evening.** What wakes a loop: the whole kernel, `engine.rs`, `cold.rs`, `kept_waker`, `mailbox`, `time`, `sleep`, `run`.
//! - **A week.** All rings, roughly in the order above, one idea each day: a task, time and threads, joining, cancelling
//!   (`cancel`, `delivery`), catching (`scope`, `catch`, `timeout`), many tasks at once, and what is outermost.

// The examples in these pages are compiled and run as doc tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/from-asyncio.md")]
    struct FromAsyncio;
    #[doc = include_str!("../docs/from-trio.md")]
    struct FromTrio; // `docs/from-tokio.md` is tested by the package `interop`, `docs/ecosystem.md` by `ecosystem`
    #[cfg(feature = "record")]
    #[doc = include_str!("../docs/trace.md")]
    struct Trace;
}

mod aside;
mod awaited;
mod base;
mod callback;
mod cancel;
mod catch;
mod cells;
#[cfg_attr(not(feature = "explore"), allow(dead_code))]
mod choices;
mod clock;
mod close;
mod cold;
mod deaf;
mod delivery;
pub mod dump;
mod eager;
mod engine;
mod error;
mod event;
mod exception_group;
#[cfg(feature = "explore")]
pub mod explore;
#[cfg(feature = "explore")]
mod explored;
mod fifo;
mod foreign;
#[cfg(feature = "futures")]
mod futures;
mod gather;
mod given;
mod group;
mod host;
#[cfg(feature = "async-io")]
pub mod io;
mod join;
mod kept_waker;
mod kernel;
mod limited;
mod lines;
mod mailbox;
mod object;
mod open_limits;
mod parking;
mod protect;
mod race;
mod reason;
mod recorder;
mod report;
mod room;
mod run;
mod scope;
mod sleep;
mod spawning;
mod start;
pub mod sync;
mod task;
mod task_local;
mod task_set;
mod test_run;
#[cfg(test)]
mod testing;
mod thread;
mod thread_channel;
mod time;
mod timeout;
mod to_thread;
pub mod trace;
mod wait;
mod wait_list;
mod waiting;
mod watch;

#[cfg(feature = "futures")]
pub use crate::futures::Spawner;
pub use base::instant::Instant;
pub use callback::{CallbackHandle, call_at, call_later, call_soon};
pub use catch::{catch_cancel, finally, shield};
pub use clock::{Clock, HeldClock, VirtualClock};
pub use dump::{dump, stats};
pub use error::{Cancelled, Deadlock, Panic, RunError, TaskError, TimedOut};
pub use exception_group::{ExceptionGroup, Raised};
pub use gather::{Gather, GatherOutcomes, gather, try_gather};
pub use group::{TaskGroup, TaskGroupBuilder};
pub use host::Budget;
pub use kernel::turn::Next;
pub use protect::{finally_within, protect};
pub use race::{FirstOk, Race, first_ok, race};
pub use reason::CancelledBy;
pub use recorder::Recorder;
pub use report::{ExceptionContext, Failure, call_exception_handler, set_exception_handler};
pub use run::{EventLoop, EventLoopBuilder};
pub use sleep::{
    Interval, Sleep, YieldNow, interval, interval_at, now, sleep, sleep_until, try_now, yield_now,
};
pub use spawning::{TaskBuilder, create_task, try_create_task};
pub use start::{run, run_virtual, try_run};
pub use task::{
    SharedTask, SharedTaskOf, Task, TaskHandle, TaskOf, TaskRef, all_tasks, current_task,
    try_current_task,
};
pub use task_local::TaskLocal;
pub use task_set::TaskSet;
pub use test_run::{TestRun, run_test};
pub use thread::{Handle, RemoteTask, Reservation};
pub use thread_channel::{LoopReceiver, ThreadSender, thread_channel};
pub use timeout::{Deadline, timeout, timeout_at, wait_for};
pub use to_thread::{ToThread, join_threads, to_thread, try_to_thread};
pub use wait::{
    AllCompleted, AsCompleted, AsCompletedWithin, FirstCompleted, FirstException, ReturnWhen, Wait,
    as_completed, wait,
};
pub use watch::{set_debug, set_trace};

/// The errors that a program seldom names. Those of a task and of a run are at the root, those of the primitives in [`sync`].
pub mod errors {
    pub use crate::error::{
        CreateTaskError, DeadlineOver, NoCurrentTask, NoRunningLoop, ResultError, Stuck,
        TooManyCallbacks, TooManyLoops, TooManyTasks,
    };
    pub use crate::group::GroupClosed;
    pub use crate::thread::{LoopGone, RemoteError};
    pub use crate::thread_channel::{RecvNowaitError, SendError, SendNowaitError};
    pub use crate::to_thread::CannotStartThread;
}

/// What the bounds of functions name, and a program seldom does: what can be gathered and what can race, what a limit is given as, what a
/// group's children return, what a clean-up is.
pub mod bounds {
    pub use crate::catch::{Cleanup, Closure, LazyFuture};
    pub use crate::exception_group::{BodyOutput, ChildOutput, IntoRaised};
    pub use crate::gather::{
        Children, Ending, FromIterable, FromTuple, GatherChild, IntoGather, IntoTryGather,
        PlainChild, TryChild,
    };
    pub use crate::given::{IntoDeadline, IntoLimit};
    pub use crate::race::{IntoFirstOk, IntoRace};
    pub use crate::timeout::LimitBody;
}

/// What most programs use: `use loopwheel::prelude::*`.
///
/// ```
/// use loopwheel::prelude::*;
///
/// run_virtual(async {
///     let task = create_task(sleep(Duration::from_secs(1)));
///     assert!(wait_for(task, Duration::from_millis(10)).await.is_err());
/// });
/// ```
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::sync::{Event, Lock, Queue, Semaphore};
    pub use crate::{
        AllCompleted, Cancelled, EventLoop, ExceptionGroup, FirstCompleted, FirstException, Task,
        TaskBuilder, TaskError, TaskGroup, TaskSet, TimedOut, all_tasks, as_completed,
        catch_cancel, create_task, current_task, finally, first_ok, now, run_test, run_virtual,
        shield, try_create_task, try_gather, wait_for, yield_now,
    };
    // Modules have these names, too. Named by their paths, the page of the prelude lists the functions alone.
    #[doc(no_inline)]
    pub use crate::{
        gather::gather, race::race, sleep::sleep, start::run, timeout::timeout,
        to_thread::to_thread, wait::wait,
    };
}
