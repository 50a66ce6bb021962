//! # L22: clean up on cancel
//!
//! A worker prints `Working...` every 0.1 s until it is cancelled at 0.3 s. It cleans up, which takes 0.1 s, and then
//! lets the cancel go on.
//!
//! [`catch_cancel`] is asyncio's `try:` / `except CancelledError:` around one future, and
//! [`reraise`](loopwheel::Cancelled::reraise) is its `raise`. Between the two the task may await as it likes.
//! [`finally`](loopwheel::finally) is the short way for clean-up that is the same however the work ended. Clean-up
//! that needs no `await` belongs in `Drop`, as everywhere in Rust: a cancelled future is dropped.
//!
//! There are two points to notice. Without the `reraise` the worker would have swallowed the cancel and ended
//! normally, and awaiting it would give `Ok`. And at 0.3 s both the worker's fourth round and the cancel are due.
//! `main` has waited for that moment since 0.0 s, and the worker since 0.2 s, so `main` goes first, and there is no
//! fourth `Working...`.
//!
//! Step through it: `docs/players/l22_clean_up_on_cancel.html`, in any browser.

use std::time::Duration;

use loopwheel::{catch_cancel, create_task, sleep};

async fn keep_working() {
    loop {
        println!("Working...");
        sleep(Duration::from_millis(100)).await;
    }
}

async fn worker() {
    if let Err(cancelled) = catch_cancel(keep_working()).await {
        println!("Task was cancelled! Cleaning up...");
        sleep(Duration::from_millis(100)).await;
        cancelled.reraise().await;
    }
}

/// Cancels a worker and waits for its clean-up.
pub async fn lesson() {
    let task = create_task(worker());
    sleep(Duration::from_millis(300)).await;
    task.cancel();
    match task.await {
        Err(error) if error.is_cancelled() => println!("Confirmed: task is cancelled"),
        outcome => println!("Not cancelled: {outcome:?}"),
    }
}

fn main() {
    loopwheel::run(lesson());
}
