//! What the tests of `protect` and `finally_within` have in common.

#![allow(dead_code)] // each of them uses what it needs

use loopwheel::{TaskError, finally_within, now, sleep};

use crate::common::{Log, ms};

/// Milliseconds: longer than anything that a test waits for.
pub(crate) const LONG: u64 = 60_000;

/// Milliseconds since the start of the loop.
pub(crate) fn at() -> u64 {
    now().as_nanos() / 1_000_000
}

/// Why the task was cancelled that ended so.
pub(crate) fn why(ended: &TaskError) -> Option<&str> {
    match ended {
        TaskError::Cancelled(cancelled) => cancelled.reason(),
        _ => Some("it was not cancelled"),
    }
}

/// Is interrupted, and then cleans up for so long, within a grace of a second.
pub(crate) async fn cleans(log: Log, millis: u64) {
    finally_within(sleep(ms(LONG)), ms(1_000), async || {
        log.add("cleaning");
        sleep(ms(millis)).await;
        log.add("clean");
    })
    .await;
    log.add("never");
}
