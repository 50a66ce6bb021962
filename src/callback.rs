//! Callbacks: functions that the loop calls, without a task.
//!
//! They stand in the same queue as the tasks, and are called in the order in which they came.

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::engine::alarm::Alarm;
use crate::engine::instant::Instant;
use crate::engine::record::{Flag, RecordRef, Stage};
use crate::engine::turn::Engine;
use crate::task::running_loop;
use crate::time::Timer;

/// Calls `callback` in the loop's next turn.
///
/// # Panics
/// Without a running loop, and if it has no room for another callback. A panic of `callback` goes to the loop's exception handler.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// loopwheel::call_soon(|| println!("next turn"));
/// loopwheel::yield_now().await;
/// # });
/// ```
///
/// # In asyncio
/// `loop.call_soon(callback)`.
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> CallbackHandle {
    soon(&running_loop(), callback, Location::caller())
}

/// Calls `callback` when `delay` is over, not earlier.
///
/// # Panics
/// Without a running loop, and if it has no room for another callback. A panic of `callback` goes to the loop's exception handler.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{call_later, sleep};
///
/// let handle = call_later(Duration::from_secs(1), || unreachable!("it was cancelled"));
/// handle.cancel();
/// sleep(Duration::from_secs(2)).await;
/// # });
/// ```
///
/// # In asyncio
/// `loop.call_later(delay, callback)`.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> CallbackHandle {
    let engine = running_loop();
    let when = engine.now() + delay;
    at(&engine, when, callback, Location::caller())
}

/// Calls `callback` when the loop's clock shows `when`, not earlier. Callbacks of one moment are called in the order
/// in which they were scheduled.
///
/// # Panics
/// Without a running loop, and if it has no room for another callback. A panic of `callback` goes to the loop's exception handler.
///
/// # In asyncio
/// `loop.call_at(when, callback)`.
#[track_caller]
pub fn call_at(when: Instant, callback: impl FnOnce() + 'static) -> CallbackHandle {
    at(&running_loop(), when, callback, Location::caller())
}

#[track_caller]
pub(crate) fn soon(
    engine: &Rc<Engine>,
    callback: impl FnOnce() + 'static,
    called_at: &'static Location<'static>,
) -> CallbackHandle {
    match engine.spawn_callback(async move { callback() }, called_at) {
        Ok(record) => CallbackHandle { record, when: None },
        Err((callback, full)) => {
            drop(callback); // before the panic: it may panic too
            panic!("{full}")
        }
    }
}

#[track_caller]
pub(crate) fn at(
    engine: &Rc<Engine>,
    when: Instant,
    callback: impl FnOnce() + 'static,
    called_at: &'static Location<'static>,
) -> CallbackHandle {
    let mut callback = Some(callback);
    // The timer is armed here, not in a first poll, so that the order of scheduling counts.
    let record = engine.spawn_timed_callback(called_at, |id| {
        let timer = Timer::arm(engine.clone(), when, Alarm::wake(id));
        poll_fn(move |_| {
            if !timer.has_fired() {
                return Poll::Pending;
            }
            if let Some(callback) = callback.take() {
                callback();
            }
            Poll::Ready(())
        })
    });
    match record {
        Ok(record) => CallbackHandle { record, when: Some(when) },
        Err(full) => panic!("{full}"),
    }
}

/// A scheduled callback: to be cancelled, or asked. Dropping the handle changes nothing.
///
/// # In asyncio
/// `asyncio.Handle` and `asyncio.TimerHandle`.
#[derive(Clone)]
pub struct CallbackHandle {
    record: RecordRef,
    when: Option<Instant>,
}

impl CallbackHandle {
    /// The callback will not be called, and is dropped now. True unless it was called or cancelled before.
    pub fn cancel(&self) -> bool {
        let is_in_time = !self.record.has(Flag::DONE) && !self.record.has(Stage::LENT);
        if is_in_time {
            self.record.home.discard(&self.record);
        }
        is_in_time
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.record.has(Flag::CANCELLED)
    }

    /// For when it is scheduled; `None` if for the next turn.
    pub fn when(&self) -> Option<Instant> {
        self.when
    }
}

impl fmt::Debug for CallbackHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackHandle")
            .field("when", &self.when)
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
