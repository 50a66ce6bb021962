//! Runs the examples whose hosts are `GLib` and Python, and checks that each does what its page says.
#![allow(dead_code)] // each example's `main` is for when it is run alone

#[path = "../common/mod.rs"]
mod common;
#[path = "../../docs/embedding/inside_asyncio.rs"]
mod inside_asyncio;
#[path = "../../docs/embedding/inside_glib.rs"]
mod inside_glib;

use common::Watchdog;

#[test]
fn a_loop_inside_glib_sleeps_and_is_woken_by_a_thread() {
    let _watchdog = Watchdog::new("glib");
    assert_eq!(
        inside_glib::run(),
        [
            "a future of GLib has slept",
            "a task has slept",
            "a limit has passed",
            "a thread has answered"
        ]
    );
}

#[test]
fn a_loop_inside_asyncio_gives_futures_and_awaits_coroutines_and_a_cancel_goes_both_ways() {
    let _watchdog = Watchdog::new("asyncio");
    assert_eq!(
        inside_asyncio::run().unwrap(),
        [
            "hello, ada",
            "hello, grace",
            "doubled: 42",
            "summed: 500500",
            "failed: the task panicked: broken",
            "too slow",
            "cleaned up",
            "cancelled: True",
        ]
    );
}
