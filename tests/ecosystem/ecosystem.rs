//! Tests each row of the table in `docs/ecosystem.md`, with real peers: servers of the test itself, on loopback.
//!
//! What has sockets, files or processes runs on the real clock. No test asserts that anything is fast enough, only that it is not
//! too early. A test that hangs is ended by the watchdog.

#[path = "../common/mod.rs"]
mod common;

mod channels;
mod databases;
mod http;
mod page;
mod policies;
#[cfg(unix)]
mod servers;
mod sockets;
mod supervisor;
mod system;
mod traps;

use common::{Trace, Watchdog};
use loopwheel::EventLoop;

/// A runtime of tokio with one thread of its own, as the page has it.
fn tokio_beside() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

/// Runs a loop on the real clock, and ends the process if it hangs.
#[track_caller]
fn run<F: Future>(test: &'static str, main: F) -> F::Output {
    let _watchdog = Watchdog::new(test);
    loopwheel::run(main)
}

/// Runs the body on a loop that a thread of `async-io` wakes, and on one that waits for its sockets itself: all that stands on
/// `async-io` works on both. A failure says on which.
#[track_caller]
fn on_both(test: &str, main: impl AsyncFn()) {
    let ways = [
        ("loopwheel::run", EventLoop::builder()),
        ("loopwheel::io::run", loopwheel::io::builder()),
    ];
    for (way, builder) in ways {
        let name = format!("{test}, on {way}");
        let _watchdog = Watchdog::new(&name);
        let _trace = Trace(name);
        builder.build().run(main());
    }
}
