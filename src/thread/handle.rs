//! [`Handle`]: a loop, seen from another thread.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use parking_lot::Mutex;
use thiserror::Error;

use super::remote::{Remote, RemoteTask};
use crate::callback;
use crate::engine::turn::Engine;
use crate::engine::waker::TaskId;
use crate::error::{ExceptionContext, Failure};
use crate::task::running_loop;

/// A call from another thread, on its way to the loop.
pub(super) type Call = Box<dyn FnOnce() + Send>;

/// Where calls from other threads lie until the loop answers the doorbell.
pub(crate) struct Gate {
    /// `None` when the loop is gone.
    calls: Mutex<Option<VecDeque<(Call, IfLost)>>>,
    /// Not there before the loop is: it answers when it comes.
    doorbell: OnceLock<TaskId>,
}

/// What is to be done about a call that came too late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum IfLost {
    /// Nobody else will know: report it.
    Report,
    /// Whoever sent it finds out.
    Nothing,
}

impl Gate {
    fn new() -> Arc<Gate> {
        let calls = Mutex::new(Some(VecDeque::new()));
        Arc::new(Gate { calls, doorbell: OnceLock::new() })
    }

    /// Leaves a call; it comes back if the loop is gone.
    pub(super) fn leave(&self, call: Call, if_lost: IfLost) -> Result<(), Call> {
        match &mut *self.calls.lock() {
            None => return Err(call),
            Some(calls) => calls.push_back((call, if_lost)),
        }
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        if let Some(doorbell) = self.doorbell.get() {
            doorbell.waker().wake();
        }
    }

    fn next(&self) -> Option<Call> {
        Some(self.calls.lock().as_mut()?.pop_front()?.0)
    }

    /// The loop is gone. Says how many calls are lost without anybody knowing.
    pub(crate) fn close(&self) -> usize {
        let left = self.calls.lock().take().unwrap_or_default();
        left.iter().filter(|(_, if_lost)| *if_lost == IfLost::Report).count()
    }
}

impl Engine {
    /// The gate of this loop, with its doorbell; made on first use.
    pub(crate) fn gate(self: &Rc<Self>) -> Arc<Gate> {
        self.gate_or_else(|| self.put_up(Gate::new()))
    }

    /// Hangs a doorbell at the gate.
    fn put_up(self: &Rc<Self>, gate: Arc<Gate>) -> Arc<Gate> {
        self.spawn_timed_callback(Location::caller(), |doorbell| {
            gate.doorbell.set(doorbell).expect("a gate is put up once");
            let (gate, engine) = (gate.clone(), Rc::downgrade(self));
            poll_fn(move |_| {
                // Only as many as lie there now: who keeps sending must not keep the loop from its tasks.
                let waiting = gate.calls.lock().as_ref().map_or(0, VecDeque::len);
                for _ in 0..waiting {
                    let (Some(call), Some(engine)) = (gate.next(), engine.upgrade()) else {
                        break;
                    };
                    callback::soon(&engine, call, Location::caller());
                }
                Poll::<()>::Pending
            })
        });
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
#[derive(Clone)]
pub struct Handle {
    gate: Arc<Gate>,
}

/// The loop is gone: it was dropped, or its run has ended.
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
        (Handle { gate: gate.clone() }, Reservation { gate: Some(gate) })
    }

    pub(crate) fn to(engine: &Rc<Engine>) -> Handle {
        Handle { gate: engine.gate() }
    }

    /// Calls `callback` on the loop's thread, soon. Calls of one thread are made in their order.
    ///
    /// # Errors
    /// If the loop is gone. If it ends before it came to the call, its exception handler is told.
    ///
    /// # In asyncio
    /// `loop.call_soon_threadsafe(callback)`.
    pub fn call_soon(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), LoopGone> {
        self.gate.leave(Box::new(callback), IfLost::Report).map_err(|_| LoopGone)
    }

    /// Runs a task on the loop: `make` is sent there, and makes the future, which need not be `Send`.
    ///
    /// Dropping what this returns detaches the task.
    ///
    /// # Errors
    /// If the loop is gone.
    ///
    /// # In asyncio
    /// `asyncio.run_coroutine_threadsafe(coro, loop)`.
    pub fn create_task<F>(
        &self,
        make: impl FnOnce() -> F + Send + 'static,
    ) -> Result<RemoteTask<F::Output>, LoopGone>
    where
        F: Future<Output: Send + 'static> + 'static,
    {
        let remote = Remote::new();
        let arrival = remote.arrival();
        let call = Box::new(move || arrival.begin(make()));
        self.gate.leave(call, IfLost::Nothing).map_err(|_| LoopGone)?;
        Ok(RemoteTask::new(remote, self.gate.clone()))
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
        for _ in 0..self.gate.take().map_or(0, |gate| gate.close()) {
            eprintln!("loopwheel: {}", ExceptionContext::of_nobody(Failure::LostCall));
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").finish_non_exhaustive()
    }
}
