//! **Panics of foreign code**: caught, passed on, and dropped safely.
//!
//! The naive answer is `catch_unwind`, and to drop the payload. But a payload may panic when it is dropped, and a panic during
//! another panic aborts the process. So the crate never simply drops a payload.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// The value that a panic carries.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Drops a payload. If that panics, drops the new payload too, and so on, a few times; then it leaks the payload.
pub(crate) fn swallow(mut payload: Payload) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    mem::forget(payload);
}

/// Calls foreign code and ignores its panic, because another panic is being handled.
pub(crate) fn quietly<R>(foreign: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(swallow).ok()
}

/// Runs foreign code (a destructor) while `output` is waiting to be returned. If it panics, drops `output` and returns the payload.
///
/// The compiler leaks a value that a block is about to return if a destructor at the end of the block panics. `future.await` is
/// such a block: it drops the future when it has the output.
pub(crate) fn keep_during<R>(output: R, foreign: impl FnOnce()) -> Result<R, Payload> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(()) => Ok(output),
        Err(payload) => {
            quietly(|| drop(output)); // only the first panic counts
            Err(payload)
        }
    }
}

/// Calls this when foreign code panics. It is made before, and [forgotten](mem::forget) after that code has returned.
pub(crate) struct OnPanic<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnPanic<F> {
    #[cold]
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs several pieces of foreign code and keeps the first panic.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Payload>);

impl FirstPanic {
    /// Runs foreign code. `None` if it panics; [`go_on`](FirstPanic::go_on) passes the first panic on.
    pub(crate) fn catch<R>(&mut self, foreign: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(foreign)) {
            Ok(value) => Some(value),
            Err(payload) => {
                match self.0 {
                    None => self.0 = Some(payload),
                    Some(_) => swallow(payload),
                }
                None
            }
        }
    }

    /// Resumes the first panic, if there was one. If the thread is unwinding already, ignores it: a second panic would abort the
    /// process.
    pub(crate) fn go_on(self) {
        match self.0 {
            None => {}
            Some(payload) if thread::panicking() => swallow(payload),
            Some(payload) => resume_unwind(payload),
        }
    }
}

/// The message of a panic, if it has one.
pub(crate) fn text_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "something that is not text"
    }
}
