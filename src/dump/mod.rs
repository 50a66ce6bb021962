//! **Dumps**: what each task of a living loop waits for, and which tasks hold that.
//!
//! A task that is stuck cannot say so. To note at each await what is waited for would make all awaits slower. To poll each task and
//! let its checkpoints answer costs nothing until then, but it is a poll: foreign futures may do anything in it, and it cannot be
//! done while a task is being polled, or from another thread.
//!
//! A dump polls nothing and changes nothing. It asks the other side: whatever a task waits for keeps the task's waker, to wake it.
//! So a dump goes through all that keeps wakers (the joiners of each task, the timers, the lines of locks and queues, the work of
//! other threads), and notes for each waker the task that it wakes. Only foreign code is not asked: it cannot be. What a task waits
//! for is thus all that would wake it, also if the task has polled that and then awaits something else.
//!
//! A dump owns what it says, so it can be sent to another thread. It takes time in proportion to the tasks, timers and waiters.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | how a dump is asked for |
//! | `collect` | how it is collected |
//! | `deadlock` | a loop that can never go on, as an error |
//! | `stats` | numbers about a loop |
//!
//! Two rings of their own are inside it: `facts` (what a dump consists of) and `tree` (the same as a tree).
//!
//! It stands on `base`, `cells`, `error`, the kernel, `event`, `trace`, `kept_waker`, `object`, `time`, `join`, `task`, `thread`, `to_thread`, `dump/facts` and
//! `dump/tree`.

mod collect;
mod deadlock;
mod facts;
mod stats;
mod tree;

use std::panic::Location;
use std::sync::mpsc;

use crate::kernel::current;
use crate::kernel::record::RecordRef;
use crate::task::{SharedTaskOf, TaskOf, TaskRef, running_loop};
use crate::thread::{Call, Handle, IfLost, LoopGone};

pub use facts::{Dump, Holder, LineDump, ObjectDump, TaskDump, TaskName, TaskState, WaitsFor};
pub use stats::{Stats, TracedTask, stats};
pub use tree::AwaitTree;

/// What the tasks of the running loop do and wait for. It polls nothing and changes nothing.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::rc::Rc;
/// use loopwheel::{create_task, dump, sync::Lock, yield_now};
///
/// let lock = Rc::new(Lock::new().named("accounts"));
/// let guard = lock.acquire().await;
/// let waiter = create_task({
///     let lock = lock.clone();
///     async move { drop(lock.acquire().await) }
/// });
/// yield_now().await;
/// let waits_for = dump().tasks[1].waits_for[0].to_string();
/// assert_eq!(waits_for, r#"the lock "accounts", held by 'main' (Task-1)"#);
/// drop(guard);
/// waiter.await.unwrap();
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.all_tasks()` and `asyncio.print_call_graph(task)`.
#[track_caller]
pub fn dump() -> Dump {
    running_loop().dump()
}

impl Handle {
    /// What the tasks of the loop do and wait for.
    ///
    /// On another thread this blocks until the loop answers, in its next turn: a loop that is not running, or a task that does not
    /// yield, does not answer. In the loop itself it is [`dump()`].
    ///
    /// # Errors
    /// If the loop is gone.
    ///
    /// # Panics
    /// In a running loop that is another one, and on the thread of this loop outside of its run: it would block the loop.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{Handle, run, to_thread};
    ///
    /// let dump = run(async {
    ///     let handle = Handle::current();
    ///     to_thread(move || handle.dump()).await.unwrap().unwrap()
    /// });
    /// assert_eq!(dump.tasks[0].task.name, "main");
    /// ```
    ///
    /// # In asyncio
    /// `python -m asyncio pstree PID`, from another process.
    #[track_caller]
    pub fn dump(&self) -> Result<Dump, LoopGone> {
        if let Some(engine) = current::running() {
            assert!(
                self.call_queue.is_of_loop(&engine),
                "`Handle::dump` would block a running loop: call it by `to_thread`"
            );
            return Ok(engine.dump());
        }
        assert!(
            self.is_gone() || !self.call_queue.is_of_this_thread(),
            "`Handle::dump` would block the thread of its own loop: use `EventLoop::dump`"
        );
        let (answer, answered) = mpsc::sync_channel(1);
        let ask = move || _ = answer.send(running_loop().dump());
        self.call_queue.push(Call::new(ask, IfLost::Nothing, Location::caller()))?;
        answered.recv().map_err(|_| LoopGone) // the call is dropped if the loop ends before it
    }
}

impl TaskRef {
    /// What would wake the task: empty if it is ready, running or over. It polls nothing and changes nothing, but looks at all
    /// tasks of the loop: for more than one task make a [`Dump`].
    ///
    /// # Examples
    /// ```
    /// # loopwheel::run_virtual(async {
    /// use loopwheel::dump::WaitsFor;
    /// use loopwheel::{create_task, yield_now};
    ///
    /// let inner = create_task(std::future::pending::<()>());
    /// let outer = create_task(async move { _ = inner.await });
    /// yield_now().await;
    /// let [WaitsFor::Task(task)] = &outer.waiting_for()[..] else { panic!() };
    /// assert_eq!(task.name, "Task-2");
    /// # });
    /// ```
    ///
    /// # In asyncio
    /// `asyncio.capture_call_graph(task)`.
    pub fn waiting_for(&self) -> Vec<WaitsFor> {
        self.record().waiting_for()
    }
}

impl<O> TaskOf<O> {
    /// See [`TaskRef::waiting_for`].
    pub fn waiting_for(&self) -> Vec<WaitsFor> {
        self.record().waiting_for()
    }
}

impl<O> SharedTaskOf<O> {
    /// See [`TaskRef::waiting_for`].
    pub fn waiting_for(&self) -> Vec<WaitsFor> {
        self.record().waiting_for()
    }
}

impl RecordRef {
    fn waiting_for(&self) -> Vec<WaitsFor> {
        let dump = self.owner.dump();
        let this = dump.tasks.into_iter().find(|task| task.task.number == self.serial);
        this.map_or_else(Vec::new, |task| task.waits_for)
    }
}
