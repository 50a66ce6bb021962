//! Foreign code that panics in the middle of several calls: the rest is called all the same, and the first panic goes on
//! when all have been called.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::engine::record::{Payload, discard};

/// The first of several panics.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Payload>);

impl FirstPanic {
    /// Runs foreign code. If it panics there is no value, and the panic waits for [`go_on`](FirstPanic::go_on).
    pub(crate) fn catch<R>(&mut self, foreign: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(foreign)) {
            Ok(value) => Some(value),
            Err(payload) => {
                match self.0 {
                    None => self.0 = Some(payload),
                    Some(_) => discard(payload),
                }
                None
            }
        }
    }

    /// Goes on with the first panic, if there was one. While the thread unwinds already a second panic would abort the
    /// process: then it counts for nothing.
    pub(crate) fn go_on(self) {
        match self.0 {
            None => {}
            Some(payload) if thread::panicking() => discard(payload),
            Some(payload) => resume_unwind(payload),
        }
    }
}

/// Runs foreign code whose panic counts for nothing, because another one is on its way.
pub(crate) fn quietly<R>(foreign: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(discard).ok()
}
