//! [`Handle`]: a loop, seen from another thread.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;
use thiserror::Error;

use super::remote::{Remote, RemoteTask};
use crate::callback;
use crate::engine::current;
use crate::engine::foreign::report;
use crate::engine::turn::Engine;
use crate::engine::waker::TaskId;
use crate::error::{Failure, Panic};
use crate::task::running_loop;

/// A call from another thread, on its way to the loop. However it is lost, it does not go unnoticed.
pub(super) struct Call {
    /// `None` when it has been made.
    function: Option<Box<dyn FnOnce() + Send>>,
    if_lost: IfLost,
    called_at: &'static Location<'static>,
}

/// What is to be done about a call that came too late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum IfLost {
    /// Nobody else will know: report it.
    Report,
    /// Make it, wherever this is.
    MakeIt,
    /// Whoever sent it finds out.
    Nothing,
}

impl Call {
    pub(super) fn new(
        function: impl FnOnce() + Send + 'static,
        if_lost: IfLost,
        called_at: &'static Location<'static>,
    ) -> Call {
        Call { function: Some(Box::new(function)), if_lost, called_at }
    }

    fn make(mut self) {
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
            IfLost::MakeIt => return function(),
            IfLost::Nothing => {}
        }
        // Others may be lost with this one, and are to say so.
        if let Some(panic) = drop_of_nobody(function) {
            report(Failure::Panicked(panic), self.called_at);
        }
    }
}

/// Drops what is nobody's any more; hands back what its destructor throws. No lock may be held.
pub(super) fn drop_of_nobody<T>(value: T) -> Option<Panic> {
    catch_unwind(AssertUnwindSafe(|| drop(value))).err().map(Panic::new)
}

/// Where calls from other threads lie until the loop answers the doorbell.
pub(crate) struct Gate {
    /// `None` when the loop is gone.
    calls: Mutex<Option<VecDeque<Call>>>,
    /// Not there before the loop is: it answers when it comes.
    doorbell: OnceLock<(TaskId, ThreadId)>,
    /// How many handles there are: who has one may yet send something.
    handles: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Gate> {
        let calls = Mutex::new(Some(VecDeque::new()));
        Arc::new(Gate { calls, doorbell: OnceLock::new(), handles: AtomicUsize::new(0) })
    }

    /// Leaves a call.
    pub(super) fn leave(&self, mut call: Call) -> Result<(), LoopGone> {
        let mut calls = self.calls.lock();
        let Some(waiting) = calls.as_mut() else {
            drop(calls); // before the call: it may run anything
            if call.if_lost == IfLost::Report {
                call.if_lost = IfLost::Nothing; // the caller is told
            }
            return Err(LoopGone);
        };
        waiting.push_back(call);
        drop(calls);
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        if let Some((doorbell, _)) = self.doorbell.get() {
            doorbell.waker().wake();
        }
    }

    fn next(&self) -> Option<Call> {
        self.calls.lock().as_mut()?.pop_front()
    }

    /// The loop is gone, and what lies here too late.
    pub(crate) fn close(&self) {
        let left = self.calls.lock().take();
        drop(left); // after the lock: each says that it is lost
    }

    pub(crate) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) > 0
    }

    /// Whether the loop lives on this thread.
    pub(super) fn is_of_this_thread(&self) -> bool {
        self.doorbell.get().is_some_and(|(_, home)| *home == thread::current().id())
    }

    fn is_gate_of(&self, engine: &Engine) -> bool {
        self.doorbell.get().is_some_and(|(bell, _)| bell.loop_index() == engine.loop_index())
    }

    /// The place of a waker of this loop's own, which needs no `clone`: what it waits for is counted.
    pub(super) fn is_own(&self, waker: &Waker) -> bool {
        let own = self.doorbell.get().map(|(doorbell, _)| doorbell.loop_index());
        own.is_some() && own == TaskId::of(waker).map(TaskId::loop_index)
    }

    /// Tells the loop's exception handler of a panic that nobody will take, wherever this is.
    pub(super) fn report(&self, panic: Panic, spawned_at: &'static Location<'static>) {
        let report = move || report(Failure::Panicked(panic), spawned_at);
        let is_here = current::running().is_some_and(|engine| self.is_gate_of(&engine));
        if is_here {
            report();
        } else {
            let _ = self.leave(Call::new(report, IfLost::MakeIt, spawned_at)); // made even if it is lost
        }
    }
}

impl Engine {
    /// The gate of this loop, with its doorbell; made on first use.
    pub(crate) fn gate(self: &Rc<Self>) -> Arc<Gate> {
        self.gate_or_else(|| self.put_up(Gate::new()))
    }

    /// Hangs a doorbell at the gate.
    fn put_up(self: &Rc<Self>, gate: Arc<Gate>) -> Arc<Gate> {
        let doorbell = self.spawn_timed_callback(Location::caller(), |doorbell| {
            let home = thread::current().id();
            gate.doorbell.set((doorbell, home)).expect("a gate is put up once");
            let (gate, engine) = (gate.clone(), Rc::downgrade(self));
            poll_fn(move |_| {
                // Only as many as lie there now: who keeps sending must not keep the loop from its tasks.
                let waiting = gate.calls.lock().as_ref().map_or(0, VecDeque::len);
                for _ in 0..waiting {
                    let (Some(call), Some(engine)) = (gate.next(), engine.upgrade()) else {
                        break;
                    };
                    let called_at = call.called_at;
                    if !engine.has_room_for_callback() {
                        drop(call); // lost, and says so
                        continue;
                    }
                    callback::soon(&engine, move || call.make(), called_at);
                }
                Poll::<()>::Pending
            })
        });
        let doorbell = doorbell.unwrap_or_else(|full| panic!("{full}"));
        // Calls from elsewhere are nobody's children.
        let locals = doorbell.cold_if_any().and_then(|cold| cold.locals.take());
        drop(locals);
        gate
    }
}

/// A loop, seen from another thread: to call functions there, and to run tasks there.
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
    pub(super) gate: Arc<Gate>,
}

impl Clone for Handle {
    fn clone(&self) -> Handle {
        Handle::through(self.gate.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.gate.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gate.ring(); // a loop that waits for nothing else can see now that it is stuck
        }
    }
}

/// The loop is gone: it was dropped. (A loop of one's own that has only come back from a run is not: what is sent to it waits
/// for the next.)
///
/// # In asyncio
/// `RuntimeError: Event loop is closed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the event loop is gone: what is sent to it would never run")]
pub struct LoopGone;

impl Handle {
    /// A handle to the running loop.
    ///
    /// # Panics
    /// Without a running loop; [`EventLoop::handle`](crate::EventLoop::handle) needs none.
    #[track_caller]
    pub fn current() -> Handle {
        Handle::to(&running_loop())
    }

    /// A handle to a loop that is yet to be made, perhaps on another thread: what is sent to it waits there. The reservation
    /// goes to [`EventLoopBuilder::reservation`](crate::EventLoopBuilder::reservation).
    ///
    /// A loop itself never changes threads, for its tasks need not be `Send`.
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
        let gate = Gate::new();
        (Handle::through(gate.clone()), Reservation { gate: Some(gate) })
    }

    pub(crate) fn to(engine: &Rc<Engine>) -> Handle {
        Handle::through(engine.gate())
    }

    fn through(gate: Arc<Gate>) -> Handle {
        gate.handles.fetch_add(1, Ordering::Relaxed);
        Handle { gate }
    }

    /// Calls `callback` on the loop's thread, soon. Calls of one thread are made in their order.
    ///
    /// # Errors
    /// If the loop is gone. If it ends before it came to the call, its exception handler is told.
    ///
    /// # In asyncio
    /// `loop.call_soon_threadsafe(callback)`.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), LoopGone> {
        self.gate.leave(Call::new(callback, IfLost::Report, Location::caller()))
    }

    /// Runs a task on the loop: `make` is sent there, and makes the future, which need not be `Send`.
    ///
    /// Dropping what this returns detaches the task; if it panics then, the loop's exception handler is told.
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
        let arrival = remote.arrival();
        let begin = move || arrival.begin(make);
        self.gate.leave(Call::new(begin, IfLost::Nothing, Location::caller()))?;
        Ok(RemoteTask::new(remote, self.clone()))
    }

    /// Whether the loop is gone.
    pub fn is_gone(&self) -> bool {
        self.gate.calls.lock().is_none()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_gone", &self.is_gone()).finish_non_exhaustive()
    }
}

/// The place of a loop that is yet to be made; see [`Handle::reserve`].
///
/// If it is dropped no loop will come: calls that wait for it are lost, which is written to stderr, and tasks that wait for it
/// end with [`LoopGone`].
#[must_use = "without it there is no loop for its handle"]
pub struct Reservation {
    /// `None` when the loop is there.
    gate: Option<Arc<Gate>>,
}

impl Reservation {
    pub(crate) fn redeem(mut self, engine: &Rc<Engine>) {
        if let Some(gate) = self.gate.take() {
            engine.gate_or_else(|| engine.put_up(gate)).ring(); // for what lies there
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.close();
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").finish_non_exhaustive()
    }
}
