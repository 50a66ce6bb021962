//! **Starting**: [`run`], [`try_run`] and [`run_virtual`], which make a loop for one program.
//!
//! It stands on `clock`, `error` and `run`.

use std::future::Future;

use crate::clock::VirtualClock;
use crate::error::RunError;
use crate::run::{EventLoop, unwrap};

/// Runs `main` on a new loop and returns its output.
///
/// `main` may borrow from the caller's stack. When it has returned, every remaining task is cancelled and waited for: its clean-up
/// runs, including the part that awaits. A task that swallows every cancel keeps `run` from returning.
///
/// # Panics
/// If `main` panics, with its panic; if `main` is cancelled and does not catch the cancel; if a loop is already running on this
/// thread; on a [`Deadlock`](crate::Deadlock). [`try_run`] returns errors instead.
///
/// # Examples
/// ```
/// let mut log = vec![];
/// let answer = loopwheel::run(async {
///     log.push("in the loop");
///     42
/// });
/// assert_eq!(answer, 42);
/// assert_eq!(log, ["in the loop"]);
/// ```
///
/// # In asyncio
/// `asyncio.run(main())`.
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<F: Future>(main: F) -> F::Output {
    unwrap(try_run(main))
}

/// Like [`run`], with errors in place of the panics.
///
/// # Errors
/// [`RunError`].
///
/// # Examples
/// ```
/// use loopwheel::{RunError, current_task, try_run, yield_now};
///
/// let ended = try_run(async {
///     current_task().cancel();
///     yield_now().await;
/// });
/// assert!(matches!(ended, Err(RunError::Cancelled(_))));
/// ```
#[track_caller]
pub fn try_run<F: Future>(main: F) -> Result<F::Output, RunError> {
    EventLoop::builder().try_build()?.try_run(main)
}

/// Like [`run`], on a [`VirtualClock`]: no sleep takes real time. For examples and simulations.
///
/// A test is better run by [`run_test`](crate::run_test). Here nothing fails unless `main` does: a failed assertion in a task that
/// `main` does not await is only reported, and a task that `main` forgot is cancelled without a word.
///
/// # Sockets and other threads
/// An answer from outside takes real time. So while foreign code has kept the waker of a task, or a [`Handle`](crate::Handle) or the sender of a
/// [`thread_channel`](crate::thread_channel()) is alive, the loop waits before
/// virtual time jumps: a socket, another thread, a timer of another crate may wake it. It waits for a second after such a wake-up, and
/// half as long each time that nothing comes; before the first one for 50 ms. That is less than 100 ms in all for a program whose
/// channels stay inside, and a second of real time for each jump of a test with a server and clients that sleep. It never waits for
/// longer than the jump is wide. If a wake-up comes when time has jumped, that is reported once for each loop, as
/// [`Failure::JumpedOverOutside`](crate::Failure::JumpedOverOutside). It is a false alarm if the client itself has slept, and no answer
/// was under way.
///
/// A test that awaits slower answers should hold the clock while it does ([`VirtualClock::hold`]), or use [`run`]. While work of
/// [`to_thread`](crate::to_thread()) is out, time stands still. A clock that never waits is [`VirtualClock::impatient`].
///
/// ```
/// use std::{thread, time::Duration};
/// use futures::channel::oneshot;
/// use loopwheel::{now, run_virtual, wait_for};
///
/// let answer = run_virtual(async {
///     let (sender, receiver) = oneshot::channel();
///     thread::spawn(move || sender.send("from another thread"));
///     let answer = wait_for(receiver, Duration::from_secs(3600)).await;
///     assert_eq!(now().as_secs_f64(), 0.0);
///     answer.expect("it comes in time")
/// });
/// assert_eq!(answer, Ok("from another thread"));
/// ```
///
/// # Panics
/// As [`run`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use loopwheel::{now, run_virtual, sleep};
///
/// let seconds = run_virtual(async {
///     sleep(Duration::from_secs(3600)).await;
///     now().as_secs_f64()
/// });
/// assert_eq!(seconds, 3600.0);
/// ```
#[track_caller]
pub fn run_virtual<F: Future>(main: F) -> F::Output {
    EventLoop::builder().clock(VirtualClock::new()).build().run(main)
}
