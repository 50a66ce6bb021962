//! **Blocking work**: [`to_thread`], and the thread pool that does it.
//!
//! A closure that blocks would stop the whole loop. A thread for each closure is the naive answer, but threads are slow to start,
//! and a burst of work would start too many. So each loop has a small pool. The worker stores the outcome in a [`Slot`] that it
//! shares with the future, wakes the future's task, and sends a call to the loop that counts the job as done. While that count is
//! not zero, the loop does not end, is not stuck, and its virtual clock does not jump. A job cannot be stopped: cancelling only
//! ends the wait.
//!
//! A forked process has none of the threads. Jobs that were running at the fork are lost there, and given up when the loop is idle.
//!
//! `pool` has the threads and their queue, `waiters` which tasks wait for which work, `join_threads` the end of the threads.
//!
//! It stands on `base`, `error`, the kernel, `trace`, `kept_waker`, `delivery`, `task`, `report` and `thread`.

mod errors;
mod join_threads;
mod pool;
mod waiters;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};

use crate::delivery::{Told, checkpoint};
use crate::engine::Engine;
use crate::error::{NoRunningLoop, Panic, TaskError};
use crate::kept_waker::GuardedWaker;
use crate::kernel::current;
use crate::report::{ExceptionContext, Failure};
use crate::task::running_loop;
use crate::thread::{Call, CallQueue, IfLost, drop_catching};
use crate::trace::Wait;
use pool::{Pool, this_process};
use waiters::HasWaiter;

pub use errors::CannotStartThread;
pub use join_threads::join_threads;
pub(crate) use pool::PoolSettings;

/// The blocking work of one loop.
pub(crate) struct Blocking {
    pool: RefCell<Option<Arc<Pool>>>,
    settings: PoolSettings,
    outstanding: OutstandingWork,
}

impl Blocking {
    pub(crate) fn new(settings: PoolSettings) -> Blocking {
        Blocking { pool: RefCell::default(), settings, outstanding: OutstandingWork::default() }
    }

    /// The pool; created on first use, and anew in a forked process.
    fn pool(&self) -> Arc<Pool> {
        let mut pool = self.pool.borrow_mut();
        match &*pool {
            Some(pool) if pool.is_of_this_process() => pool.clone(),
            _ => {
                let fresh = Pool::new(self.settings.clone());
                // Never dropped: at the fork, a thread of the other process may have been in the middle of changing it.
                mem::forget(pool.replace(fresh.clone()));
                fresh
            }
        }
    }
}

impl Engine {
    /// Whether blocking work is outstanding.
    pub(crate) fn has_work_out(&self) -> bool {
        !self.blocking.outstanding.is_empty()
    }
}

/// Runs a blocking closure on another thread, and awaits its value.
///
/// The threads are the loop's own small pool. A thread starts when it is first needed, and ends after it has been idle for a while
/// (see [`EventLoopBuilder::threads`](crate::EventLoopBuilder::threads)). The work begins at once, not at the first poll. If the
/// pool has as many threads as it may have and all are busy, or no further one can be started, the work waits for one of them.
///
/// # Cancellation
/// The wait ends. The work does not, because a thread cannot be stopped: it is detached, and its value is dropped on that thread,
/// or with the future if the work is done by then. A panic of the work, or of the value's destructor, is reported to the loop's
/// exception handler. A loop's `run` waits for outstanding work before it returns. A virtual clock does not jump while work is
/// outstanding.
///
/// # In a forked process
/// A forked process has none of the threads. A loop that goes on there starts new ones. Work that was outstanding at the fork is
/// lost there: awaiting it gives [`TaskError::Panicked`] with a message that says so, and if nothing awaits it, the message goes to
/// the loop's exception handler. Either happens when the loop next has nothing else to do.
///
/// What a thread was doing at the fork stays half done in the forked process; a lock that it held stays locked. So fork only while
/// no other thread sends something to the loop or wakes one of its tasks.
///
/// # Errors
/// [`TaskError::Panicked`] if the closure panics.
///
/// # Panics
/// Without a running loop, and if no thread can be started and the pool has none. [`try_to_thread`] returns an error instead.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// let length = loopwheel::to_thread(|| "some blocking work".len()).await;
/// assert_eq!(length, Ok(18));
/// # });
/// ```
///
/// `stream.map(|item| to_thread(move || work(item))).buffered(2)`, with the `StreamExt` of the `futures` crate, has two at work at a
/// time, gives the results in the order of the items, and takes no item before there is room.
///
/// # In asyncio
/// `asyncio.to_thread(func)`, `loop.run_in_executor(None, func)`.
#[doc(alias("spawn_blocking", "ordered pipeline", "parallel map"))]
#[track_caller]
pub fn to_thread<T, F>(work: F) -> ToThread<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match begin(&running_loop(), work, Location::caller()) {
        Ok(work) => work,
        Err(error) => panic!("{}", CannotStartThread::Refused(error)),
    }
}

/// Like [`to_thread`], but returns an error where that panics.
///
/// # Cancellation
/// As [`to_thread`].
///
/// # Errors
/// [`CannotStartThread`]. The closure has been dropped then; a panic of its destructor was reported to the loop's exception
/// handler. Awaiting the future that this returns gives the errors of [`to_thread`].
///
/// # Examples
/// ```
/// use loopwheel::{errors::CannotStartThread, run, try_to_thread};
///
/// let length = run(async {
///     match try_to_thread(|| "some blocking work".len()) {
///         Ok(work) => work.await.unwrap(),
///         Err(_) => "some blocking work".len(), // no thread is to be had: here, then
///     }
/// });
/// assert_eq!(length, 18);
/// assert!(matches!(try_to_thread(|| ()), Err(CannotStartThread::NoRunningLoop(_))));
/// ```
///
/// # In asyncio
/// `asyncio.to_thread(func)`, which raises `RuntimeError: can't start new thread`.
#[track_caller]
pub fn try_to_thread<T, F>(work: F) -> Result<ToThread<T>, CannotStartThread>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let engine = current::running().ok_or(NoRunningLoop)?;
    begin(&engine, work, Location::caller()).map_err(CannotStartThread::Refused)
}

fn begin<T, F>(
    engine: &Rc<Engine>,
    work: F,
    began_at: &'static Location<'static>,
) -> io::Result<ToThread<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let call_queue = engine.call_queue();
    let slot = Arc::new(Mutex::new(Slot { outcome: None, state: State::Running, waiter: None }));
    let key = engine.blocking.outstanding.next_key();
    let job = {
        let (slot, call_queue) = (slot.clone(), call_queue.clone());
        move || {
            // Created here, not with the job: a job that the pool hands back was never outstanding.
            let completion = Completion { slot, call_queue, key, began_at };
            let outcome = catch_unwind(AssertUnwindSafe(work));
            completion.with(outcome.map_err(|payload| TaskError::Panicked(Panic::new(payload))));
        }
    };
    if let Err((job, error)) = engine.blocking.pool().run(Box::new(job)) {
        if let Some(panic) = drop_catching(job) {
            engine.report(&ExceptionContext::of_no_task(Failure::Panicked(panic), began_at));
        }
        return Err(error);
    }
    // The job may be done already, but the loop counts that in a later turn: it cannot be removed before it is inserted.
    let job = Outstanding { process: this_process(), slot: slot.clone(), began_at };
    engine.blocking.outstanding.insert(key, job);
    Ok(ToThread { slot, call_queue, process: this_process(), began_at, told: Told::default() })
}

/// What the worker and the future share.
struct Slot<T> {
    /// From the end of the work until the future takes it.
    outcome: Option<Result<T, TaskError>>,
    state: State,
    /// The waker of the task that awaits the future.
    waiter: Option<Arc<GuardedWaker>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Running,
    Done,
    /// The future was dropped, and will not take the outcome.
    Abandoned,
}

/// Stores the outcome, and wakes the task that waits for it.
fn complete<T>(mut slot: MutexGuard<'_, Slot<T>>, outcome: Result<T, TaskError>) {
    slot.outcome = Some(outcome);
    if slot.state == State::Running {
        slot.state = State::Done;
    }
    let waiter = slot.waiter.take();
    drop(slot);
    if let Some(waiter) = waiter {
        GuardedWaker::wake(waiter); // if it panics, the destructor of `Completion` still runs
    }
}

/// Drops an unclaimed outcome; returns its panic, or that of its destructor. No lock may be held.
fn unclaimed_panic<T>(outcome: Option<Result<T, TaskError>>) -> Option<Panic> {
    match outcome {
        Some(Err(TaskError::Panicked(panic))) => Some(panic),
        outcome => drop_catching(outcome),
    }
}

/// The worker's end of a job. However the job ends, the destructor tells the loop that it is done.
struct Completion<T: Send + 'static> {
    slot: Arc<Mutex<Slot<T>>>,
    call_queue: Arc<CallQueue>,
    key: u64,
    began_at: &'static Location<'static>,
}

impl<T: Send + 'static> Completion<T> {
    fn with(self, outcome: Result<T, TaskError>) {
        complete(self.slot.lock(), outcome);
    }
}

impl<T: Send + 'static> Drop for Completion<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        let unclaimed = if slot.state == State::Abandoned { slot.outcome.take() } else { None };
        drop(slot);
        if let Some(panic) = unclaimed_panic(unclaimed) {
            self.call_queue.report(panic, self.began_at);
        }
        // Count on the loop's thread, so that the loop is woken and checks whether it may end; and after the report, so that the
        // loop does not end before it. A loop that is gone does not count.
        let key = self.key;
        let count = move || running_loop().blocking.outstanding.remove(key);
        let _ = self.call_queue.push(Call::new(count, IfLost::Nothing, self.began_at));
    }
}

/// The future of [`to_thread`].
#[must_use = "the work is done, but its value is lost unless awaited"]
pub struct ToThread<T> {
    slot: Arc<Mutex<Slot<T>>>,
    call_queue: Arc<CallQueue>,
    /// The process that does the work.
    process: u32,
    began_at: &'static Location<'static>,
    told: Told,
}

impl<T> ToThread<T> {
    /// `None` if the lock was held at the fork of this process: the thread that would release it does not exist here.
    fn slot(&self) -> Option<MutexGuard<'_, Slot<T>>> {
        let is_ours = || self.process == this_process();
        self.slot.try_lock().or_else(|| is_ours().then(|| self.slot.lock()))
    }
}

const TAKEN: &str =
    "the outcome of a `ToThread` was taken before: await it once, and keep the outcome";

impl<T> Future for ToThread<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if checkpoint::interrupted(&self.told, cx) {
            return Poll::Pending;
        }
        // The loop counts outstanding work, so its own waker need not also count as one that has escaped.
        let is_own = self.call_queue.wakes_own_task(cx.waker());
        let keep = if is_own { GuardedWaker::of_counted } else { GuardedWaker::of };
        let waker = keep(cx.waker());
        let Some(mut slot) = self.slot() else {
            return Poll::Ready(Err(TaskError::Panicked(lost())));
        };
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        assert!(slot.state == State::Running, "{TAKEN}");
        let old = slot.waiter.replace(waker);
        drop(slot);
        drop(old); // after the lock: it may run anything
        checkpoint::waits();
        checkpoint::tell_wait(Wait::Other { what: "work on another thread" });
        Poll::Pending
    }
}

impl<T> Drop for ToThread<T> {
    fn drop(&mut self) {
        let Some(mut slot) = self.slot() else { return };
        slot.state = State::Abandoned;
        let (outcome, waiter) = (slot.outcome.take(), slot.waiter.take());
        drop(slot);
        drop(waiter); // after the lock: it may run anything
        if let Some(panic) = unclaimed_panic(outcome) {
            self.call_queue.report(panic, self.began_at);
        }
    }
}

impl<T> fmt::Debug for ToThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.slot().is_some_and(|slot| slot.outcome.is_some());
        f.debug_struct("ToThread").field("is_done", &is_done).finish_non_exhaustive()
    }
}

/// The jobs of a loop that the loop does not know to be done. Used on the loop's thread only.
#[derive(Default)]
struct OutstandingWork {
    /// In the order of their keys, so that the oldest is first.
    jobs: RefCell<BTreeMap<u64, Outstanding>>,
    /// How many jobs there are: a driver checks it after each turn.
    count: Cell<usize>,
    next_key: Cell<u64>,
}

struct Outstanding {
    process: u32,
    slot: Arc<dyn Lose>,
    began_at: &'static Location<'static>,
}

impl OutstandingWork {
    #[inline]
    fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    fn next_key(&self) -> u64 {
        let key = self.next_key.get();
        self.next_key.set(key + 1);
        key
    }

    fn insert(&self, key: u64, job: Outstanding) {
        self.jobs.borrow_mut().insert(key, job);
        self.count.set(self.count.get() + 1);
    }

    /// The job is done. It may have been given up as lost before.
    fn remove(&self, key: u64) {
        let job = self.jobs.borrow_mut().remove(&key);
        if job.is_some() {
            self.count.set(self.count.get() - 1);
        }
    }

    /// Takes the oldest job if it began before this process was forked.
    fn pop_lost(&self) -> Option<Outstanding> {
        let mut jobs = self.jobs.borrow_mut();
        let oldest = jobs.first_entry().filter(|it| it.get().process != this_process())?;
        self.count.set(self.count.get() - 1);
        Some(oldest.remove())
    }
}

impl Engine {
    /// Gives up the jobs that began before this process was forked: each is completed as lost. True if there were any.
    #[cold]
    pub(crate) fn give_up_lost_work(&self) -> bool {
        let mut any = false;
        while let Some(job) = self.blocking.outstanding.pop_lost() {
            any = true;
            // A foreign waker may panic.
            let panic = catch_unwind(AssertUnwindSafe(|| job.slot.lose()))
                .unwrap_or_else(|payload| Some(Panic::new(payload)));
            if let Some(panic) = panic {
                self.report(&ExceptionContext::of_no_task(Failure::Panicked(panic), job.began_at));
            }
        }
        any
    }
}

/// The outcome of a lost job.
fn lost() -> Panic {
    Panic::new(Box::new(
        "the work is lost: this process was forked while a thread of the other was doing it",
    ))
}

/// A [`Slot`] of any type.
trait Lose: HasWaiter {
    /// The thread that would complete the job does not exist in this process. Returns an unclaimed panic.
    fn lose(&self) -> Option<Panic>;
}

impl<T> Lose for Mutex<Slot<T>> {
    fn lose(&self) -> Option<Panic> {
        let Some(mut slot) = self.try_lock() else { return Some(lost()) }; // locked for ever
        match slot.state {
            State::Running => {
                complete(slot, Err(TaskError::Panicked(lost())));
                None
            }
            State::Done => None, // only the call that counts it was lost
            State::Abandoned => {
                let unclaimed = slot.outcome.take();
                drop(slot);
                if unclaimed.is_some() { unclaimed_panic(unclaimed) } else { Some(lost()) }
            }
        }
    }
}
