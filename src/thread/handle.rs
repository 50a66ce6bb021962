//! [`Handle`], and what is behind it: the loop's call queue, and the runner that empties it.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use thiserror::Error;

use super::remote::{Remote, RemoteTask};
use crate::base::id::TaskId;
use crate::callback;
use crate::engine::Engine;
use crate::error::Panic;
use crate::kernel::current;
use crate::report::{Failure, report};
use crate::task::running_loop;

/// A call from another thread, on its way to the loop. If it is dropped before it has run, it does what [`IfLost`] says.
pub(crate) struct Call {
    /// `None` when it runs, or has run.
    function: Option<Box<dyn FnOnce() + Send>>,
    if_lost: IfLost,
    called_at: &'static Location<'static>,
}

/// What happens to a call that the loop does not run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum IfLost {
    /// It is reported: the sender does not learn it in another way.
    Report,
    /// It runs on the thread that drops it.
    Run,
    /// Nothing: the sender learns it in another way.
    Nothing,
}

impl Call {
    pub(crate) fn new(
        function: impl FnOnce() + Send + 'static,
        if_lost: IfLost,
        called_at: &'static Location<'static>,
    ) -> Call {
        Call { function: Some(Box::new(function)), if_lost, called_at }
    }

    fn run(mut self) {
        if let Some(function) = self.function.take() {
            function();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(function) = self.function.take() else { return };
        match self.if_lost {
            IfLost::Report => report(Failure::LostCall, self.called_at),
            IfLost::Run => return function(),
            IfLost::Nothing => {}
        }
        // Other calls may be lost with this one. A panic here would keep them from being reported.
        if let Some(panic) = drop_catching(function) {
            report(Failure::Panicked(panic), self.called_at);
        }
    }
}

/// Drops a value; returns the panic of its destructor. No lock may be held.
pub(crate) fn drop_catching<T>(value: T) -> Option<Panic> {
    catch_unwind(AssertUnwindSafe(|| drop(value))).err().map(Panic::new)
}

/// The calls from other threads that the loop has not taken yet.
pub(crate) struct CallQueue {
    /// `None` when the loop has ended.
    calls: Mutex<Option<VecDeque<Call>>>,
    /// The channels of the loop (by their keys there) whose waiting tasks have something to look at.
    poked: (Sender<u32>, Receiver<u32>),
    /// The callback that empties the queue, and its thread. Unset while the loop is only reserved: it is woken when it is created.
    runner: OnceLock<(TaskId, ThreadId)>,
    /// How many handles there are. While there is one, calls may come.
    handles: AtomicUsize,
}

impl CallQueue {
    fn new() -> Arc<CallQueue> {
        let (calls, poked) = (Mutex::new(Some(VecDeque::new())), unbounded());
        Arc::new(CallQueue { calls, poked, runner: OnceLock::new(), handles: AtomicUsize::new(0) })
    }

    /// Pushes a call, and wakes the runner.
    pub(crate) fn push(&self, mut call: Call) -> Result<(), LoopGone> {
        let mut calls = self.calls.lock();
        let Some(queue) = calls.as_mut() else {
            drop(calls); // before the call: it may run anything
            if call.if_lost == IfLost::Report {
                call.if_lost = IfLost::Nothing; // the error below tells the sender
            }
            return Err(LoopGone);
        };
        queue.push_back(call);
        drop(calls);
        self.wake_runner();
        Ok(())
    }

    /// Lets the loop look at the channel with this key. A key that is out of date does no harm.
    pub(crate) fn poke(&self, channel: u32) {
        let _ = self.poked.0.send(channel); // cannot fail: its receiver is here too
        self.wake_runner();
    }

    fn wake_runner(&self) {
        if let Some((runner, _)) = self.runner.get() {
            runner.waker().wake();
        }
    }

    fn pop(&self) -> Option<Call> {
        self.calls.lock().as_mut()?.pop_front()
    }

    /// The loop has ended: the calls that are left are lost, and no more are taken.
    pub(crate) fn close(&self) {
        let left = self.calls.lock().take();
        drop(left); // after the lock: it may run anything
    }

    pub(crate) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    /// Whether this is the loop's thread.
    pub(crate) fn is_of_this_thread(&self) -> bool {
        self.runner.get().is_some_and(|(_, thread)| *thread == thread::current().id())
    }

    pub(crate) fn is_of_loop(&self, engine: &Engine) -> bool {
        self.loop_index() == Some(engine.loop_index())
    }

    /// The callback that empties the queue.
    pub(super) fn runner(&self) -> Option<TaskId> {
        self.runner.get().map(|(runner, _)| *runner)
    }

    fn loop_index(&self) -> Option<usize> {
        self.runner.get().map(|(runner, _)| runner.loop_index())
    }

    /// Whether `waker` wakes a task of this loop.
    pub(crate) fn wakes_own_task(&self, waker: &Waker) -> bool {
        let own = self.loop_index();
        own.is_some() && own == TaskId::of(waker).map(TaskId::loop_index)
    }

    /// Reports an unclaimed panic to the loop's exception handler, from any thread.
    pub(crate) fn report(&self, panic: Panic, spawned_at: &'static Location<'static>) {
        let report = move || report(Failure::Panicked(panic), spawned_at);
        let is_here = current::running().is_some_and(|engine| self.is_of_loop(&engine));
        if is_here {
            report();
        } else {
            let _ = self.push(Call::new(report, IfLost::Run, spawned_at)); // it runs even if it is lost
        }
    }
}

impl Engine {
    /// The call queue of this loop; created on first use.
    pub(crate) fn call_queue(self: &Rc<Self>) -> Arc<CallQueue> {
        self.call_queue_or_else(|| self.with_runner(CallQueue::new()))
    }

    /// Gives the call queue its runner: a callback that never ends, and is only woken.
    fn with_runner(self: &Rc<Self>, call_queue: Arc<CallQueue>) -> Arc<CallQueue> {
        let runner = self.spawn_runner(Location::caller(), |runner| {
            let thread = thread::current().id();
            call_queue.runner.set((runner, thread)).expect("a call queue gets one runner");
            let (call_queue, engine) = (call_queue.clone(), Rc::downgrade(self));
            poll_fn(move |_| {
                let poked = &call_queue.poked.1;
                for key in poked.try_iter().take(poked.len()) {
                    let Some(engine) = engine.upgrade() else { break };
                    engine.threads.poke(key);
                }
                // Take only the calls that are queued now: a thread that keeps sending must not starve the tasks.
                let queued = call_queue.calls.lock().as_ref().map_or(0, VecDeque::len);
                for _ in 0..queued {
                    let (Some(call), Some(engine)) = (call_queue.pop(), engine.upgrade()) else {
                        break;
                    };
                    let called_at = call.called_at;
                    if !engine.has_room_for_callback() {
                        drop(call); // lost: its destructor does what `if_lost` says
                        continue;
                    }
                    // Run each call in a callback of its own: a panic is reported for that call, and the others run.
                    callback::soon(&engine, move || call.run(), called_at);
                }
                Poll::<()>::Pending
            })
        });
        let _ = runner.unwrap_or_else(|full| panic!("{full}"));
        call_queue
    }
}

/// A reference to a loop that any thread can use to call functions and run tasks there.
///
/// Cheap to clone. It does not keep the loop alive.
///
/// # Examples
/// ```
/// use loopwheel::{Handle, run};
///
/// let sum = run(async {
///     let handle = Handle::current();
///     let thread = std::thread::spawn(move || {
///         // The closure is sent; the future it makes never leaves the loop's thread.
///         handle.create_task(|| async { 20 + 1 }).unwrap().wait().unwrap() * 2
///     });
///     loopwheel::to_thread(move || thread.join().unwrap()).await.unwrap()
/// });
/// assert_eq!(sum, 42);
/// ```
///
/// # In asyncio
/// The loop itself, with `call_soon_threadsafe` and `run_coroutine_threadsafe`.
pub struct Handle {
    pub(crate) call_queue: Arc<CallQueue>,
}

impl Clone for Handle {
    fn clone(&self) -> Handle {
        Handle::new(self.call_queue.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.call_queue.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.call_queue.wake_runner(); // the loop may have waited for calls only: now it can see that it is stuck
        }
    }
}

/// The loop has been dropped, or its reservation. (An [`EventLoop`](crate::EventLoop) whose run has ended is not gone: what is sent
/// to it waits for the next run.)
///
/// # In asyncio
/// `RuntimeError: Event loop is closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the event loop is gone, for its `EventLoop` or its reservation was dropped: what is sent to it would never run, and what ran \
     there was dropped; keep the loop until its tasks are awaited"
)]
pub struct LoopGone;

impl Handle {
    /// A handle to the running loop.
    ///
    /// # Panics
    /// Without a running loop. [`EventLoop::handle`](crate::EventLoop::handle) needs none.
    #[track_caller]
    pub fn current() -> Handle {
        Handle::to(&running_loop())
    }

    /// A handle to a loop that does not exist yet, and may be built on another thread. What is sent to it waits until then. Pass
    /// the reservation to [`EventLoopBuilder::reservation`](crate::EventLoopBuilder::reservation).
    ///
    /// A loop itself never changes threads, because its tasks need not be `Send`.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{EventLoop, Handle};
    ///
    /// let (handle, reservation) = Handle::reserve();
    /// let task = handle.create_task(|| async { 42 }).unwrap(); // the loop does not exist yet
    /// let thread = std::thread::spawn(|| {
    ///     EventLoop::builder().reservation(reservation).build().run_until_stalled();
    /// });
    /// thread.join().unwrap();
    /// assert_eq!(task.wait(), Ok(42));
    /// ```
    pub fn reserve() -> (Handle, Reservation) {
        let call_queue = CallQueue::new();
        (Handle::new(call_queue.clone()), Reservation { call_queue: Some(call_queue) })
    }

    pub(crate) fn to(engine: &Rc<Engine>) -> Handle {
        Handle::new(engine.call_queue())
    }

    fn new(call_queue: Arc<CallQueue>) -> Handle {
        call_queue.handles.fetch_add(1, Ordering::Relaxed);
        Handle { call_queue }
    }

    /// Calls `callback` on the loop's thread, soon. Calls from one thread run in the order in which they were sent.
    ///
    /// # Errors
    /// If the loop is gone. If the loop accepts the call but ends before it runs it, the loop's exception handler is told.
    ///
    /// # In asyncio
    /// `loop.call_soon_threadsafe(callback)`.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), LoopGone> {
        self.call_queue.push(Call::new(callback, IfLost::Report, Location::caller()))
    }

    /// Runs a task on the loop: `make` is sent there and creates the future, which need not be `Send`.
    ///
    /// Dropping the [`RemoteTask`] detaches the task. If the task panics then, the loop's exception handler is told.
    ///
    /// # Errors
    /// If the loop is gone.
    ///
    /// # In asyncio
    /// `asyncio.run_coroutine_threadsafe(coro, loop)`.
    #[track_caller]
    pub fn create_task<F>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<F::Output>, LoopGone>
    where
        F: Future<Output: Send + 'static> + 'static,
    {
        let remote = Remote::new(Location::caller());
        let sender = remote.sender();
        let begin = move || sender.begin(make);
        self.call_queue.push(Call::new(begin, IfLost::Nothing, Location::caller()))?;
        Ok(RemoteTask::new(remote, self.clone()))
    }

    /// Whether the loop is gone.
    pub fn is_gone(&self) -> bool {
        self.call_queue.calls.lock().is_none()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_gone", &self.is_gone()).finish_non_exhaustive()
    }
}

/// The right to build the loop of a handle that exists already; see [`Handle::reserve`].
///
/// If it is dropped, the loop will never exist. Calls that wait for it are lost: each is reported to the loop that runs on the
/// dropping thread, or else written to stderr. Tasks that wait for it end with [`LoopGone`].
#[must_use = "without it there is no loop for its handle"]
pub struct Reservation {
    /// `None` when the loop exists.
    call_queue: Option<Arc<CallQueue>>,
}

impl Reservation {
    /// Gives the call queue to the new loop.
    pub(crate) fn redeem(mut self, engine: &Rc<Engine>) {
        if let Some(call_queue) = self.call_queue.take() {
            engine.call_queue_or_else(|| engine.with_runner(call_queue)).wake_runner(); // calls may wait
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(call_queue) = self.call_queue.take() {
            call_queue.close();
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").finish_non_exhaustive()
    }
}
