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
mod sockets;
mod system;
mod traps;

use common::Watchdog;

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
