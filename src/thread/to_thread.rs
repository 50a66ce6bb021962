//! [`to_thread`]: blocking work, awaited.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;

use super::handle::{Call, Gate, IfLost, drop_of_nobody};
use super::pool::this_process;
use crate::engine::current;
use crate::engine::foreign::GuardedWaker;
use crate::engine::leaf::{self, Told};
use crate::engine::turn::Engine;
use crate::error::{ExceptionContext, Failure, NoRunningLoop, Panic, TaskError};
use crate::task::running_loop;

/// A thread for blocking work could not be started, and the loop has none that could do the work instead.
///
/// # In asyncio
/// `RuntimeError: can't start new thread`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CannotStartThread {
    /// There is no loop on this thread, so no pool of threads either.
    #[error(transparent)]
    NoRunningLoop(#[from] NoRunningLoop),
    /// The operating system refused: this process, or its user, has as many threads or as much memory as it may have.
    #[error(
        "no thread for blocking work can be started ({0}): raise the limit of threads or of memory, \
         end other threads, or do the work without `to_thread`"
    )]
    Refused(#[source] io::Error),
}

/// Runs a blocking closure on another thread, and awaits its value.
///
/// The threads are the loop's own small pool; the first starts when it is first needed, and an idle one ends after a
/// while (see [`EventLoopBuilder::threads`](crate::EventLoopBuilder::threads)). The work begins at once, not at the first
/// poll; if all threads that the pool may have are busy, or no further one can be started, it waits for one of them.
///
/// # Cancellation
/// The wait ends; the work does not, for a thread cannot be stopped. It is detached, and its value is dropped: on that
/// thread, or with the future if the work is done by then. A panic of the work, or of the value's destructor, is reported to
/// the loop's exception handler. A loop's `run`
/// waits for work that is out before it returns. A virtual clock does not jump while work is out.
///
/// # In a forked process
/// A process that is forked has none of the threads. A loop that goes on there starts new ones. Work that was out when the
/// process was forked is lost there: awaiting it gives [`TaskError::Panicked`] with a message that says so, and if nothing
/// awaits it the message goes to the loop's exception handler; either happens when the loop next has nothing else to do.
///
/// What a thread was in the middle of at that moment stays in the middle in the forked process, as a lock that it held stays
/// locked. So fork while no other thread is sending something to the loop, or waking one of its tasks.
///
/// # Errors
/// [`TaskError::Panicked`] if the closure panics.
///
/// # Panics
/// Without a running loop, and if no thread can be started and the pool has none; [`try_to_thread`] returns an error instead.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// let length = loopwheel::to_thread(|| "some blocking work".len()).await;
/// assert_eq!(length, Ok(18));
/// # });
/// ```
///
/// # In asyncio
/// `asyncio.to_thread(func)`, `loop.run_in_executor(None, func)`.
#[doc(alias = "spawn_blocking")]
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

/// Like [`to_thread`], with an error in place of the panics.
///
/// # Cancellation
/// As [`to_thread`].
///
/// # Errors
/// [`CannotStartThread`]. Nothing is left to be done then: the closure has been dropped, and if its destructor panicked, the
/// loop's exception handler was told. Awaiting what this returns gives the errors of [`to_thread`].
///
/// # Examples
/// ```
/// use loopwheel::{CannotStartThread, run, try_to_thread};
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
    let gate = engine.gate();
    let slot = Arc::new(Mutex::new(Slot { outcome: None, state: State::Out, waiter: None }));
    let number = engine.work_out.next_number();
    let job = {
        let (slot, gate) = (slot.clone(), gate.clone());
        move || {
            // Not before: a job that is never begun was never out.
            let back = CameBack { slot, gate, number, began_at };
            let outcome = catch_unwind(AssertUnwindSafe(work));
            back.with(outcome.map_err(|payload| TaskError::Panicked(Panic::new(payload))));
        }
    };
    if let Err((job, error)) = engine.pool().run(Box::new(job)) {
        if let Some(panic) = drop_of_nobody(job) {
            engine.report(&ExceptionContext::of_nobody(Failure::Panicked(panic), began_at));
        }
        return Err(error);
    }
    // If it is back already, the loop has not been told: that takes a turn.
    engine.work_out.went(number, Out { process: this_process(), slot: slot.clone(), began_at });
    Ok(ToThread { slot, gate, process: this_process(), began_at, told: Told::default() })
}

struct Slot<T> {
    outcome: Option<Result<T, TaskError>>,
    state: State,
    waiter: Option<Arc<GuardedWaker>>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Out,
    Back,
    /// Nobody will take the outcome.
    Abandoned,
}

/// The work has an outcome.
fn settle<T>(mut slot: MutexGuard<'_, Slot<T>>, outcome: Result<T, TaskError>) {
    slot.outcome = Some(outcome);
    if slot.state == State::Out {
        slot.state = State::Back;
    }
    let waiter = slot.waiter.take();
    drop(slot);
    if let Some(waiter) = waiter {
        GuardedWaker::wake(waiter); // if it panics, the destructor of `CameBack` still does its part
    }
}

/// Drops an outcome that nobody will take; no lock is held. Hands back the panic that it is, or that its destructor throws.
fn panic_of_nobody<T>(outcome: Option<Result<T, TaskError>>) -> Option<Panic> {
    match outcome {
        Some(Err(TaskError::Panicked(panic))) => Some(panic),
        outcome => drop_of_nobody(outcome),
    }
}

/// The thread's end of it. Whatever happens there, the loop is told that the work has come back.
struct CameBack<T: Send + 'static> {
    slot: Arc<Mutex<Slot<T>>>,
    gate: Arc<Gate>,
    number: u64,
    began_at: &'static Location<'static>,
}

impl<T: Send + 'static> CameBack<T> {
    fn with(self, outcome: Result<T, TaskError>) {
        settle(self.slot.lock(), outcome);
    }
}

impl<T: Send + 'static> Drop for CameBack<T> {
    fn drop(&mut self) {
        let mut slot = self.slot.lock();
        let left = if slot.state == State::Abandoned { slot.outcome.take() } else { None };
        drop(slot);
        if let Some(panic) = panic_of_nobody(left) {
            self.gate.report(panic, self.began_at);
        }
        // Counted on the loop's own thread, so that it looks again when the last work has come back, and after the report,
        // so that it makes that first. If the loop is gone nobody counts any more.
        let number = self.number;
        let count = move || running_loop().work_out.came_back(number);
        let _ = self.gate.leave(Call::new(count, IfLost::Nothing, self.began_at));
    }
}

/// The future of [`to_thread`].
#[must_use = "the work is done, but its value is lost unless awaited"]
pub struct ToThread<T> {
    slot: Arc<Mutex<Slot<T>>>,
    gate: Arc<Gate>,
    /// In which the work is done.
    process: u32,
    began_at: &'static Location<'static>,
    told: Told,
}

impl<T> ToThread<T> {
    /// `None` if a thread holds the lock for ever: one of the process that this one was forked from.
    fn slot(&self) -> Option<MutexGuard<'_, Slot<T>>> {
        let is_ours = || self.process == this_process();
        self.slot.try_lock().or_else(|| is_ours().then(|| self.slot.lock()))
    }
}

impl<T> Future for ToThread<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if leaf::interrupted(&self.told, cx, || "work on another thread".to_owned()) {
            return Poll::Pending;
        }
        // A waker of this loop's own need not count as somebody else's: the work that is out is counted.
        let waker = if self.gate.is_own(cx.waker()) {
            GuardedWaker::of_counted(cx.waker())
        } else {
            GuardedWaker::of(cx.waker())
        };
        let Some(mut slot) = self.slot() else {
            return Poll::Ready(Err(TaskError::Panicked(lost())));
        };
        if let Some(outcome) = slot.outcome.take() {
            return Poll::Ready(outcome);
        }
        assert!(slot.state == State::Out, "the outcome of a `ToThread` was taken before");
        let old = slot.waiter.replace(waker);
        drop(slot);
        drop(old); // after the lock: it may run anything
        leaf::waits();
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
        if let Some(panic) = panic_of_nobody(outcome) {
            self.gate.report(panic, self.began_at);
        }
    }
}

impl<T> fmt::Debug for ToThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_done = self.slot().is_some_and(|slot| slot.outcome.is_some());
        f.debug_struct("ToThread").field("is_done", &is_done).finish_non_exhaustive()
    }
}

/// The work of a loop that is on other threads; only the loop's own thread looks here.
#[derive(Default)]
pub(crate) struct WorkOut {
    /// By number, so that the oldest comes first.
    out: RefCell<BTreeMap<u64, Out>>,
    /// How many there are, for those who ask at every rest of the loop.
    count: Cell<usize>,
    numbers: Cell<u64>,
}

struct Out {
    process: u32,
    slot: Arc<dyn Lose>,
    began_at: &'static Location<'static>,
}

impl WorkOut {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    fn next_number(&self) -> u64 {
        let number = self.numbers.get();
        self.numbers.set(number + 1);
        number
    }

    fn went(&self, number: u64, out: Out) {
        self.out.borrow_mut().insert(number, out);
        self.count.set(self.count.get() + 1);
    }

    /// It may have been given up as lost before.
    fn came_back(&self, number: u64) {
        let out = self.out.borrow_mut().remove(&number);
        if out.is_some() {
            self.count.set(self.count.get() - 1);
        }
    }

    /// The oldest, if a thread of another process does it, or does it no more.
    fn next_lost(&self) -> Option<Out> {
        let mut out = self.out.borrow_mut();
        let oldest = out.first_entry().filter(|it| it.get().process != this_process())?;
        self.count.set(self.count.get() - 1);
        Some(oldest.remove())
    }
}

impl Engine {
    /// Gives up the work that went out before this process was forked; true if there was any. Whoever awaits it is told.
    #[cold]
    pub(crate) fn give_up_lost_work(&self) -> bool {
        let mut any = false;
        while let Some(out) = self.work_out.next_lost() {
            any = true;
            // A waker that is not ours may throw.
            let panic = catch_unwind(AssertUnwindSafe(|| out.slot.lose()))
                .unwrap_or_else(|payload| Some(Panic::new(payload)));
            if let Some(panic) = panic {
                self.report(&ExceptionContext::of_nobody(Failure::Panicked(panic), out.began_at));
            }
        }
        any
    }
}

/// The outcome of lost work.
fn lost() -> Panic {
    Panic::new(Box::new(
        "the work is lost: this process was forked while a thread of the other was doing it",
    ))
}

/// A slot, whatever its type.
trait Lose {
    /// The thread does not exist that was to settle it. Hands back a panic that nobody will take.
    fn lose(&self) -> Option<Panic>;
}

impl<T> Lose for Mutex<Slot<T>> {
    fn lose(&self) -> Option<Panic> {
        let Some(mut slot) = self.try_lock() else { return Some(lost()) }; // that thread holds it for ever
        match slot.state {
            State::Out => {
                settle(slot, Err(TaskError::Panicked(lost())));
                None
            }
            State::Back => None, // it came back, and only that was not said any more
            State::Abandoned => {
                let left = slot.outcome.take();
                drop(slot);
                if left.is_some() { panic_of_nobody(left) } else { Some(lost()) }
            }
        }
    }
}
